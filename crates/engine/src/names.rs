//! Ids, names that people see, and the prefixes by which they may call them.

use base::Entropy;

const LEFT: &[&str] = &[
    "able", "amber", "bold", "brave", "bright", "calm", "clever", "cool", "crisp", "eager", "fair",
    "fond", "gentle", "glad", "happy", "hardy", "keen", "kind", "lively", "lucid", "merry",
    "nimble", "noble", "proud", "quick", "quiet", "ready", "sharp", "sunny", "swift", "vivid",
    "warm", "wise", "witty", "zealous",
];
const RIGHT: &[&str] = &[
    "babbage",
    "bell",
    "bohr",
    "boole",
    "cerf",
    "codd",
    "curie",
    "dijkstra",
    "euler",
    "faraday",
    "fermat",
    "fourier",
    "franklin",
    "gauss",
    "hamilton",
    "hopper",
    "kepler",
    "kernighan",
    "knuth",
    "lamport",
    "liskov",
    "lovelace",
    "maxwell",
    "meitner",
    "noether",
    "pascal",
    "perlman",
    "ritchie",
    "shannon",
    "torvalds",
    "turing",
    "wing",
    "wirth",
];

/// 64 hexadecimal digits. Never digits alone in its short form, which Docker reads as a number.
pub fn new_id(entropy: &dyn Entropy) -> String {
    loop {
        let id = entropy.text(b"0123456789abcdef", 64);
        if id[..12].bytes().any(|b| !b.is_ascii_digit()) {
            return id;
        }
    }
}

/// A name for what was given none.
pub fn random_name(entropy: &dyn Entropy, round: u32) -> String {
    let pick = |list: &[&'static str]| list[entropy.below(list.len() as u64) as usize];
    let name = format!("{}_{}", pick(LEFT), pick(RIGHT));
    match round {
        0 => name,
        _ => format!("{name}{}", entropy.below(10_u64.pow(round.min(9)))),
    }
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn is_name(name: &str) -> bool {
    name.len() >= 2
        && name.len() <= 255
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// What the text means among ids and names: a whole id, a name, or the beginning of one id.
pub enum Found {
    One(String),
    None,
    Many,
}

pub fn find<'a>(text: &str, all: impl Iterator<Item = (&'a str, &'a str)>) -> Found {
    let text = text.strip_prefix('/').unwrap_or(text);
    let mut beginning: Option<&str> = None;
    let mut several = false;
    let mut named = None;
    for (id, name) in all {
        if id == text {
            return Found::One(id.to_owned());
        }
        if name == text {
            named = Some(id);
        }
        if !text.is_empty() && id.starts_with(text) {
            several |= beginning.is_some();
            beginning = Some(id);
        }
    }
    match (named, beginning, several) {
        (Some(id), ..) => Found::One(id.to_owned()),
        (None, Some(_), true) => Found::Many,
        (None, Some(id), false) => Found::One(id.to_owned()),
        (None, None, _) => Found::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::SeededEntropy;

    #[test]
    fn ids_and_names() {
        let entropy = SeededEntropy::new(1);
        let id = new_id(&entropy);
        assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        for round in 0..3 {
            assert!(is_name(&random_name(&entropy, round)));
        }
        for bad in ["", "a", "-a", "a/b", "a b", ".a", "ä1", &"a".repeat(256)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_name("a1_.-"));
    }

    #[test]
    fn finding() {
        let all = [("aabb", "web"), ("aacc", "db"), ("bbcc", "aabb1")];
        let check = |text: &str, expected: &str| {
            let found = match find(text, all.iter().copied()) {
                Found::One(id) => id,
                Found::None => "none".to_owned(),
                Found::Many => "many".to_owned(),
            };
            assert_eq!(found, expected, "{text}");
        };
        check("aabb", "aabb");
        check("web", "aabb");
        check("/db", "aacc");
        check("aa", "many");
        check("b", "bbcc");
        check("aabb1", "bbcc");
        check("x", "none");
        check("", "none");
    }
}
