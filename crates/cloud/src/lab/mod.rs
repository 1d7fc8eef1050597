//! `cumulet lab`: walkthroughs that a person reads and a machine runs.

mod descendants;
mod drive;
mod heard;
pub mod state;
mod text;

use crate::cli;
use crate::exit::{self, Failure};
use crate::settings::Config;
use clap::ArgMatches;
use std::path::Path;

/// A lab that comes with the program.
pub struct Known {
    pub area: &'static str,
    pub name: &'static str,
    pub text: &'static str,
    /// What is laid into the folder where it is run.
    pub files: &'static [(&'static str, &'static [u8])],
}

macro_rules! lab {
    ($area:literal, $name:literal $(, $file:literal)*) => {
        Known {
            area: $area,
            name: $name,
            text: include_str!(concat!("../../../../labs/", $area, "/", $name, ".md")),
            files: &[$((
                $file,
                include_bytes!(concat!("../../../../labs/", $area, "/", $name, "/", $file)),
            )),*],
        }
    };
}

/// In the order in which one would do them.
const LABS: &[Known] = &[
    lab!("start", "first-steps"),
    lab!("s3", "introduction"),
    lab!("s3", "static-site"),
    lab!("iam", "roles-and-refusals"),
    lab!("nosql", "dynamodb"),
    lab!("nosql", "orders"),
    lab!(
        "serverless",
        "wild-rydes",
        "website/index.html",
        "website/ride.html",
        "website/css/main.css",
        "website/js/config.js",
        "website/js/ride.js",
        "website/images/unicorn.svg"
    ),
    lab!("docker", "first-containers"),
    lab!("docker", "web-server"),
    lab!("docker", "images"),
    lab!("docker", "networking"),
    lab!("docker", "compose"),
    lab!("systems", "read-after-write"),
    lab!("systems", "optimistic-locking"),
    lab!("systems", "retries"),
    lab!("systems", "idempotency"),
    lab!("systems", "time-passes"),
    lab!("systems", "killed"),
];

/// As the console shows them.
pub fn for_console() -> Vec<console::Lab> {
    let lab = |known: &Known| console::Lab { area: known.area, name: known.name, text: known.text };
    LABS.iter().map(lab).collect()
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let (action, matches) = matches.subcommand().unwrap_or(("list", matches));
    let name = cli::value(matches, "name").unwrap_or_default();
    match action {
        "list" => {
            for known in LABS {
                let lab = parsed(known.name, known.text)?;
                println!("{:<20} {}. {} ({})", known.name, lab.title, lab.summary, known.area);
            }
            println!("\nread one: cumulet lab show NAME; let it run: cumulet lab run NAME");
            Ok(())
        }
        "show" => {
            print!("{}", find(&name)?.text);
            Ok(())
        }
        _ => {
            let found = find(&name)?;
            let lab = parsed(&name, &found.text)?;
            drive::run(config, &name, &lab, found.files, matches.get_flag("keep"))
        }
    }
}

fn parsed(name: &str, text: &str) -> Result<text::Lab, Failure> {
    text::parse(text).map_err(|error| Failure::new(exit::USAGE, format!("{name}: {error}")))
}

struct Found {
    text: String,
    files: &'static [(&'static str, &'static [u8])],
}

/// By its name, or by the path of a file.
#[allow(clippy::disallowed_methods, reason = "a lab that somebody writes")]
fn find(name: &str) -> Result<Found, Failure> {
    if let Some(known) = LABS.iter().find(|known| known.name == name) {
        return Ok(Found { text: known.text.to_owned(), files: known.files });
    }
    if Path::new(name).extension().is_some_and(|end| end == "md") {
        let text = std::fs::read_to_string(name)
            .map_err(|error| Failure::new(exit::USAGE, format!("{name}: {error}")))?;
        return Ok(Found { text, files: &[] });
    }
    let names: Vec<&str> = LABS.iter().map(|known| known.name).collect();
    let text = format!("no lab is called {name}; there are {}", names.join(", "));
    Err(Failure::new(exit::USAGE, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::papers::below;

    /// Whatever lies in `labs/` comes with the program, and can be read.
    #[test]
    fn all_labs_are_known() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../labs");
        let mut found = Vec::new();
        below(root.clone(), &mut found);
        let mut known = Vec::new();
        for lab in LABS {
            text::parse(lab.text).unwrap_or_else(|error| panic!("{}: {error}", lab.name));
            known.push(root.join(lab.area).join(format!("{}.md", lab.name)));
            let folder = root.join(lab.area).join(lab.name);
            known.extend(lab.files.iter().map(|(file, _)| folder.join(file)));
        }
        found.sort();
        known.sort();
        assert_eq!(found, known);
    }
}
