//! The fuzz targets are a workspace of their own, which nobody builds in the daily loop. What would
//! leave it behind is found here: a target without its lines in the manifest, one that calls what is
//! not there, a function for the fuzzer that no target calls, and a crate with parsers that has no target.

use super::Checkout;

const FOLDER: &str = "fuzz/fuzz_targets/";

/// Crates whose parsers no target runs, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("crates/bench", "reads its own command line and the answers of what it measures"),
    ("crates/cloud", "is no library; its unit suite runs noise through its parsers"),
    ("crates/directory", "reads policies again that were checked when they were put"),
    ("crates/soak", "reads its own command line and the kernel's requests"),
];

/// Crates with a function that parses, and no target that names them.
pub fn parsers(checkout: &Checkout) -> Vec<String> {
    let rust = |start: &'static [&'static str]| {
        let of = move |f: &&String| start.iter().any(|s| f.starts_with(s)) && f.ends_with(".rs");
        checkout.files.iter().filter(of)
    };
    let targets: String = rust(&[FOLDER]).map(|file| checkout.read(file)).collect();
    let mut with = std::collections::BTreeSet::new();
    for file in rust(&["crates/", "services/"]) {
        let mut parts = file.splitn(4, '/');
        let (Some(kind), Some(name), Some("src")) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if !file.contains("/tests") && parses(&checkout.read(file)) {
            with.insert(format!("{kind}/{name}"));
        }
    }
    let mut findings = Vec::new();
    for folder in &with {
        let name = folder.rsplit('/').next().unwrap_or_default().replace('-', "_");
        let library =
            if folder.starts_with("services/") { format!("service_{name}") } else { name };
        let is_run = targets.contains(&format!(" {library}::"))
            || targets.contains(&format!("({library}::"));
        let is_excused = WITHOUT.iter().any(|(excused, _)| excused == folder);
        match (is_run, is_excused) {
            (false, false) => findings.push(format!("{folder} parses, and no fuzz target runs it")),
            (true, true) => {
                findings.push(format!("{folder} has a fuzz target: take it off the list"))
            }
            _ => {}
        }
    }
    let gone = WITHOUT.iter().filter(|(folder, _)| !with.contains(*folder));
    findings
        .extend(gone.map(|(folder, _)| format!("{folder} parses nothing: take it off the list")));
    findings
}

/// Whether a file has a function that is called after parsing and takes text or bytes.
fn parses(source: &str) -> bool {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    source.match_indices("fn parse").any(|(at, _)| {
        let head = source[at..].split(['{', ';']).next().unwrap_or_default();
        let arguments = head.split_once('(').map_or("", |(_, rest)| rest);
        let arguments = arguments.split(')').next().unwrap_or_default();
        arguments.contains("str") || arguments.contains("[u8]")
    })
}

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
    fn functions_that_parse() {
        assert!(parses("impl X { pub fn parse(text: &str) -> Option<X> { None } }"));
        assert!(parses("fn parse_head<'a>(\n    bytes: &'a [u8],\n) -> Head<'a> {}"));
        assert!(!parses("fn parse(&self) -> String { todo }"));
        assert!(!parses("fn purse(text: &str) {}"));
        assert!(!parses("fn a() {}\n#[cfg(test)]\nmod tests { fn parse(text: &str) {} }"));
    }

    #[test]
    fn calls_of_a_target() {
        let text = "libfuzzer_sys::fuzz_target!(|data: &[u8]| sts::fuzz(data));";
        assert_eq!(called(text), ["fuzz"]);
        let text = "fuzz_target!(|data| ON.with(|on| a::b::fuzz_request(on, data)));";
        assert_eq!(called(text), ["fuzz_request"]);
        assert_eq!(called("fuzz_target!(|data| other(data));"), [""; 0]);
    }
}
