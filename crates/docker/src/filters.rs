//! `filters`: names with values, as maps or as lists.

use engine::Error;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Filters(BTreeMap<String, Vec<String>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Set(BTreeMap<String, bool>),
    List(Vec<String>),
}

impl Filters {
    /// A filter that is not in `known` is refused by name.
    pub fn parse(text: &str, known: &[&str]) -> Result<Filters, Error> {
        if text.trim().is_empty() {
            return Ok(Filters::default());
        }
        let all: Option<BTreeMap<String, Values>> = serde_json::from_str(text)
            .map_err(|_| Error::invalid(format!("invalid filter: {text:?}")))?;
        let mut filters = BTreeMap::new();
        for (name, values) in all.unwrap_or_default() {
            if !known.contains(&name.as_str()) {
                return Err(Error::invalid(format!("invalid filter '{name}'")));
            }
            let values = match values {
                Values::Set(set) => set.into_iter().filter(|(_, is)| *is).map(|(v, _)| v).collect(),
                Values::List(list) => list,
            };
            filters.insert(name, values);
        }
        Ok(Filters(filters))
    }

    pub fn get(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// Without a word on it anything goes; else one of the values has to hold.
    pub fn any(&self, name: &str, holds: impl Fn(&str) -> bool) -> bool {
        let values = self.get(name);
        values.is_empty() || values.iter().any(|value| holds(value))
    }

    /// `key` or `key=value`, all of them.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        self.get("label").iter().all(holds) && !self.get("label!").iter().any(holds)
    }

    /// One of `true` and `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.get(name) {
            [] => Ok(None),
            [one] => match one.to_ascii_lowercase().as_str() {
                "1" | "true" => Ok(Some(true)),
                "0" | "false" => Ok(Some(false)),
                _ => Err(Error::invalid(format!("invalid filter '{name}={one}'"))),
            },
            _ => Err(Error::invalid(format!("invalid filter '{name}'"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let known = ["label", "status", "dangling", "label!"];
        for text in [r#"{"label":{"a=b":true,"x":false}}"#, r#"{"label":["a=b"]}"#] {
            let filters = Filters::parse(text, &known).unwrap();
            assert_eq!(filters.get("label"), ["a=b"]);
            let with = |value: &str| BTreeMap::from([("a".to_owned(), value.to_owned())]);
            assert!(filters.labels(&with("b")) && !filters.labels(&with("c")));
        }
        assert_eq!(Filters::parse("", &known).unwrap(), Filters::default());
        assert!(Filters::parse(r#"{"nope":["x"]}"#, &known).unwrap_err().text.contains("nope"));
        assert!(Filters::parse("[", &known).is_err());
        let filters = Filters::parse(r#"{"dangling":{"true":true}}"#, &known).unwrap();
        assert_eq!(filters.flag("dangling").unwrap(), Some(true));
        assert!(filters.any("status", |_| false));
    }
}
