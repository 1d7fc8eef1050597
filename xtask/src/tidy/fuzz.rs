//! The fuzz targets are a workspace of their own, which nobody builds in the daily loop. What would
//! leave it behind is found here: a target without its lines in the manifest, one that calls what is
//! not there, and a function for the fuzzer that no target calls.

use super::Checkout;

const FOLDER: &str = "fuzz/fuzz_targets/";

pub fn targets(checkout: &Checkout) -> Vec<String> {
    let mut findings = Vec::new();
    let manifest = checkout.read("fuzz/Cargo.toml");
    let files = |ending: &'static str| checkout.files.iter().filter(move |f| f.ends_with(ending));
    let targets: Vec<_> = files(".rs")
        .filter(|file| file.starts_with(FOLDER))
        .map(|file| (file, checkout.read(file)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    for (file, _) in &targets {
        let path = file.trim_start_matches("fuzz/");
        if !manifest.contains(&format!("path = \"{path}\"")) {
            findings.push(format!("fuzz/Cargo.toml has no [[bin]] for {path}"));
        }
    }
    let sources: Vec<_> = files(".rs")
        .filter(|file| file.starts_with("crates/") || file.starts_with("services/"))
        .map(|file| (file, checkout.read(file)))
        .collect();
    for (file, text) in &targets {
        for name in called(text) {
            let defined = format!("pub fn {name}(");
            if !sources.iter().any(|(_, source)| source.contains(&defined)) {
                findings.push(format!("{file}: there is no `{defined}`"));
            }
        }
    }
    for (file, text) in sources.iter().filter(|(file, _)| file.ends_with("/fuzz.rs")) {
        for name in text.lines().filter_map(|line| line.trim().strip_prefix("pub fn fuzz_")) {
            let name = format!("fuzz_{}(", name.split(['(', '<']).next().unwrap_or(""));
            if !targets.iter().any(|(_, target)| target.contains(&name)) {
                findings.push(format!("{file}: no target in {FOLDER} calls {name})"));
            }
        }
    }
    findings
}

/// The functions of the product that a target calls: `a::fuzz_b(data)` or `a::fuzz(data)`.
fn called(text: &str) -> Vec<&str> {
    let calls = text.match_indices('(').filter_map(|(at, _)| {
        let path = text[..at].rsplit(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).next()?;
        path.rsplit("::").next()
    });
    calls.filter(|name| *name == "fuzz" || name.starts_with("fuzz_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_target() {
        let text = "libfuzzer_sys::fuzz_target!(|data: &[u8]| sts::fuzz(data));";
        assert_eq!(called(text), ["fuzz"]);
        let text = "fuzz_target!(|data| ON.with(|on| a::b::fuzz_request(on, data)));";
        assert_eq!(called(text), ["fuzz_request"]);
        assert_eq!(called("fuzz_target!(|data| other(data));"), [""; 0]);
    }
}
