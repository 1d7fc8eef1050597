//! Scripts and seeds at the four stages that LocalStack has: `boot.d` and `start.d` before anything is
//! answered, `ready.d` once the cloud answers, `shutdown.d` before it stops to.
//!
//! Those of `ready.d` fill a new cloud, so each is run once: what ran is a row, which a snapshot takes along
//! and a reset forgets. What changed is new; what failed is tried again at the next start. The others run each
//! time.
//!
//! They run beside the cloud, as its own user and as root of the default account. One that fails does not
//! keep the others from running; the person is told, and `/_localstack/init` shows it. Who starts the cloud
//! hears that it is ready when all of `ready.d` has ended.

mod runner;
mod seed;

use crate::exit::{self, Failure};
use crate::settings::{Config, DropIn};
use crate::threads;
use gateway::Gateway;
use gateway::listen::unless;
use parking_lot::Mutex;
use runner::{Runner, Stop};
use smithy::json::Writer;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use tokio::sync::{oneshot, watch};

/// Where LocalStack's image has them.
const LOCALSTACK: &str = "/etc/localstack/init";
/// Folders in folders.
const DEPTH_MAX: usize = 8;
const SCRIPT_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Boot,
    Start,
    Ready,
    Shutdown,
}

impl Stage {
    const ALL: [Stage; 4] = [Stage::Boot, Stage::Start, Stage::Ready, Stage::Shutdown];

    fn name(self) -> &'static str {
        match self {
            Stage::Boot => "BOOT",
            Stage::Start => "START",
            Stage::Ready => "READY",
            Stage::Shutdown => "SHUTDOWN",
        }
    }

    fn folder(self) -> String {
        format!("{}.d", self.name().to_ascii_lowercase())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unknown,
    Running,
    Successful,
    Error,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Unknown => "UNKNOWN",
            State::Running => "RUNNING",
            State::Successful => "SUCCESSFUL",
            State::Error => "ERROR",
        }
    }
}

/// How far they are, for whoever asks.
#[derive(Default, Debug)]
pub struct Progress(Mutex<Known>);

#[derive(Clone, Default, Debug)]
struct Known {
    scripts: Vec<(Stage, String, State)>,
    completed: [bool; 4],
}

impl Progress {
    /// In LocalStack's form; `None` for a stage that is none.
    pub fn page(&self, stage: Option<&str>) -> Option<String> {
        let Known { scripts, completed } = self.0.lock().clone();
        let one = match stage {
            None => None,
            Some(text) => {
                Some(Stage::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(text))?)
            }
        };
        let mut out = Writer::with_capacity(256);
        out.open('{');
        out.key("completed");
        match one {
            Some(stage) => out.boolean(completed[stage as usize]),
            None => {
                out.open('{');
                for stage in Stage::ALL {
                    out.key(stage.name());
                    out.boolean(completed[stage as usize]);
                }
                out.close('}');
            }
        }
        out.key("scripts");
        out.open('[');
        for (of, name, state) in scripts.iter().filter(|(of, ..)| one.is_none_or(|one| one == *of))
        {
            out.open('{');
            for (key, value) in [("stage", of.name()), ("name", name), ("state", state.name())] {
                out.key(key);
                out.string(value);
            }
            out.close('}');
        }
        out.close(']');
        out.close('}');
        Some(out.finish())
    }

    fn set(&self, index: usize, state: State) {
        if let Some(script) = self.0.lock().scripts.get_mut(index) {
            script.2 = state;
        }
    }

    fn complete(&self, stage: Stage) {
        self.0.lock().completed[stage as usize] = true;
    }
}

/// A file that is run at a stage.
#[derive(Clone, Debug)]
struct Script {
    stage: Stage,
    path: PathBuf,
    /// From the folder of scripts on: what it is known by, wherever that folder is.
    name: String,
}

impl Script {
    fn is(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|own| own == extension)
    }
}

/// All that there is to run in the life of this cloud.
pub struct Init {
    scripts: Arc<Vec<Script>>,
    progress: Arc<Progress>,
    runner: Runner,
}

impl Init {
    /// Looks for them. Other JSON than seeds is named, once, and passed over.
    pub fn find(config: &Config) -> Result<Init, Failure> {
        let mut folders = vec![config.init.clone().unwrap_or_else(|| config.data.join("init"))];
        if config.drop_in == DropIn::LocalStack && config.init.is_none() {
            folders.push(PathBuf::from(LOCALSTACK));
        }
        let mut scripts = Vec::new();
        for stage in Stage::ALL {
            for folder in &folders {
                let mut found = Vec::new();
                find(&folder.join(stage.folder()), DEPTH_MAX, &mut found);
                scripts.extend(found.into_iter().map(|path| {
                    let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
                    Script { stage, path, name }
                }));
            }
        }
        scripts.retain(|script| {
            let is_run = !script.is("json") || seed::is_one(&script.path);
            if !is_run {
                eprintln!(
                    "cumulet: {} is no seed (a list of objects with service and operation) and is passed over",
                    script.path.display()
                );
            }
            is_run
        });
        let env = match scripts.is_empty() {
            true => Vec::new(),
            false => crate::env::identity(config, None)?,
        };
        let progress = Arc::new(Progress::default());
        progress.0.lock().scripts = scripts
            .iter()
            .map(|script| (script.stage, file_name(&script.path).to_owned(), State::Unknown))
            .collect();
        Ok(Init { scripts: Arc::new(scripts), progress, runner: Runner::new(config, env) })
    }

    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// From now on there is a cloud that they may ask.
    pub fn opened(&mut self, url: &str, gateway: &Arc<Gateway>, store: &Store) {
        self.runner.opened(url, gateway, store);
    }

