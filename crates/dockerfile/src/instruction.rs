//! One instruction: its flags and its words.

use crate::error::ParseError;
use crate::lines::{Heredoc, Line, announcement};
use crate::words::split_words;

/// A command as a list of words, or as one text for a shell.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Words {
    pub words: Vec<String>,
    pub for_shell: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct From {
    pub image: String,
    pub platform: Option<String>,
    pub name: Option<String>,
}

/// `ARG name=default`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arg {
    pub name: String,
    pub default: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Copy {
    /// `ADD`: URLs and archives are taken as such.
    pub is_add: bool,
    pub sources: Vec<String>,
    pub heredocs: Vec<Heredoc>,
    pub to: String,
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub checksum: Option<String>,
    pub exclude: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Run {
    pub command: Words,
    pub heredocs: Vec<Heredoc>,
    /// `none`, `host` or `default`.
    pub network: Option<String>,
    /// Each as it stands: variables in it count when the step runs.
    pub mounts: Vec<String>,
    pub is_insecure: bool,
}

/// Durations are nanoseconds; 0 inherits.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Healthcheck {
    /// `NONE`, or `CMD` or `CMD-SHELL` and words.
    pub test: Vec<String>,
    pub interval: i64,
    pub timeout: i64,
    pub start_period: i64,
    pub start_interval: i64,
    pub retries: i64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Instruction {
    From(From),
    Arg(Vec<Arg>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Maintainer(String),
    Copy(Copy),
    Run(Run),
    Cmd(Words),
    Entrypoint(Words),
    Expose(Vec<String>),
    Volume(Vec<String>),
    User(String),
    Workdir(String),
    Onbuild(String),
    Healthcheck(Healthcheck),
    StopSignal(String),
    Shell(Vec<String>),
}

/// Those that begin with `--`, before the words.
struct Flags {
    flags: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Cuts them off the front of what follows the keyword.
    fn cut(mut text: &str, escape: char) -> (Flags, &str) {
        let mut flags = Vec::new();
        loop {
            text = text.trim_start();
            if !text.starts_with("--") {
                return (Flags { flags }, text);
            }
            let word = split_words(text, escape).into_iter().next().unwrap_or_default();
            text = &text[word.len()..];
            let flag = word.trim_start_matches("--");
            if flag.is_empty() {
                return (Flags { flags }, text.trim_start());
            }
            let unquoted = |text: &str| text.trim_matches('"').to_owned();
            flags.push(match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(unquoted(value))),
                None => (flag.to_owned(), None),
            });
        }
    }

    /// Takes one out that may stand there once.
    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        let mut values = self.all(name)?;
        match values.len() {
            0 => Ok(None),
            1 => Ok(values.pop()),
            _ => Err(format!("duplicate flag specified: {name}")),
        }
    }

    fn all(&mut self, name: &str) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        let mut rest = Vec::new();
        for (own, value) in std::mem::take(&mut self.flags) {
            match value {
                Some(value) if own == name => values.push(value),
                None if own == name => return Err(format!("missing a value on flag: {name}")),
                value => rest.push((own, value)),
            }
        }
        self.flags = rest;
        Ok(values)
    }

    /// Set by its name alone, or to `true` or `false`.
    fn switch(&mut self, name: &str) -> Result<bool, String> {
        let found = self.flags.iter().position(|(own, _)| own == name);
        let Some(at) = found else { return Ok(false) };
        match self.flags.remove(at).1.as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(format!("expecting boolean value for flag {name}, not: {other}")),
        }
    }

    fn end(self) -> Result<(), String> {
        match self.flags.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("unknown flag: --{name}")),
        }
    }
}

/// An instruction that stands alone, as in `docker commit --change`.
pub fn parse_instruction(text: &str) -> Result<Instruction, ParseError> {
    let text = text.trim().to_owned();
    parse(&Line { number: 1, text, heredocs: Vec::new() }, '\\')
}

pub fn parse(line: &Line, escape: char) -> Result<Instruction, ParseError> {
    parse_line(line, escape).map_err(|text| ParseError::new(line.number, text))
}

