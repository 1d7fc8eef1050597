//! What a program of another processor is built with: the musl compiler of that processor where there is one,
//! else zig's, which is a package of PyPI and brings musl along; the linker is then Rust's own.

use crate::run;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const ZIG: &str = "ziglang==0.17.1";

/// Variables for cargo.
pub type Variables = Vec<(String, String)>;

/// `compiler` is the usual name of one that makes programs for musl on that processor.
pub fn variables(root: &Path, target: &str, compiler: &str) -> Result<Variables, String> {
    let low = target.replace('-', "_");
    if run::exists(compiler) {
        return Ok(vec![(format!("CC_{low}"), compiler.to_owned())]);
    }
    if target.starts_with(std::env::consts::ARCH) {
        return Err(format!(
            "there is no {compiler} for what is written in C: it is in musl-tools"
        ));
    }
    let folder = root.join("target/dist-tools");
    let python = zig(root, &folder)?;
    let triple = target.replace("-unknown", "");
    // cc names the target in a form that zig does not know. Without optimisation zig adds checks that want a
    // library of theirs.
    let compile = format!(
        "#!/bin/sh\nfor word; do\n  shift\n  case $word in --target=*) ;; *) set -- \"$@\" \"$word\" ;; esac\ndone\n\
         exec '{}' -m ziglang cc -target {triple} -fno-sanitize=undefined \"$@\"\n",
        python.display()
    );
    let archive = format!("#!/bin/sh\nexec '{}' -m ziglang ar \"$@\"\n", python.display());
    let high = low.to_ascii_uppercase();
    let mut variables = vec![
        (format!("CARGO_TARGET_{high}_LINKER"), "rust-lld".to_owned()),
        (
            format!("CARGO_TARGET_{high}_RUSTFLAGS"),
            "-C linker-flavor=ld.lld -C link-self-contained=yes".to_owned(),
        ),
    ];
    for (variable, name, text) in [("CC", "cc", compile), ("AR", "ar", archive)] {
        let path = folder.join(format!("{target}-{name}"));
        script(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        variables.push((format!("{variable}_{low}"), path.display().to_string()));
    }
    Ok(variables)
}

fn script(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// A Python that has it, made when it is first needed.
fn zig(root: &Path, folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join("bin/python");
    let here = folder.to_string_lossy();
    if !python.is_file() {
        println!("installing {ZIG} into {here}, to compile what is written in C");
        run::must(root, "python3", &["-m", "venv", &here])?;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ZIG];
    run::must(root, &python.to_string_lossy(), &pip)?;
    Ok(python)
}