    /// Runs those of a stage, on a thread of their own, and gives the names of those that failed; `None` if
    /// the end was asked for meanwhile: what ran then was ended.
    pub async fn run(
        &self,
        stage: Stage,
        asked: Option<&watch::Receiver<bool>>,
    ) -> Result<Option<Vec<String>>, Failure> {
        if !self.scripts.iter().any(|script| script.stage == stage) {
            self.progress.complete(stage);
            return Ok(asked.is_none_or(|asked| !*asked.borrow()).then(Vec::new));
        }
        let told =
            |error: std::io::Error| Failure::new(exit::FAILED, format!("no thread: {error}"));
        let stop = Arc::new(Stop::new().map_err(|error| told(error.into()))?);
        let (done, ended) = oneshot::channel();
        let (scripts, progress) = (self.scripts.clone(), self.progress.clone());
        let (runner, stopped) = (self.runner.clone(), stop.clone());
        let work = move || {
            let _ = done.send(run_all(stage, &scripts, &progress, &runner, &stopped));
        };
        threads::spawn("init", work).map_err(told)?;
        let mistake =
            |_| Failure::new(exit::FAILED, "the thread of the scripts ended by a mistake of ours");
        let Some(asked) = asked else { return ended.await.map(Some).map_err(mistake) };
        let mut asked = asked.clone();
        let mut ended = std::pin::pin!(ended);
        match unless(&mut asked, ended.as_mut()).await {
            Some(failed) => failed.map(Some).map_err(mistake),
            None => {
                stop.stop();
                let _ = ended.await;
                Ok(None)
            }
        }
    }
}

fn run_all(
    stage: Stage,
    scripts: &[Script],
    progress: &Progress,
    runner: &Runner,
    stop: &Stop,
) -> Vec<String> {
    let mut failed = Vec::new();
    runner.prepare();
    for (index, script) in scripts.iter().enumerate().filter(|(_, one)| one.stage == stage) {
        if stop.is_asked() {
            return failed;
        }
        progress.set(index, State::Running);
        let state = match runner.run(script, stop) {
            Ok(()) => State::Successful,
            Err(why) => {
                eprintln!("cumulet: {}: {why}", script.path.display());
                failed.push(file_name(&script.path).to_owned());
                State::Error
            }
        };
        progress.set(index, state);
    }
    progress.complete(stage);
    failed
}

/// Files first, then folders, each by name, as LocalStack does.
#[allow(clippy::disallowed_methods, reason = "scripts are beside the data")]
fn find(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let is_script = |path: &Path| {
        matches!(path.extension().and_then(|e| e.to_str()), Some("sh" | "py" | "json"))
    };
    into.extend(paths.iter().filter(|path| path.is_file() && is_script(path)).cloned());
    if depth > 0 {
        for path in paths.iter().filter(|path| path.is_dir()) {
            find(path, depth - 1, into);
        }
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages() {
        let progress = Progress::default();
        progress.0.lock().scripts.push((Stage::Ready, "a.sh".to_owned(), State::Unknown));
        progress.set(0, State::Error);
        progress.set(7, State::Error);
        progress.complete(Stage::Boot);
        let all = progress.page(None).unwrap();
        assert!(all.contains(r#""READY":false"#) && all.contains(r#""state":"ERROR""#), "{all}");
        assert_eq!(progress.page(Some("boot")).unwrap(), r#"{"completed":true,"scripts":[]}"#);
        assert_eq!(progress.page(Some("START")).unwrap(), r#"{"completed":false,"scripts":[]}"#);
        let ready = progress.page(Some("ready")).unwrap();
        assert!(ready.starts_with(r#"{"completed":false"#) && ready.contains("a.sh"), "{ready}");
        assert_eq!(progress.page(Some("later")), None);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "files for a test")]
    fn files_before_folders() {
        let root = std::env::temp_dir().join(format!("cumulet-init-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a")).unwrap();
        for name in ["z.sh", "b.py", "c.json", "read.me", "a/first.sh"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let mut found = Vec::new();
        find(&root, 1, &mut found);
        let names: Vec<&str> = found.iter().map(|path| file_name(path)).collect();
        assert_eq!(names, ["b.py", "c.json", "z.sh", "first.sh"]);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