fn parse_line(line: &Line, escape: char) -> Result<Instruction, String> {
    let (keyword, rest) =
        line.text.split_once(char::is_whitespace).unwrap_or((line.text.as_str(), ""));
    let keyword = keyword.to_ascii_uppercase();
    if keyword == "ONBUILD" {
        return onbuild(rest.trim());
    }
    let (mut flags, rest) = Flags::cut(rest, escape);
    let instruction = match keyword.as_str() {
        "FROM" => from(&mut flags, rest),
        "ARG" => args(rest, escape),
        "ENV" => pairs("ENV", rest, escape).map(Instruction::Env),
        "LABEL" => pairs("LABEL", rest, escape).map(Instruction::Label),
        "MAINTAINER" => one("MAINTAINER", rest).map(Instruction::Maintainer),
        "ADD" | "COPY" => copy(keyword == "ADD", &mut flags, rest, line, escape),
        "RUN" => run(&mut flags, rest, line),
        "CMD" => Ok(Instruction::Cmd(command(rest))),
        "ENTRYPOINT" => Ok(Instruction::Entrypoint(command(rest))),
        "EXPOSE" => list("EXPOSE", rest, escape).map(Instruction::Expose),
        "VOLUME" => volume(rest, escape),
        "USER" => one("USER", rest).map(Instruction::User),
        "WORKDIR" => one("WORKDIR", rest).map(Instruction::Workdir),
        "HEALTHCHECK" => healthcheck(&mut flags, rest),
        "STOPSIGNAL" => one("STOPSIGNAL", rest).map(Instruction::StopSignal),
        "SHELL" => match json_words(rest) {
            Some(words) if words.is_empty() => {
                Err("SHELL requires at least one argument".to_owned())
            }
            Some(words) => Ok(Instruction::Shell(words)),
            None => Err("SHELL requires the arguments to be in JSON form".to_owned()),
        },
        other => return Err(format!("unknown instruction: {other}")),
    }?;
    flags.end()?;
    Ok(instruction)
}

fn onbuild(rest: &str) -> Result<Instruction, String> {
    let trigger = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match trigger.as_str() {
        "" => Err("ONBUILD requires at least one argument".to_owned()),
        "ONBUILD" => Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
        "MAINTAINER" | "FROM" => Err(format!("{trigger} isn't allowed as an ONBUILD trigger")),
        _ => Ok(Instruction::Onbuild(rest.to_owned())),
    }
}

fn from(flags: &mut Flags, rest: &str) -> Result<Instruction, String> {
    let platform = flags.text("platform")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (image, name) = match words.as_slice() {
        [image] => (*image, None),
        [image, word, name] if word.eq_ignore_ascii_case("as") => {
            let name = name.to_ascii_lowercase();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
            if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
                return Err(format!(
                    "invalid name for build stage: {name:?}, name can't start with a number or \
                     contain symbols"
                ));
            }
            (*image, Some(name))
        }
        _ => return Err("FROM requires either one or three arguments".to_owned()),
    };
    Ok(Instruction::From(From { image: image.to_owned(), platform, name }))
}

fn args(rest: &str, escape: char) -> Result<Instruction, String> {
    let words = split_words(rest, escape);
    if words.is_empty() {
        return Err("ARG requires at least one argument".to_owned());
    }
    let parsed = words.iter().map(|word| {
        let (name, default) = match word.split_once('=') {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (word.as_str(), None),
        };
        if name.is_empty() {
            return Err("ARG names can not be blank".to_owned());
        }
        Ok(Arg { name: name.to_owned(), default })
    });
    Ok(Instruction::Arg(parsed.collect::<Result<_, _>>()?))
}

