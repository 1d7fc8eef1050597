//! Rounds of: load, strike, start again, look at everything.

use crate::client::Client;
use crate::fuse::Session;
use crate::items::{self, Items};
use crate::load::{BUCKET, Load};
use crate::server::{Program, Server};
use crate::volume::{Ignore, Loss, Volume};
use base::{Entropy, SeededEntropy};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// "Back within a second."
const BACK_MAX: Duration = Duration::from_secs(1);
const LOAD_TIME_MAX: Duration = Duration::from_secs(60);
const ACKNOWLEDGED_MAX: u64 = 250;
const CALLS_MAX: u64 = 700;
/// A first start on an empty folder makes about as many calls as that.
const CALLS_OF_A_START: u64 = 60;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strike {
    /// SIGKILL: what was written stays in the page cache.
    Kill,
    /// SIGKILL, and what was not synced is dropped or torn.
    Cut(Ignore),
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub program: Program,
    pub strike: Strike,
    pub rounds: u64,
    pub seed: u64,
    /// Stop at the first failure: it is what is looked for. That it is slow to come back is none.
    pub until_failure: bool,
    pub quiet: bool,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub passed: u64,
    pub failed: u64,
    pub acknowledged: u64,
    pub busy: u64,
    pub slowest_start: Duration,
    pub loss: Loss,
    pub first_failure: Option<String>,
}

/// Where the data lies.
#[derive(Debug)]
enum Ground {
    Folder,
    /// None only between two mounts.
    Mounted(Option<Session>),
}

/// One data folder, from its first start to a failure or the end.
#[derive(Debug)]
struct Life<'a> {
    plan: &'a Plan,
    at: PathBuf,
    /// The data folder, which is not there at first, nor the one above it if that can be lost.
    data: PathBuf,
    ground: Ground,
    load: Load,
    server: Option<Server>,
    address: SocketAddr,
    slowest_start: Duration,
    loss: Loss,
    was_cut: bool,
}

pub fn run(plan: &Plan) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    let mut life: Option<Life> = None;
    for round in plan.seed..plan.seed + plan.rounds {
        let mut current = match life.take() {
            Some(life) => life,
            None => Life::begin(plan)?,
        };
        let result = current.round(round);
        let findings = current.load.take_findings();
        let wrong = result.err().into_iter().chain(findings).collect::<Vec<_>>().join("\n  ");
        outcome.take(&mut current);
        if wrong.is_empty() {
            outcome.passed += 1;
            life = Some(current);
            continue;
        }
        outcome.failed += 1;
        if !plan.quiet {
            println!("round {round}:\n  {wrong}");
        }
        outcome.first_failure.get_or_insert(format!("round {round}: {wrong}"));
        current.discard();
        if plan.until_failure {
            break;
        }
    }
    if let Some(life) = life {
        life.discard();
    }
    Ok(outcome)
}

impl Outcome {
    fn take(&mut self, life: &mut Life) {
        self.acknowledged += life.load.acknowledged.swap(0, Relaxed);
        self.busy += life.load.busy.swap(0, Relaxed);
        self.slowest_start = self.slowest_start.max(life.slowest_start);
        let loss = std::mem::take(&mut life.loss);
        self.loss.sectors_lost += loss.sectors_lost;
        self.loss.sectors_kept += loss.sectors_kept;
        self.loss.names_lost += loss.names_lost;
        self.loss.names_kept += loss.names_kept;
    }
}

