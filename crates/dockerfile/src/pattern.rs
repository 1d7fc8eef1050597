//! Shell patterns: `*`, `?`, `[a-z]`, and `\` before any of them.

/// One element of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Char(char),
    Any,
    Set(bool, Vec<(char, char)>),
    /// `*`; `**` crosses slashes.
    Many {
        slashes: bool,
    },
}

/// A pattern, ready to be matched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    parts: Vec<Part>,
    /// Whether `*`, `?` and sets match slashes.
    slashes: bool,
}

impl Pattern {
    /// `None` if it is malformed. `slashes`: whether a slash is a character like any other.
    pub fn parse(text: &str, slashes: bool) -> Option<Pattern> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => parts.push(Part::Char(chars.next()?)),
                '?' => parts.push(Part::Any),
                '*' => {
                    let double = chars.peek() == Some(&'*');
                    while chars.peek() == Some(&'*') {
                        chars.next();
                    }
                    parts.push(Part::Many { slashes: double || slashes });
                }
                '[' => {
                    let negated = matches!(chars.peek(), Some('^' | '!'));
                    if negated {
                        chars.next();
                    }
                    let mut ranges = Vec::new();
                    loop {
                        let low = match chars.next()? {
                            ']' if !ranges.is_empty() => break,
                            '\\' => chars.next()?,
                            c => c,
                        };
                        let mut high = low;
                        if chars.peek() == Some(&'-') {
                            chars.next();
                            match chars.next()? {
                                ']' => {
                                    ranges.push((low, low));
                                    ranges.push(('-', '-'));
                                    break;
                                }
                                c => high = c,
                            }
                        }
                        ranges.push((low, high));
                    }
                    parts.push(Part::Set(negated, ranges));
                }
                c => parts.push(Part::Char(c)),
            }
        }
        Some(Pattern { parts, slashes })
    }

    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // Which parts may come next, after each character: no pattern takes more than its length
        // times that of the text.
        let mut states = vec![false; self.parts.len() + 1];
        states[0] = true;
        self.close(&mut states);
        for c in text {
            let mut next = vec![false; self.parts.len() + 1];
            for (at, part) in self.parts.iter().enumerate() {
                if !states[at] {
                    continue;
                }
                match part {
                    Part::Many { slashes } if *slashes || c != '/' => next[at] = true,
                    Part::Many { .. } => {}
                    part if self.one(part, c) => next[at + 1] = true,
                    _ => {}
                }
            }
            self.close(&mut next);
            states = next;
        }
        states[self.parts.len()]
    }

    /// What matches nothing may be passed over.
    fn close(&self, states: &mut [bool]) {
        for (at, part) in self.parts.iter().enumerate() {
            if states[at] && matches!(part, Part::Many { .. }) {
                states[at + 1] = true;
            }
        }
    }

    fn one(&self, part: &Part, c: char) -> bool {
        match part {
            Part::Char(own) => *own == c,
            Part::Any => self.slashes || c != '/',
            Part::Set(negated, ranges) => {
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                (self.slashes || c != '/') && inside != *negated
            }
            Part::Many { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a*c", "abbc", true),
            ("a*c", "ab/c", false),
            ("a**c", "ab/c", true),
            ("?", "x", true),
            ("?", "/", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[]-]", "-", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*.go", "x.go", true),
            ("", "", true),
            ("*", "", true),
        ] {
            let parsed = Pattern::parse(pattern, false).unwrap();
            assert_eq!(parsed.matches(text), expected, "{pattern} {text}");
        }
        assert!(Pattern::parse("[a", false).is_none() && Pattern::parse("a\\", false).is_none());
        assert!(Pattern::parse("*", true).unwrap().matches("a/b"));
    }
}