/// `a=b c=d`, or of old `a b c d` where all after the first is the value.
fn pairs(keyword: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    if rest.is_empty() {
        return Err(format!("{keyword} requires at least one argument"));
    }
    let words = split_words(rest, escape);
    let first = words.first().map(String::as_str).unwrap_or_default();
    if !first.contains('=') {
        return match rest.split_once(char::is_whitespace) {
            Some((name, value)) => Ok(vec![(name.to_owned(), value.trim_start().to_owned())]),
            None => Err(format!("{keyword} must have two arguments")),
        };
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err(format!("{keyword} names can not be blank")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => {
            Err(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value"))
        }
    };
    words.iter().map(pair).collect()
}

fn one(keyword: &str, rest: &str) -> Result<String, String> {
    match rest.trim() {
        "" => Err(format!("{keyword} requires exactly one argument")),
        text => Ok(text.to_owned()),
    }
}

fn list(keyword: &str, rest: &str, escape: char) -> Result<Vec<String>, String> {
    let words = split_words(rest, escape);
    match words.is_empty() {
        true => Err(format!("{keyword} requires at least one argument")),
        false => Ok(words),
    }
}

fn volume(rest: &str, escape: char) -> Result<Instruction, String> {
    let words = json_words(rest).unwrap_or_else(|| split_words(rest, escape));
    if words.is_empty() {
        return Err("VOLUME requires at least one argument".to_owned());
    }
    if words.iter().any(|word| word.trim().is_empty()) {
        return Err("VOLUME specified can not be an empty string".to_owned());
    }
    Ok(Instruction::Volume(words))
}

/// `["a", "b"]`; anything else is no such list.
fn json_words(text: &str) -> Option<Vec<String>> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok()
}

fn command(rest: &str) -> Words {
    match json_words(rest) {
        Some(words) => Words { words, for_shell: false },
        None if rest.is_empty() => Words { words: Vec::new(), for_shell: false },
        None => Words { words: vec![rest.to_owned()], for_shell: true },
    }
}

fn copy(
    is_add: bool,
    flags: &mut Flags,
    rest: &str,
    line: &Line,
    escape: char,
) -> Result<Instruction, String> {
    let keyword = if is_add { "ADD" } else { "COPY" };
    let (chown, chmod) = (flags.text("chown")?, flags.text("chmod")?);
    let exclude = flags.all("exclude")?;
    // Layers are kept by what is below them, so this asks for nothing.
    flags.switch("link")?;
    let from = if is_add { None } else { flags.text("from")? };
    let checksum = if is_add { flags.text("checksum")? } else { None };
    let mut words = json_words(rest).unwrap_or_else(|| split_words(rest, escape));
    let Some(to) = words.pop() else {
        return Err(format!("{keyword} requires at least two arguments"));
    };
    if words.is_empty() {
        return Err(format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination \
             could not be determined."
        ));
    }
    if announcement(&to).is_some() {
        return Err(format!("{keyword} cannot accept a heredoc as a destination"));
    }
    words.retain(|word| announcement(word).is_none());
    let heredocs = line.heredocs.clone();
    let copy = Copy { is_add, sources: words, heredocs, to, from, chown, chmod, checksum, exclude };
    Ok(Instruction::Copy(copy))
}

fn run(flags: &mut Flags, rest: &str, line: &Line) -> Result<Instruction, String> {
    let network = flags.text("network")?;
    let mounts = flags.all("mount")?;
    for mount in mounts.iter().filter(|mount| !mount.contains('$')) {
        crate::mount::Mount::parse(mount, &|value| Ok(value.to_owned()))?;
    }
    let is_insecure = match flags.text("security")?.as_deref() {
        None | Some("sandbox") => false,
        Some("insecure") => true,
        Some(other) => return Err(format!("security {other:?} is not valid")),
    };
    if network.as_ref().is_some_and(|mode| !["none", "host", "default"].contains(&mode.as_str())) {
        let mode = network.unwrap_or_default();
        return Err(format!("invalid network mode: {mode:?}"));
    }
    if rest.is_empty() {
        return Err("RUN requires at least one argument".to_owned());
    }
    let heredocs = line.heredocs.clone();
    let command = command(rest);
    Ok(Instruction::Run(Run { command, heredocs, network, mounts, is_insecure }))
}