impl<'a> Life<'a> {
    fn begin(plan: &'a Plan) -> Result<Life<'a>, String> {
        let at = scratch()?;
        let ground = match plan.strike {
            Strike::Kill => Ground::Folder,
            Strike::Cut(ignore) => Ground::Mounted(Some(Session::start(Volume::new(ignore), &at)?)),
        };
        let data = match &ground {
            Ground::Folder => at.clone(),
            Ground::Mounted(_) => at.join("a/b"),
        };
        let mut life = Life {
            plan,
            at,
            data,
            ground,
            load: Load::default(),
            server: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            slowest_start: Duration::ZERO,
            loss: Loss::default(),
            was_cut: false,
        };
        life.start()?;
        let answer = Client::new(life.address).ask("PUT", BUCKET, "", b"")?;
        if answer.status != 200 {
            return Err(format!("bucket: {}", answer.text()));
        }
        items::make_table(life.address)?;
        life.load.items = Some(Items::new());
        Ok(life)
    }

    fn start(&mut self) -> Result<Duration, String> {
        let mut server = Server::spawn(&self.plan.program, &self.data)?;
        let answered = server.answers(BUCKET);
        self.server = Some(server);
        let (address, took) = answered?;
        self.address = address;
        Ok(took)
    }

    fn round(&mut self, seed: u64) -> Result<(), String> {
        let chance = SeededEntropy::new(seed);
        // A start after a kill rests on what was written and never synced, which a cut may still take.
        if self.cuts() && chance.below(3) == 0 {
            self.strike_under_load(&chance, false)?;
            self.strikes_at_start(&chance)?;
            self.back()?;
        }
        self.strike_under_load(&chance, self.cuts())?;
        self.strikes_at_start(&chance)?;
        self.back()
    }

    fn cuts(&self) -> bool {
        matches!(self.ground, Ground::Mounted(_))
    }

    /// Starts, and looks at everything.
    fn back(&mut self) -> Result<(), String> {
        let took = self.start()?;
        self.slowest_start = self.slowest_start.max(took);
        // A program without its syncs must be found by what it loses, not by a machine that is busy.
        if took > BACK_MAX && !self.plan.until_failure {
            self.load.found(format!("back after {} ms", took.as_millis()));
        }
        self.load.verify(self.address)
    }

    fn strike_under_load(&mut self, chance: &SeededEntropy, cut: bool) -> Result<(), String> {
        let mut server = self.server.take().ok_or("no server")?;
        let pid = server.pid();
        let load = &self.load;
        let session = self.session().filter(|_| cut);
        let mut alone = false;
        if let Some(session) = session {
            session.arm(pid, 1 + chance.below(CALLS_MAX));
        }
        let goal = load.acknowledged.load(Relaxed) + 1 + chance.below(ACKNOWLEDGED_MAX);
        load.run(self.address, chance.next_u64(), || {
            let end = Instant::now() + LOAD_TIME_MAX;
            match session {
                None => {
                    while load.acknowledged.load(Relaxed) < goal && Instant::now() < end {
                        std::thread::sleep(Duration::from_micros(500));
                    }
                    alone = server.ended();
                }
                Some(session) => {
                    let cut = session.wait_for_cut(LOAD_TIME_MAX);
                    alone = !cut && server.ended();
                    if !cut {
                        session.cut_now(pid);
                    }
                }
            }
            server.kill();
        });
        self.after(&mut server, alone, cut, chance)
    }

    /// Again and again, while it recovers.
    fn strikes_at_start(&mut self, chance: &SeededEntropy) -> Result<(), String> {
        while chance.below(4) == 0 {
            let cut = self.cuts() && chance.below(2) == 0;
            self.strike_at_start(chance, cut)?;
        }
        Ok(())
    }

    fn session(&self) -> Option<&Session> {
        match &self.ground {
            Ground::Mounted(session) => session.as_ref(),
            Ground::Folder => None,
        }
    }

    fn strike_at_start(&mut self, chance: &SeededEntropy, cut: bool) -> Result<(), String> {
        let mut server = Server::spawn(&self.plan.program, &self.data)?;
        match self.session().filter(|_| cut) {
            None => std::thread::sleep(Duration::from_micros(chance.below(40_000))),
            Some(session) => {
                session.arm(server.pid(), 1 + chance.below(CALLS_OF_A_START));
                if !session.wait_for_cut(Duration::from_millis(300)) {
                    session.cut_now(server.pid());
                }
            }
        }
        let alone = !cut && server.ended();
        server.kill();
        self.after(&mut server, alone, cut, chance)
    }

    /// What a strike leaves behind is made the new state of the disk.
    fn after(
        &mut self,
        server: &mut Server,
        alone: bool,
        cut: bool,
        chance: &SeededEntropy,
    ) -> Result<(), String> {
        server.wait();
        if let Some(log) = server.panicked() {
            self.load.found(format!("it panicked:\n{log}"));
        }
        if alone {
            return Err(format!("it ended by itself:\n{}", server.log()));
        }
        if let (true, Ground::Mounted(session)) = (cut, &mut self.ground) {
            let mut volume = session.take().ok_or("no volume")?.end()?;
            let seed = chance.next_u64();
            let loss = match std::mem::replace(&mut self.was_cut, true) {
                true => volume.cut(seed),
                false => volume.cut_all_names(seed),
            };
            self.loss.sectors_lost += loss.sectors_lost;
            self.loss.sectors_kept += loss.sectors_kept;
            self.loss.names_lost += loss.names_lost;
            self.loss.names_kept += loss.names_kept;
            *session = Some(Session::start(volume, &self.at)?);
        }
        Ok(())
    }

    fn discard(mut self) {
        self.server = None;
        self.ground = Ground::Folder;
        let _ = std::fs::remove_dir_all(&self.at);
    }
}

/// An empty folder of this process's own.
pub fn scratch() -> Result<PathBuf, String> {
    let root = std::env::temp_dir();
    clear_old(&root);
    for number in 0..1000 {
        let at = root.join(format!("cumulet-soak-{}-{number}", std::process::id()));
        match std::fs::create_dir(&at) {
            Ok(()) => return Ok(at),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(format!("{}: {e}", at.display())),
        }
    }
    Err(format!("{} is full of old folders", Path::new(&root).display()))
}

/// Removes what runs left that are no more: a run that is killed cannot.
fn clear_old(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of =
            name.to_str().and_then(|name| name.strip_prefix("cumulet-soak-")?.split('-').next());
        if of.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
