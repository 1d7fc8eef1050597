//! Condition operators
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>).
//!
//! All tests of a statement must hold. Within a test one of the policy's values must match, or for
//! a negated operator none. A missing key fails a positive test and meets a negated one; `IfExists`
//! and `ForAllValues:` accept it, `ForAnyValue:` does not.

use crate::arn_pattern::ArnPattern;
use crate::context::{Context, Value};
use crate::pattern::{Case, Found, Pattern, Template};
use crate::statement::Effect;
use base::Timestamp;
use std::net::IpAddr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Compare),
    Date(Compare),
    Bool,
    Binary,
    Ip,
    Arn,
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn holds<T: PartialOrd>(self, have: T, want: T) -> bool {
        match self {
            Compare::Equal => have == want,
            Compare::Less => have < want,
            Compare::LessOrEqual => have <= want,
            Compare::Greater => have > want,
            Compare::GreaterOrEqual => have >= want,
        }
    }
}

/// `ForAllValues:`, `ForAnyValue:`, or neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quantifier {
    None,
    All,
    Any,
}

/// One operator on one key.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Test {
    head: Head,
    key: Box<str>,
    wanted: Box<[Wanted]>,
}

/// What stands before the keys: the operator with its trimmings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    operator: Operator,
    negated: bool,
    quantifier: Quantifier,
    if_exists: bool,
}

#[derive(Clone, PartialEq, Debug)]
enum Wanted {
    Text(Template),
    Like(Pattern),
    Arn(ArnPattern),
    Number(f64),
    /// Milliseconds since 1970.
    Date(i64),
    Bool(bool),
    Network(Network),
    /// The policy's text is no value of the operator's kind.
    Nothing,
}

const OPERATORS: [(&str, Operator, bool); 27] = [
    ("StringEquals", Operator::StringEquals, false),
    ("StringNotEquals", Operator::StringEquals, true),
    ("StringEqualsIgnoreCase", Operator::StringEqualsIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Operator::StringEqualsIgnoreCase, true),
    ("StringLike", Operator::StringLike, false),
    ("StringNotLike", Operator::StringLike, true),
    ("NumericEquals", Operator::Numeric(Compare::Equal), false),
    ("NumericNotEquals", Operator::Numeric(Compare::Equal), true),
    ("NumericLessThan", Operator::Numeric(Compare::Less), false),
    ("NumericLessThanEquals", Operator::Numeric(Compare::LessOrEqual), false),
    ("NumericGreaterThan", Operator::Numeric(Compare::Greater), false),
    ("NumericGreaterThanEquals", Operator::Numeric(Compare::GreaterOrEqual), false),
    ("DateEquals", Operator::Date(Compare::Equal), false),
    ("DateNotEquals", Operator::Date(Compare::Equal), true),
    ("DateLessThan", Operator::Date(Compare::Less), false),
    ("DateLessThanEquals", Operator::Date(Compare::LessOrEqual), false),
    ("DateGreaterThan", Operator::Date(Compare::Greater), false),
    ("DateGreaterThanEquals", Operator::Date(Compare::GreaterOrEqual), false),
    ("Bool", Operator::Bool, false),
    ("BinaryEquals", Operator::Binary, false),
    ("IpAddress", Operator::Ip, false),
    ("NotIpAddress", Operator::Ip, true),
    ("ArnEquals", Operator::Arn, false),
    ("ArnNotEquals", Operator::Arn, true),
    ("ArnLike", Operator::Arn, false),
    ("ArnNotLike", Operator::Arn, true),
    ("Null", Operator::Null, false),
];

