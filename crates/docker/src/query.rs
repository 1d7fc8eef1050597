//! The query of a request.

use engine::Error;
use serde::de::DeserializeOwned;

/// Names and values in order. Later ones of a name do not replace earlier ones.
#[derive(Clone, Default, Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Query(pairs.collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(one, _)| one == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// What Docker takes for true: all but a few words.
    pub fn flag(&self, name: &str) -> bool {
        let value = self.text(name).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(value) => match value.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Error::invalid(format!("invalid value for {name}: {value:?}"))),
            },
        }
    }

    /// Seconds since 1970 with a fraction, or a date; as nanoseconds.
    pub fn time(&self, name: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.get(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let wrong = || Error::invalid(format!("invalid value for {name}: {value:?}"));
        let (seconds, fraction) = value.split_once('.').unwrap_or((value, ""));
        if let Ok(seconds) = seconds.parse::<i64>() {
            if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            let ns: i64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
            return Ok(Some(seconds.saturating_mul(1_000_000_000).saturating_add(ns)));
        }
        engine::time::parse_rfc3339(value).map(Some).ok_or_else(wrong)
    }
}

/// `%41` and `+`; what is no such escape stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let value = escape.and_then(base::hex::decode).and_then(|value| value.first().copied());
        match (value, bytes[at]) {
            (Some(byte), _) => {
                out.push(byte);
                at += 3;
            }
            (None, b'+') => {
                out.push(b' ');
                at += 1;
            }
            (None, byte) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One part of a path.
pub fn decode_path(text: &str) -> String {
    decode(&text.replace('+', "%2B"))
}

/// A document; an empty body is an empty document.
pub fn document<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| Error::invalid(format!("invalid JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_are_none() {
        type Body = Option<std::collections::BTreeMap<String, u8>>;
        assert_eq!(document::<Body>(b"null").unwrap(), None);
        assert_eq!(document::<Body>(b" ").unwrap(), Some(Default::default()));
        assert!(document::<Body>(b"[]").is_err());
    }

    #[test]
    fn queries() {
        let query = Query::parse("all=1&force=False&name=a%2Fb+c&name=d&x&bad=%zz&t=1.5");
        assert!(query.flag("all") && !query.flag("force") && !query.flag("x"));
        assert_eq!(query.all("name"), ["a/b c", "d"]);
        assert_eq!(query.text("bad"), "%zz");
        assert_eq!(query.time("t").unwrap(), Some(1_500_000_000));
        assert_eq!(query.time("none").unwrap(), None);
        let query = Query::parse("t=2023-11-14T22:13:20Z&n=x&u=1.x");
        assert_eq!(query.time("t").unwrap(), Some(1_700_000_000_000_000_000));
        assert!(query.number::<u16>("n").is_err() && query.time("u").is_err());
        assert_eq!(decode_path("a+b%2Fc"), "a+b/c");
    }
}
