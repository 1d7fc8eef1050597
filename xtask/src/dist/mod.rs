//! `cargo xtask dist`: what is given to others, in `target/dist`: a static program for each processor whose
//! target is there, an image, a unit for systemd, a file for Compose, an action for GitHub, completions and a
//! man page.

mod cross;
mod image;

pub use image::libraries;

use crate::qemu::foreign;
use crate::run;
use std::fs;
use std::path::{Path, PathBuf};

/// Target, its name in images, and what its C is compiled with if that is there.
const TARGETS: [(&str, &str, &str); 2] = [
    ("x86_64-unknown-linux-musl", "amd64", "musl-gcc"),
    ("aarch64-unknown-linux-musl", "arm64", "aarch64-linux-musl-gcc"),
];
/// How the programs are built. Cargo makes a folder of this name in `target`, so it is not [`FOLDER`]'s.
const PROFILE: &str = "packaged";
const FOLDER: &str = "target/dist";
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];
/// Files that go along as they are.
const PAPERS: [&str; 3] = ["cumulet.service", "compose.yaml", "action.yml"];

pub fn run(root: &Path) -> Result<bool, String> {
    let folder = root.join(FOLDER);
    let _ = fs::remove_dir_all(&folder);
    make(&folder)?;
    let mut sizes = Vec::new();
    let mut own = None;
    for (target, architecture, compiler) in TARGETS {
        match build(root, target, compiler, PROFILE) {
            Ok(program) => {
                let to = folder.join(format!("cumulet-linux-{architecture}"));
                copy(&program, &to)?;
                if let Some(version) = foreign::version(root, architecture, &to)? {
                    println!("for {architecture}, translated: {version}");
                }
                sizes.push(size(&to)?);
                let archive = folder.join(format!("cumulet-image-{architecture}.tar"));
                write_image(&to, &archive, architecture, "cumulet:latest")?;
                sizes.push(size(&archive)?);
                own = own.or_else(|| target.starts_with(std::env::consts::ARCH).then_some(to));
            }
            Err(why) => println!("without {target}: {why}"),
        }
    }
    let own = own.ok_or("no program for this machine could be built")?;
    for name in PAPERS {
        copy(&root.join("dist").join(name), &folder.join(name))?;
    }
    for shell in SHELLS {
        let text = run::must(root, &own.to_string_lossy(), &["completions", shell])?;
        write(&folder.join(format!("cumulet.{shell}")), text.as_bytes())?;
    }
    write(&folder.join("cumulet.1"), manual(root, &own)?.as_bytes())?;
    for line in sizes {
        println!("{line}");
    }
    println!("all of it is in {}", folder.display());
    Ok(true)
}

/// `cargo xtask image PROGRAM ARCHIVE`: the image alone, of any program.
pub fn image_of(program: &str, archive: &str) -> Result<bool, String> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    write_image(Path::new(program), Path::new(archive), architecture, "cumulet:latest")?;
    Ok(true)
}

fn write_image(program: &Path, to: &Path, architecture: &str, tag: &str) -> Result<(), String> {
    let bytes = fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?;
    let libraries = image::libraries(program)?;
    write(to, &image::archive(&bytes, &libraries, architecture, tag)?)
}

/// The program for that target; `compiler` is for what is written in C.
pub fn build(root: &Path, target: &str, compiler: &str, profile: &str) -> Result<PathBuf, String> {
    let known = run::must(root, "rustup", &["target", "list", "--installed"])?;
    if !known.lines().any(|line| line == target) {
        run::must(root, "rustup", &["target", "add", target])
            .map_err(|_| "its target cannot be installed".to_owned())?;
    }
    let variables = cross::variables(root, target, compiler)?;
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    println!("building for {target}");
    let args = ["build", "--quiet", "--profile", profile, "--package", "cloud", "--target", target];
    let finished = run::capture_env(root, &run::cargo(), &args, &variables)?;
    if !finished.ok {
        return Err(run::tail(&finished.text(), 20));
    }
    // The profile `dev` is the one that has another name there.
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(root.join("target").join(target).join(folder).join("cumulet"))
}

/// The help of the program and of each command, one after the other.
fn manual(root: &Path, program: &Path) -> Result<String, String> {
    let program = program.to_string_lossy();
    let help = |words: &[&str]| run::must(root, &program, words);
    let top = help(&["--help"])?;
    let mut page = String::from(
        ".TH CUMULET 1\n.SH NAME\ncumulet \\- a small cloud in one program\n.SH SYNOPSIS\n.B cumulet\n[COMMAND] [OPTIONS]\n.SH DESCRIPTION\n.nf\n",
    );
    page.push_str(&roff(&top));
    page.push_str(".fi\n");
    for command in commands(&top) {
        page.push_str(&format!(".SH {}\n.nf\n", command.to_ascii_uppercase()));
        page.push_str(&roff(&help(&[command, "--help"])?));
        page.push_str(".fi\n");
    }
    Ok(page)
}

/// The first words below `Commands:`.
fn commands(help: &str) -> Vec<&str> {
    let below = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let lines = below.take_while(|line| line.starts_with("  "));
    let first = lines
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    first.filter(|name| *name != "help").collect()
}

fn roff(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        // A line that begins so would be a request.
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        out.push_str(&line.replace('\\', "\\e").replace('-', "\\-"));
        out.push('\n');
    }
    out
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
}

fn write(to: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(to, bytes).map_err(|error| format!("{}: {error}", to.display()))
}

fn size(path: &Path) -> Result<String, String> {
    let bytes = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{name}: {:.1} MB", bytes as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_away_has_a_folder_of_its_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent");
        let text = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
        assert!(text.contains(&format!("[profile.{PROFILE}]")), "cargo knows the profile");
        assert_ne!(Path::new("target").join(PROFILE), Path::new(FOLDER));
    }

    #[test]
    fn commands_of_a_help() {
        let help = "About\n\nUsage: x\n\nCommands:\n  up      Start\n          more\n  status  Say\n  help    Print\n\nOptions:\n  -h\n";
        assert_eq!(commands(help), ["up", "status"]);
    }

    #[test]
    fn a_manual_has_no_requests_of_its_text() {
        assert_eq!(roff(".TH x\n--yes \\"), "\\&.TH x\n\\-\\-yes \\e\n");
    }
}
