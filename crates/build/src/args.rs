//! Build arguments: what was given, and what the Dockerfile asks for.

use dockerfile::Arg;
use std::collections::{BTreeMap, BTreeSet};

/// Given to every step without being asked for, and no part of the cache's key.
const PREDEFINED: &[&str] = &[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

#[derive(Clone, Default, Debug)]
pub struct Args {
    given: BTreeMap<String, Option<String>>,
    /// Before the first stage.
    meta: BTreeMap<String, Option<String>>,
    /// Of this stage, with their defaults.
    declared: BTreeMap<String, Option<String>>,
    asked: BTreeSet<String>,
}

impl Args {
    pub fn new(given: BTreeMap<String, Option<String>>) -> Args {
        Args { given, ..Args::default() }
    }

    /// What is known without being given: of the machines that it is built on and for.
    pub fn predefine(&mut self, name: &str, value: &str) {
        self.meta.insert(name.to_owned(), Some(value.to_owned()));
    }

    /// Each stage declares its own.
    pub fn begin_stage(&mut self) {
        self.declared.clear();
    }

    pub fn declare_meta(&mut self, arg: &Arg, default: Option<String>) {
        self.asked.insert(arg.name.clone());
        self.meta.insert(arg.name.clone(), default);
    }

    pub fn declare(&mut self, arg: &Arg, default: Option<String>) {
        self.asked.insert(arg.name.clone());
        // One without a default takes over what stands before the stages.
        let default = default.or_else(|| self.meta.get(&arg.name).cloned().flatten());
        self.declared.insert(arg.name.clone(), default);
    }

    /// In `FROM`.
    pub fn meta(&self, name: &str) -> Option<String> {
        let default = self.meta.get(name)?;
        self.given.get(name).cloned().flatten().or_else(|| default.clone())
    }

    pub fn get(&self, name: &str) -> Option<String> {
        let declared = self.declared.get(name);
        if declared.is_none() && !PREDEFINED.contains(&name) {
            return None;
        }
        self.given.get(name).cloned().flatten().or_else(|| declared.cloned().flatten())
    }

    /// `NAME=value` for a step that has `env` anyway, in order of their names: those that the cache
    /// knows of, and the others.
    pub fn for_step(&self, env: &[String]) -> (Vec<String>, Vec<String>) {
        let has = |name: &str| env.iter().any(|entry| entry.split('=').next() == Some(name));
        let text = |name: &str| Some(format!("{name}={}", self.get(name)?));
        let known = self.declared.keys().filter(|name| !has(name));
        let others =
            PREDEFINED.iter().filter(|name| !self.declared.contains_key(**name) && !has(name));
        (known.filter_map(|name| text(name)).collect(), others.filter_map(|n| text(n)).collect())
    }

    /// Given, and asked for by nobody.
    pub fn unused(&self) -> Vec<String> {
        let unused =
            |name: &&String| !self.asked.contains(*name) && !PREDEFINED.contains(&name.as_str());
        self.given.keys().filter(unused).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let text = |text: &str| Some(text.to_owned());
        let arg = |name: &str| Arg { name: name.to_owned(), default: None };
        let given = [("a", text("1")), ("http_proxy", text("p")), ("odd", None)];
        let given = given.map(|(name, value)| (name.to_owned(), value));
        let mut args = Args::new(BTreeMap::from(given));
        args.declare_meta(&arg("v"), text("2"));
        assert_eq!((args.meta("v"), args.meta("a"), args.get("v")), (text("2"), None, None));
        args.begin_stage();
        args.declare(&arg("v"), None);
        args.declare(&arg("a"), text("default"));
        args.declare(&arg("n"), None);
        assert_eq!((args.get("v"), args.get("a"), args.get("n")), (text("2"), text("1"), None));
        let (known, others) = args.for_step(&["v=env".to_owned()]);
        assert_eq!((known, others), (vec!["a=1".to_owned()], vec!["http_proxy=p".to_owned()]));
        assert_eq!(args.unused(), ["odd"]);
        args.begin_stage();
        assert_eq!(args.get("a"), None);
    }
}
