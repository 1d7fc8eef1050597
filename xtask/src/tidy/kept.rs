//! What the store keeps must be read by every later build: numbers and types of tables and of the fields of
//! rows only come, they never go and never change. Those that a release may have written are recorded in
//! [`RECORD`], by `cargo test -p xtask -- --ignored record_what_is_kept`; what is new since may still change.
//! Beside it, what is counted must be counted by somebody.

use super::Checkout;
use std::collections::BTreeSet;

const RECORD: &str = "crates/store/fixtures/rows.txt";

fn sources<'a>(checkout: &'a Checkout<'_>) -> impl Iterator<Item = (&'a str, String)> {
    let is_source = |file: &&String| {
        let place = file.starts_with("crates/") || file.starts_with("services/");
        place && file.ends_with(".rs") && file.contains("/src/") && !file.contains("/tests")
    };
    checkout.files.iter().filter(is_source).map(|file| {
        let text = checkout.read(file);
        let own = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        (file.as_str(), own)
    })
}

/// Whether what is kept has the numbers and types that it had.
pub fn rows(checkout: &Checkout) -> Vec<String> {
    let found = kept(checkout);
    let recorded = checkout.read(RECORD);
    let gone = recorded.lines().filter(|line| !found.contains(*line));
    let mut findings: Vec<String> = gone
        .map(|line| format!("{line}: is gone or another one; what was written is read for ever"))
        .collect();
    if recorded.is_empty() {
        findings.push(format!("{RECORD} has nothing in it"));
    }
    findings
}

fn kept(checkout: &Checkout) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, text) in sources(checkout) {
        let home = file.split("/src/").next().unwrap_or_default();
        found.extend(tables(&text));
        found.extend(fields(home, &text));
    }
    found
}

/// What is declared with a number, and types before that.
const NUMBERED: [(&str, &str, &str); 3] = [
    ("table", "Table<", "Table::new(0x"),
    ("table", "Table<", "Table::internal(0x"),
    ("job", "JobKind<", "JobKind::new(0x"),
];

/// `table NUMBER NAME KEY, ROW` for each, and `job NUMBER NAME KEY`.
fn tables(text: &str) -> Vec<String> {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for (kind, generic, new) in NUMBERED {
        for (at, word) in one_line.match_indices(new) {
            let before = &one_line[..at];
            let Some(start) = before.rfind(generic) else { continue };
            let types = &before[start + generic.len()..];
            let types = types.rsplit_once('>').map_or(types, |(types, _)| types);
            let rest = &one_line[at + word.len()..];
            let Some((arguments, _)) = rest.split_once(')') else { continue };
            let Some((number, name)) = arguments.split_once(',') else { continue };
            let name = name.trim().trim_matches('"');
            found.push(format!("{kind} {number} {name} {types}"));
        }
    }
    found
}

/// `row HOME NAME NUMBER TYPE` for each field, and the same of variants.
fn fields(home: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut inside, mut name) = (false, "");
    for line in text.lines() {
        let words = line.trim();
        if words.ends_with("row! {") || words.ends_with("row_enum! {") {
            inside = true;
        } else if line == "}" {
            inside = false;
        }
        if !inside {
            continue;
        }
        let head = words.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        let head = head.trim_start_matches("pub ");
        if let Some(rest) = head.strip_prefix("struct ").or_else(|| head.strip_prefix("enum ")) {
            name = rest.split([' ', '{', '<']).next().unwrap_or_default();
        }
        let Some((number, what)) = words.split_once(" => ") else { continue };
        if number.parse::<u32>().is_err() {
            continue;
        }
        let what = what.split("//").next().unwrap_or_default().trim().trim_end_matches(',');
        let what = what.split_once(": ").map_or(what, |(_, kind)| kind);
        found.push(format!("row {home} {name} {number} {what}"));
    }
    found
}

/// Where counters are declared, and where they are shown.
const COUNTERS: [&str; 2] = ["crates/store/src/metrics.rs", "crates/gateway/src/metrics.rs"];
const SHOWN: &str = "crates/gateway/src/pages.rs";

/// Counters that nobody counts.
pub fn counters(checkout: &Checkout) -> Vec<String> {
    let mut findings = Vec::new();
    for file in COUNTERS {
        let home = file.split("metrics.rs").next().unwrap_or_default();
        let counting: String = sources(checkout)
            .filter(|(other, _)| other.starts_with(home) && *other != SHOWN)
            .map(|(_, text)| text)
            .collect();
        let shown = checkout.read(SHOWN);
        for line in checkout.read(file).lines() {
            let Some((name, kind)) = line.trim().trim_start_matches("pub ").split_once(": ") else {
                continue;
            };
            if !line.starts_with("    pub ") || !kind.starts_with("AtomicU64") {
                continue;
            }
            let used = |text: &str| {
                text.match_indices(&format!(".{name}")).any(|(at, word)| {
                    let next = text[at + word.len()..].chars().next().unwrap_or(' ');
                    let reads = text[at + word.len()..].starts_with(".load(");
                    !next.is_alphanumeric() && next != '_' && !reads
                })
            };
            if !used(&counting) {
                findings.push(format!("{file}: nobody counts {name}"));
            }
            if !shown.contains(&format!(".{name}")) {
                findings.push(format!("{file}: {SHOWN} does not show {name}"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found() {
        let text = "\
pub const A: Table<String, ARow> = Table::new(0x0101, \"s.a\");
const B: Table<(u64, Desc<u64>), ()> =
    Table::new(0x0102, \"s.b\");
const C: JobKind<(u64, String)> = JobKind::new(0x0101, \"s.work\");

row! {
    /// Words.
    pub struct ARow {
        /// 9 => nothing,
        1 => name: String,
        20 => all: BTreeMap<String, String>, // of them
    }
}

row_enum! {
    pub(crate) enum Kind {
        0 => Small,
    }
}

fn f(n: u32) -> u32 {
    match n {
        1 => 2,
    }
}
";
        let expected = [
            "table 0101 s.a String, ARow",
            "table 0102 s.b (u64, Desc<u64>), ()",
            "job 0101 s.work (u64, String)",
        ];
        assert_eq!(tables(text), expected);
        let expected =
            ["row x ARow 1 String", "row x ARow 20 BTreeMap<String, String>", "row x Kind 0 Small"];
        assert_eq!(fields("x", text), expected);
    }
    #[test]
    #[ignore = "records what is new, for a release"]
    fn record_what_is_kept() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let listed = crate::run::must(root, "git", &["ls-files"]).unwrap();
        let files: Vec<&str> = listed.lines().collect();
        let checkout = super::super::checkout_of(root, &files, serde_json::Value::Null);
        let lines: Vec<String> = kept(&checkout).into_iter().collect();
        std::fs::write(root.join(RECORD), lines.join("\n") + "\n").unwrap();
    }
}