fn healthcheck(flags: &mut Flags, rest: &str) -> Result<Instruction, String> {
    let (kind, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let mut duration = |name: &str, least_ns: i64| -> Result<i64, String> {
        let Some(text) = flags.text(name)? else { return Ok(0) };
        match duration_ns(&text) {
            Some(0) => Ok(0),
            Some(ns) if ns >= least_ns => Ok(ns),
            Some(_) => Err(format!("Interval \"{name}\" cannot be less than 1ms")),
            None => Err(format!("time: invalid duration {text:?}")),
        }
    };
    const MS: i64 = 1_000_000;
    let mut health = Healthcheck {
        interval: duration("interval", MS)?,
        timeout: duration("timeout", MS)?,
        start_period: duration("start-period", MS)?,
        start_interval: duration("start-interval", MS)?,
        ..Healthcheck::default()
    };
    if let Some(text) = flags.text("retries")? {
        health.retries = match text.parse() {
            Ok(count @ 0..) => count,
            Ok(count) => return Err(format!("--retries cannot be negative ({count})")),
            Err(_) => return Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
        };
    }
    health.test = match kind.to_ascii_uppercase().as_str() {
        "" => return Err("HEALTHCHECK requires at least one argument".to_owned()),
        "NONE" if words.trim().is_empty() => vec!["NONE".to_owned()],
        "NONE" => return Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        "CMD" => match command(words.trim()) {
            Words { words, .. } if words.is_empty() => {
                return Err("Missing command after HEALTHCHECK CMD".to_owned());
            }
            Words { words, for_shell } => {
                let how = if for_shell { "CMD-SHELL" } else { "CMD" };
                [vec![how.to_owned()], words].concat()
            }
        },
        other => return Err(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)")),
    };
    Ok(Instruction::Healthcheck(health))
}

/// As Go writes them: `1m30s`, `1.5s`, `100ms`.
fn duration_ns(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0f64;
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        sum += number * scale;
        rest = &rest[unit..];
    }
    (sum <= i64::MAX as f64).then_some(sum as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn ok(text: &str) -> Instruction {
        parse_instruction(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn all_kinds() {
        let from = |image: &str, platform: Option<&str>, name: Option<&str>| {
            Instruction::From(From {
                image: image.to_owned(),
                platform: platform.map(str::to_owned),
                name: name.map(str::to_owned),
            })
        };
        assert_eq!(ok("from a:1"), from("a:1", None, None));
        assert_eq!(
            ok("FROM --platform=linux/amd64 a AS B"),
            from("a", Some("linux/amd64"), Some("b"))
        );
        assert_eq!(
            ok("CMD a b"),
            Instruction::Cmd(Words { words: strings(&["a b"]), for_shell: true })
        );
        assert_eq!(
            ok("ENTRYPOINT [\"a\", \"b\"]"),
            Instruction::Entrypoint(Words { words: strings(&["a", "b"]), for_shell: false })
        );
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            ok("ENV a=1 b=\"2 3\""),
            Instruction::Env(vec![pair("a", "1"), pair("b", "\"2 3\"")])
        );
        assert_eq!(ok("ENV a b c"), Instruction::Env(vec![pair("a", "b c")]));
        assert_eq!(ok("VOLUME [\"/a\"]"), Instruction::Volume(strings(&["/a"])));
        assert_eq!(ok("EXPOSE 80 81/udp"), Instruction::Expose(strings(&["80", "81/udp"])));
        assert_eq!(ok("ONBUILD RUN x"), Instruction::Onbuild("RUN x".to_owned()));
        let Instruction::Copy(copy) = ok("COPY --from=b --chown=1:2 --chmod=755 --link a c /d/")
        else {
            panic!()
        };
        assert_eq!((copy.sources, copy.to), (strings(&["a", "c"]), "/d/".to_owned()));
        assert_eq!((copy.from.as_deref(), copy.chown.as_deref()), (Some("b"), Some("1:2")));
        let Instruction::Healthcheck(health) =
            ok("HEALTHCHECK --interval=1m30s --retries=3 CMD a b")
        else {
            panic!()
        };
        assert_eq!((health.interval, health.retries), (90_000_000_000, 3));
        assert_eq!(health.test, strings(&["CMD-SHELL", "a b"]));
    }

    #[test]
    fn mistakes() {
        for (text, part) in [
            ("FORM a", "unknown instruction: FORM"),
            ("FROM", "FROM requires either one or three arguments"),
            ("FROM a AS 1b", "invalid name for build stage"),
            ("COPY a", "COPY requires at least two arguments, but only one was provided"),
            ("COPY --form=x a b", "unknown flag: --form"),
            ("COPY --from a b", "missing a value on flag: from"),
            ("ENV a", "ENV must have two arguments"),
            ("ENV a=b c", "can't find = in \"c\""),
            ("EXPOSE", "EXPOSE requires at least one argument"),
            ("SHELL a b", "SHELL requires the arguments to be in JSON form"),
            ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
            ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
            ("HEALTHCHECK FOO", "Unknown type \"FOO\""),
            ("HEALTHCHECK --interval=1x CMD a", "invalid duration"),
            ("RUN --mount=type=cache x", "target is required"),
            ("RUN --security=none x", "is not valid"),
            ("RUN", "RUN requires at least one argument"),
            ("USER", "USER requires exactly one argument"),
        ] {
            let error = parse_instruction(text).unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
            assert!(error.to_string().starts_with("dockerfile parse error on line 1: "));
        }
    }
}