impl Head {
    /// Reads `ForAnyValue:StringLikeIfExists` and the like, in any case. `Null` takes no `IfExists`.
    pub(crate) fn parse(text: &str) -> Option<Head> {
        let (quantifier, text) = match text.split_once(':') {
            None => (Quantifier::None, text),
            Some((q, rest)) if q.eq_ignore_ascii_case("ForAllValues") => (Quantifier::All, rest),
            Some((q, rest)) if q.eq_ignore_ascii_case("ForAnyValue") => (Quantifier::Any, rest),
            Some(_) => return None,
        };
        let (text, if_exists) = match text.len().checked_sub("IfExists".len()) {
            Some(at)
                if text.is_char_boundary(at) && text[at..].eq_ignore_ascii_case("IfExists") =>
            {
                (&text[..at], true)
            }
            _ => (text, false),
        };
        let found = OPERATORS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(text));
        let &(_, operator, negated) = found?;
        (!(if_exists && operator == Operator::Null)).then_some(Head {
            operator,
            negated,
            quantifier,
            if_exists,
        })
    }

    pub(crate) fn is_date(self) -> bool {
        matches!(self.operator, Operator::Date(_))
    }

    fn name(self) -> String {
        let quantifier = match self.quantifier {
            Quantifier::None => "",
            Quantifier::All => "ForAllValues:",
            Quantifier::Any => "ForAnyValue:",
        };
        let name = OPERATORS.iter().find(|(_, o, n)| (*o, *n) == (self.operator, self.negated));
        let if_exists = if self.if_exists { "IfExists" } else { "" };
        format!("{quantifier}{}{if_exists}", name.map_or("", |(name, ..)| name))
    }

    fn wanted(self, text: &str, variables: bool) -> Wanted {
        let found = match self.operator {
            Operator::StringEquals | Operator::StringEqualsIgnoreCase => {
                Some(Wanted::Text(Template::new(text, variables)))
            }
            Operator::Binary => Some(Wanted::Text(Template::new(text, false))),
            Operator::StringLike => Some(Wanted::Like(Pattern::new(text, variables))),
            Operator::Arn => Some(Wanted::Arn(ArnPattern::new(text, variables))),
            Operator::Numeric(_) => number(text).map(Wanted::Number),
            Operator::Date(_) => date(text).map(Wanted::Date),
            Operator::Bool | Operator::Null => boolean(text).map(Wanted::Bool),
            Operator::Ip => Network::parse(text).map(Wanted::Network),
        };
        found.unwrap_or(Wanted::Nothing)
    }

    /// Whether the text is a value for the operator.
    pub(crate) fn accepts(self, text: &str) -> bool {
        self.wanted(text, false) != Wanted::Nothing
    }
}

