//! Runs every lab that comes with the binary, as a person would: `cumulet lab run NAME`; and the pages of the
//! book that say what they need, in the same way.

use std::path::Path;
use std::sync::Mutex;

use crate::report::Tally;
use crate::{black_box, install, run};

/// At a time: they mostly wait for clients to start.
const WORKERS: usize = 2;

pub fn all(root: &Path) -> Result<Tally, String> {
    let binary = black_box::build(root)?.to_string_lossy().into_owned();
    let listed = run::must(root, &binary, &["lab", "list"])?;
    let mut names: Vec<String> = listed
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect();
    if names.is_empty() {
        return Err("`cumulet lab list` lists none".to_owned());
    }
    names.extend(pages(root)?);
    // The AWS CLI is that of the tests.
    let clients = install::python(root);
    let clients = clients.parent().unwrap_or(root).display();
    let path = format!("{clients}:{}", std::env::var("PATH").unwrap_or_default());
    // No cloud runs there, so each lab starts one.
    let data = std::env::temp_dir().join(format!("cumulet-labs-{}", std::process::id()));
    let env = [("PATH", path.as_str()), ("CUMULET_DATA", &data.to_string_lossy())];
    let waiting = Mutex::new(names.iter().map(String::as_str));
    let findings = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(name) = next(&waiting) {
                    if let Err(why) = lab(root, &binary, name, &env) {
                        findings.lock().expect("no panic while held").push(why);
                    }
                }
            });
        }
    });
    let findings = findings.into_inner().expect("no panic while held");
    Ok(Tally::of_findings(names.len() as u64, &findings))
}

/// Those of the book in which something is run.
fn pages(root: &Path) -> Result<Vec<String>, String> {
    let folder = root.join("docs/book/src");
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        let text = if path.is_file() {
            std::fs::read_to_string(&path).map_err(told)?
        } else {
            String::new()
        };
        if text.lines().any(|line| line.starts_with("Needs: ")) {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}

fn next<'n>(waiting: &Mutex<impl Iterator<Item = &'n str>>) -> Option<&'n str> {
    waiting.lock().expect("no panic while held").next()
}

fn lab(root: &Path, binary: &str, name: &str, env: &[(&str, &str)]) -> Result<(), String> {
    let finished = run::capture_env(root, binary, &["lab", "run", name], env)?;
    match finished.ok {
        true => Ok(()),
        false => Err(format!("{name}:\n{}", run::tail(&finished.text(), 40))),
    }
}
