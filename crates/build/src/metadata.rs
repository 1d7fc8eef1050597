//! Instructions that change nothing but how containers run.

use crate::state::State;
use dockerfile::{Expander, Healthcheck, Words};
use engine::Error;
use engine::config::{Config, Healthcheck as Health, Nothing};
use std::collections::BTreeMap;

/// As Go prints a list of texts, quoted.
pub fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

/// The words that run: through the shell, or as they are.
pub fn command(state: &State, words: &Words) -> Vec<String> {
    match words.for_shell {
        true => [state.shell(), words.words.clone()].concat(),
        false => words.words.clone(),
    }
}

pub fn env(
    state: &mut State,
    pairs: &[(String, String)],
    expander: &Expander<'_>,
) -> Result<String, Error> {
    let mut text = "ENV".to_owned();
    // All of a line see what was before it.
    let mut expanded = Vec::new();
    for (name, value) in pairs {
        expanded.push((word(expander, name)?, word(expander, value)?));
    }
    for (name, value) in expanded {
        if name.is_empty() {
            return Err(Error::failed("ENV names can not be blank"));
        }
        text.push_str(&format!(" {name}={value}"));
        state.set_env(&name, &value);
    }
    Ok(text)
}

pub fn label(
    run: &mut Config,
    pairs: &[(String, String)],
    expander: &Expander<'_>,
) -> Result<String, Error> {
    let mut text = "LABEL".to_owned();
    for (name, value) in pairs {
        let (name, value) = (word(expander, name)?, word(expander, value)?);
        text.push_str(&format!(" {name}={value}"));
        run.labels.insert(name, value);
    }
    Ok(text)
}

pub fn word(expander: &Expander<'_>, text: &str) -> Result<String, Error> {
    let failed = |error: String| Error::failed(format!("failed to process {text:?}: {error}"));
    expander.word(text).map_err(failed)
}

pub fn words(expander: &Expander<'_>, texts: &[String]) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for text in texts {
        let failed = |error: String| Error::failed(format!("failed to process {text:?}: {error}"));
        all.extend(expander.words(text).map_err(failed)?);
    }
    Ok(all)
}

/// `80`, `80/udp`, `8000-8010/tcp`.
pub fn expose(run: &mut Config, ports: &[String]) -> Result<String, Error> {
    for port in ports {
        let wrong = || Error::failed(format!("invalid containerPort: {port}"));
        let (range, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
            return Err(Error::failed(format!("invalid proto: {protocol}")));
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: u16 = first.parse().map_err(|_| wrong())?;
        let last: u16 = last.parse().map_err(|_| wrong())?;
        if first == 0 || last < first {
            return Err(wrong());
        }
        for number in first..=last {
            run.exposed_ports.insert(format!("{number}/{protocol}"), Nothing {});
        }
    }
    let mut ports = ports.to_vec();
    ports.sort();
    Ok(format!("EXPOSE {}", ports.join(" ")))
}

pub fn volume(run: &mut Config, paths: Vec<String>) -> Result<String, Error> {
    let text = format!("VOLUME [{}]", paths.join(" "));
    let volumes = run.volumes.get_or_insert_with(BTreeMap::new);
    for path in paths {
        if path.trim().is_empty() {
            return Err(Error::failed("VOLUME specified can not be an empty string"));
        }
        volumes.insert(path, Nothing {});
    }
    Ok(text)
}

pub fn healthcheck(run: &mut Config, health: &Healthcheck) -> String {
    run.healthcheck = Some(Health {
        test: health.test.clone(),
        interval: health.interval,
        timeout: health.timeout,
        start_period: health.start_period,
        start_interval: health.start_interval,
        retries: health.retries,
    });
    let seconds = |ns: i64| format!("\"{}s\"", ns as f64 / 1e9);
    format!(
        "HEALTHCHECK &{{{} {} {} {} {} '{}'}}",
        quoted(&health.test),
        seconds(health.interval),
        seconds(health.timeout),
        seconds(health.start_period),
        seconds(health.start_interval),
        health.retries
    )
}

/// A relative one is from where the last one led.
pub fn join_workdir(current: &str, next: &str) -> String {
    let whole = match next.starts_with('/') {
        true => next.to_owned(),
        false => format!("{current}/{next}"),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Where a copy goes: absolute, with a slash at its end if it is to be a folder.
pub fn destination(workdir: &str, to: &str) -> String {
    let is_folder = to.ends_with('/') || to == "." || to.ends_with("/.") || to.ends_with("..");
    let path = join_workdir(workdir, to);
    match is_folder && !path.ends_with('/') {
        true => format!("{path}/"),
        false => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (current, next, expected) in
            [("", "a", "/a"), ("/a", "b", "/a/b"), ("/a", "/b/", "/b"), ("/a", "../..", "/")]
        {
            assert_eq!(join_workdir(current, next), expected);
        }
        for (workdir, to, expected) in [
            ("/w", "x", "/w/x"),
            ("/w", "./", "/w/"),
            ("/w", ".", "/w/"),
            ("/w", "/d/", "/d/"),
            ("", "/", "/"),
        ] {
            assert_eq!(destination(workdir, to), expected);
        }
    }

    #[test]
    fn ports() {
        let mut run = Config::default();
        let ports: Vec<String> = ["81/udp", "80", "90-92"].map(str::to_owned).to_vec();
        assert_eq!(expose(&mut run, &ports).unwrap(), "EXPOSE 80 81/udp 90-92");
        let keys: Vec<&str> = run.exposed_ports.keys().map(String::as_str).collect();
        assert_eq!(keys, ["80/tcp", "81/udp", "90/tcp", "91/tcp", "92/tcp"]);
        for bad in ["x", "0", "70000", "9-8", "80/xyz"] {
            assert!(expose(&mut run, &[bad.to_owned()]).is_err(), "{bad}");
        }
        assert_eq!(quoted(&["a".to_owned(), "b \"c".to_owned()]), "[\"a\" \"b \\\"c\"]");
    }
}