impl Test {
    pub(crate) fn new<'t>(
        head: Head,
        key: &str,
        values: impl IntoIterator<Item = &'t str>,
        variables: bool,
    ) -> Test {
        let wanted = values.into_iter().map(|text| head.wanted(text, variables)).collect();
        Test { head, key: key.to_ascii_lowercase().into(), wanted }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The operator as a policy writes it.
    pub(crate) fn operator(&self) -> String {
        self.head.name()
    }

    /// Whether it names fixed values, without wildcards or variables, under an operator that says
    /// what must be there.
    pub(crate) fn is_fixed(&self) -> bool {
        let Head { operator, negated, quantifier, if_exists } = self.head;
        let names = !negated && !if_exists && operator != Operator::Null;
        names
            && quantifier != Quantifier::All
            && self.wanted.iter().all(|wanted| match wanted {
                Wanted::Text(template) => template.variables().next().is_none(),
                Wanted::Like(pattern) => pattern.as_exact().is_some(),
                Wanted::Arn(pattern) => pattern.is_of_one_account(),
                // Ranges as wide as these are everybody, in S3's eyes: IPv4 below /8, IPv6 below /32.
                Wanted::Network(network) => network.bits >= if network.v4 { 104 } else { 32 },
                Wanted::Number(_) | Wanted::Date(_) | Wanted::Bool(_) | Wanted::Nothing => true,
            })
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().flat_map(|wanted| -> Box<dyn Iterator<Item = &str>> {
            match wanted {
                Wanted::Text(template) => Box::new(template.variables()),
                Wanted::Like(pattern) => Box::new(pattern.variables()),
                Wanted::Arn(pattern) => Box::new(pattern.variables()),
                _ => Box::new(std::iter::empty()),
            }
        })
    }

    /// `effect` decides what an unresolved variable under a negated operator means.
    pub(crate) fn holds(&self, context: &Context<'_>, effect: Effect) -> bool {
        let Head { operator, negated, quantifier, if_exists } = self.head;
        let have = context.get(&self.key).map(Value::each).unwrap_or(&[]);
        if operator == Operator::Null {
            return self.wanted.contains(&Wanted::Bool(have.is_empty()));
        }
        if have.is_empty() {
            return match quantifier {
                _ if if_exists => true,
                Quantifier::All => true,
                Quantifier::Any => false,
                Quantifier::None => negated,
            };
        }
        let meets = |value: &Value<'_>| match self.found(value, context) {
            Found::Yes => !negated,
            Found::No => negated,
            Found::Unknown => negated && effect == Effect::Deny,
        };
        match quantifier {
            Quantifier::All => have.iter().all(meets),
            Quantifier::Any => have.iter().any(meets),
            // A key with several values under a plain operator: one match counts as the key's.
            Quantifier::None if negated => have.iter().all(meets),
            Quantifier::None => have.iter().any(meets),
        }
    }

    fn found(&self, value: &Value<'_>, context: &Context<'_>) -> Found {
        let mut unknown = false;
        for wanted in &self.wanted {
            match self.compare(value, wanted, context) {
                Found::Yes => return Found::Yes,
                Found::No => {}
                Found::Unknown => unknown = true,
            }
        }
        if unknown { Found::Unknown } else { Found::No }
    }

    fn compare(&self, have: &Value<'_>, wanted: &Wanted, context: &Context<'_>) -> Found {
        match (wanted, self.head.operator) {
            (Wanted::Text(template), operator) => match template.expand(context) {
                None => Found::Unknown,
                Some(want) if operator == Operator::StringEqualsIgnoreCase => {
                    same_ignoring_case(&have.text(), &want).into()
                }
                Some(want) => (have.text() == want).into(),
            },
            (Wanted::Like(pattern), _) => pattern.matches(&have.text(), Case::Exact, context),
            (Wanted::Arn(pattern), _) => pattern.matches(&have.text(), context),
            (Wanted::Number(want), Operator::Numeric(compare)) => {
                let have = match have {
                    Value::Int(number) => Some(*number as f64),
                    other => number(&other.text()),
                };
                have.is_some_and(|have| compare.holds(have, *want)).into()
            }
            (Wanted::Date(want), Operator::Date(compare)) => {
                let have = match have {
                    Value::Time(time) => Some(time.to_millis()),
                    Value::Int(seconds) => seconds.checked_mul(1000),
                    other => date(&other.text()),
                };
                have.is_some_and(|have| compare.holds(have, *want)).into()
            }
            (Wanted::Bool(want), _) => {
                let have = match have {
                    Value::Bool(value) => Some(*value),
                    other => boolean(&other.text()),
                };
                (have == Some(*want)).into()
            }
            (Wanted::Network(network), _) => {
                let have = match have {
                    Value::Ip(address) => Some(*address),
                    other => other.text().parse().ok(),
                };
                have.is_some_and(|address| network.contains(address)).into()
            }
            _ => Found::No,
        }
    }
}

fn same_ignoring_case(a: &str, b: &str) -> bool {
    if a.is_ascii() || b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A decimal number; no `inf`, no `nan`.
fn number(text: &str) -> Option<f64> {
    let plain =
        text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
    if plain { text.parse().ok().filter(|n: &f64| n.is_finite()) } else { None }
}

/// Seconds since 1970, or ISO 8601 down to `2013-06`; milliseconds since 1970.
fn date(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000);
    }
    let time = match text.len() {
        7 => Timestamp::parse_iso8601(&format!("{text}-01")),
        _ => Timestamp::parse_iso8601(text),
    };
    time.ok().map(Timestamp::to_millis)
}

/// An address range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Network {
    first: u128,
    /// How many leading bits count, of 128.
    bits: u32,
    v4: bool,
}

/// The address as bits, IPv4 in its mapped form, and whether it is IPv4, mapped ones too.
fn as_bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        if length > width {
            return None;
        }
        let bits = 128 - width + length;
        let (own, v4) = as_bits(address);
        Some(Network { first: own & mask(bits), bits, v4: v4 && bits >= 96 })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let (bits, v4) = as_bits(address);
        v4 == self.v4 && bits & mask(self.bits) == self.first
    }
}

fn mask(bits: u32) -> u128 {
    if bits == 0 { 0 } else { u128::MAX << (128 - bits) }
}
