//! The program for another processor, translated as it runs (qemu-user), under clients of this machine.

use crate::report::Tally;
use crate::{black_box, dist, install, run};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const QEMU: &str = "qemu-aarch64-static";
const TARGET: &str = "aarch64-unknown-linux-musl";
const PACKAGES: [(&str, &str); 1] = [(QEMU, "qemu-user-static")];
/// Of the suite: what a person does first, and what must not be lost. Nothing with containers, whose calls to the
/// kernel (openat2) qemu-user does not know, and nothing that is asked to be fast.
const TESTS: &str = "test_version or test_a_first_hour or test_a_large_file_goes_in_parts or test_sync_both_ways \
                     or test_with_the_cli or test_uploads_in_parts_outlive_a_kill \
                     or test_everything_else_outlives_a_kill or test_one_line_says_where_it_is";

/// Builds it as the tests' own program is built, and runs those tests with it.
pub fn arm64(root: &Path) -> Result<Tally, String> {
    if !cfg!(target_arch = "x86_64") {
        println!("    skipped: it is for machines of x86-64");
        return Ok(Tally::default());
    }
    install::packages(&PACKAGES)?;
    install::everything(root)?;
    let program = dist::build(root, TARGET, "aarch64-linux-musl-gcc", "dev")?;
    black_box::suite_of(root, &translated(root, &program)?, &["-m", "not soak", "-k", TESTS])
}

/// A program of this machine that is that one.
fn translated(root: &Path, program: &Path) -> Result<PathBuf, String> {
    let qemu = run::find(QEMU).ok_or_else(|| format!("there is no {QEMU}"))?;
    let path = root.join("target/qemu/cumulet-arm64");
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(root.join("target/qemu")).map_err(told)?;
    let text = format!(
        "#!/bin/sh\nCUMULET_DOCKER_SOCKET=none exec '{}' '{}' \"$@\"\n",
        qemu.display(),
        program.display()
    );
    std::fs::write(&path, text).map_err(told)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).map_err(told)?;
    Ok(path)
}

/// What it says of its version, if this machine has what translates it; `None` if not.
pub fn version(root: &Path, architecture: &str, program: &Path) -> Result<Option<String>, String> {
    let qemu = if architecture == "arm64" { run::find(QEMU) } else { None };
    let Some(qemu) = qemu else { return Ok(None) };
    let words = [&program.to_string_lossy(), "version"];
    run::must(root, &qemu.to_string_lossy(), &words).map(|text| Some(text.trim().to_owned()))
}
