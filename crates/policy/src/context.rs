//! What is known about a request: condition keys and their values.

use base::Timestamp;
use std::borrow::Cow;
use std::net::IpAddr;

/// The value of a condition key. The gateway puts in what it has; text is made only where a policy
/// compares text.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Bool(bool),
    /// A number, or for the `Date…` operators seconds since 1970.
    Int(i64),
    Time(Timestamp),
    Ip(IpAddr),
    /// A key with several values, such as `aws:TagKeys`. An empty list counts as a missing key.
    List(Vec<Value<'a>>),
}

impl Value<'_> {
    /// The value itself, or the only one of a list.
    pub(crate) fn single(&self) -> Option<&Self> {
        match self.each() {
            [value] => Some(value),
            _ => None,
        }
    }

    /// The values of a list, or the value itself.
    pub fn each(&self) -> &[Self] {
        match self {
            Value::List(values) => values,
            scalar => std::slice::from_ref(scalar),
        }
    }

    /// The value as a policy writes it. A list within a list has no text.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Bool(true) => Cow::Borrowed("true"),
            Value::Bool(false) => Cow::Borrowed("false"),
            Value::Int(number) => Cow::Owned(number.to_string()),
            Value::Time(time) => Cow::Owned(time.iso8601_secs()),
            Value::Ip(address) => Cow::Owned(address.to_string()),
            Value::List(_) => Cow::Borrowed(""),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl<'a> From<Vec<Value<'a>>> for Value<'a> {
    fn from(values: Vec<Value<'a>>) -> Self {
        Value::List(values)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Value::Time(value)
    }
}

impl From<IpAddr> for Value<'_> {
    fn from(value: IpAddr) -> Self {
        Value::Ip(value)
    }
}

/// The condition keys of one request, in lower case. Values of `Binary…` keys are in base64.
///
/// Every request builds one and asks it a few times, so setting is an append and asking a scan from
/// the end: the last value set is the value.
#[derive(Clone, Default, Debug)]
pub struct Context<'a> {
    entries: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Context<'a> {
    pub fn new() -> Context<'a> {
        Context { entries: Vec::with_capacity(16) }
    }

    /// Sets a key, in any case, in place of what it had.
    pub fn set(&mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) {
        let mut key = key.into();
        if key.bytes().any(|b| b.is_ascii_uppercase()) {
            key = Cow::Owned(key.to_ascii_lowercase());
        }
        self.entries.push((key, value.into()));
    }

    /// [`Context::set`], for building in one expression.
    pub fn with(mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.set(key, value);
        self
    }

    /// The value of a key that is written in lower case.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.entries.iter().rev().find(|(own, _)| own == key).map(|(_, value)| value)
    }

    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|(own, _)| own != key);
    }

    /// The keys with their values, sorted.
    pub fn to_sorted(&self) -> Vec<(&str, &Value<'a>)> {
        let mut all: Vec<(&str, &Value<'a>)> =
            self.entries.iter().rev().map(|(key, value)| (&**key, value)).collect();
        // Stable, and reversed above: of equal keys the last set comes first.
        all.sort_by_key(|(key, _)| *key);
        all.dedup_by_key(|(key, _)| *key);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_no_case_and_one_value() {
        let mut context = Context::new().with("aws:UserName", "a").with("AWS:username", "b");
        assert_eq!(context.to_sorted(), [("aws:username", &Value::from("b"))]);
        assert_eq!(context.get("aws:username").map(|v| v.text().into_owned()), Some("b".into()));
        context.remove("aws:username");
        assert_eq!(context.get("aws:username"), None);
    }

    #[test]
    fn values_as_text() {
        let check = |value: Value<'_>, text: &str| assert_eq!(value.text(), text);
        check(true.into(), "true");
        check(7i64.into(), "7");
        check(Timestamp::EPOCH.into(), "1970-01-01T00:00:00Z");
        check("::1".parse::<IpAddr>().unwrap().into(), "::1");
    }
}
