//! What the fuzz targets call, and the unit suite from fixed seeds.

use crate::{Expander, Ignore, parse};

/// A Dockerfile of any kind, with its words expanded.
pub fn dockerfile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(parsed) = parse(text) {
        assert!(!parsed.stages.is_empty());
        for command in parsed.stages.iter().flat_map(|stage| &stage.commands) {
            word(command.text.as_bytes());
        }
    }
}

pub fn word(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lookup = |name: &str| (name.len() == 1).then(|| format!("{name} {name}"));
    let expander = Expander::new('\\', &lookup);
    let _ = expander.word(text);
    let _ = expander.words(text);
}

/// The first line is a path, the rest the file.
pub fn ignore(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (path, rules) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(ignore) = Ignore::parse(rules) {
        let _ = ignore.is_out(path);
    }
}

#[cfg(test)]
mod tests {
    /// Pieces of the language, put together by a small generator with a fixed seed.
    #[test]
    fn seeded_smoke() {
        const PIECES: &[&str] = &[
            "FROM",
            "a",
            " ",
            "\n",
            "\\\n",
            "RUN",
            "COPY",
            "--from=",
            "<<E",
            "E",
            "$",
            "${",
            "}",
            ":-",
            "\"",
            "'",
            "\\",
            "[",
            "]",
            "#",
            "escape=`",
            "=",
            "*",
            "**",
            "/",
            "!",
            "ONBUILD",
            "HEALTHCHECK",
            "CMD",
            "ENV",
            "ARG",
            "é",
            "1h",
            "%%",
            "//",
            "`",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..state % 40 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                text.push_str(PIECES[(state % PIECES.len() as u64) as usize]);
            }
            state = state.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
            super::dockerfile(text.as_bytes());
            super::word(text.as_bytes());
            super::ignore(text.as_bytes());
        }
    }
}
