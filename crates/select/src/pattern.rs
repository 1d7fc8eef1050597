//! Patterns of `TO_STRING` and `TO_TIMESTAMP`.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-date.html>

use crate::cast::unparsed_time;
use crate::time::{Precision, Time};
use crate::{Result, SelectError};
use std::fmt::Write;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

enum Item {
    /// A letter so many times.
    Symbol(char, usize),
    Text(String),
}

fn invalid(code: &'static str, what: &str) -> SelectError {
    SelectError::new(code, format!("{what} in the SQL expression."))
}

fn items(pattern: &str) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            let mut text = String::new();
            loop {
                match chars.next() {
                    Some('\'') if chars.peek() == Some(&'\'') => {
                        chars.next();
                        text.push('\'');
                    }
                    Some('\'') => break,
                    Some(c) => text.push(c),
                    None => {
                        return Err(invalid(
                            "EvaluatorUnterminatedTimestampFormatPatternToken",
                            "Time stamp format pattern contains unterminated token",
                        ));
                    }
                }
            }
            items.push(Item::Text(if text.is_empty() { "'".into() } else { text }));
        } else if c.is_ascii_alphabetic() {
            let mut count = 1;
            while chars.next_if_eq(&c).is_some() {
                count += 1;
            }
            check_symbol(c, count)?;
            items.push(Item::Symbol(c, count));
        } else if let Some(Item::Text(text)) = items.last_mut() {
            text.push(c);
        } else {
            items.push(Item::Text(c.into()));
        }
    }
    Ok(items)
}

fn check_symbol(c: char, count: usize) -> Result<()> {
    let allowed = match c {
        'y' => matches!(count, 1 | 2 | 4),
        'M' => count <= 5,
        'd' | 'h' | 'H' | 'm' | 's' => count <= 2,
        'a' | 'n' => count == 1,
        'S' => count <= 9,
        'x' | 'X' => count <= 5,
        _ => {
            return Err(invalid(
                "EvaluatorInvalidTimestampFormatPatternSymbol",
                "Time stamp format pattern contains an invalid symbol",
            ));
        }
    };
    match allowed {
        true => Ok(()),
        false => Err(invalid(
            "EvaluatorInvalidTimestampFormatPatternToken",
            "Time stamp format pattern contains an invalid token",
        )),
    }
}

pub(crate) fn write(time: &Time, pattern: &str) -> Result<String> {
    let mut out = String::with_capacity(pattern.len() * 2);
    for item in items(pattern)? {
        match item {
            Item::Text(text) => out.push_str(&text),
            Item::Symbol(c, count) => symbol(time, c, count, &mut out),
        }
    }
    Ok(out)
}

fn symbol(time: &Time, c: char, count: usize, out: &mut String) {
    let month = MONTHS[(time.month - 1).clamp(0, 11) as usize];
    let twelve = (time.hour + 11) % 12 + 1;
    let written = match (c, count) {
        ('y', 2) => write!(out, "{:02}", time.year % 100),
        ('y', width) => write!(out, "{:0width$}", time.year),
        ('M', 5) => write!(out, "{}", &month[..1]),
        ('M', 4) => write!(out, "{month}"),
        ('M', 3) => write!(out, "{}", &month[..3]),
        ('M', width) => write!(out, "{:0width$}", time.month),
        ('d', width) => write!(out, "{:0width$}", time.day),
        ('h', width) => write!(out, "{twelve:0width$}"),
        ('H', width) => write!(out, "{:0width$}", time.hour),
        ('m', width) => write!(out, "{:0width$}", time.minute),
        ('s', width) => write!(out, "{:0width$}", time.second),
        ('a', _) => write!(out, "{}", if time.hour < 12 { "AM" } else { "PM" }),
        ('n', _) => write!(out, "{}", time.nanos),
        ('S', width) => write!(out, "{:0width$}", time.nanos / 10u32.pow(9 - width as u32)),
        (c, count) => return offset(time.offset.unwrap_or_default(), c, count, out),
    };
    written.expect("a string takes all");
}

/// `X` is `Z` where there is no offset, `x` never.
fn offset(offset: i64, c: char, count: usize, out: &mut String) {
    if c == 'X' && offset == 0 {
        return out.push('Z');
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
    let written = match count {
        1 => write!(out, "{sign}{hours:02}"),
        2 | 4 => write!(out, "{sign}{hours:02}{minutes:02}"),
        _ => write!(out, "{sign}{hours:02}:{minutes:02}"),
    };
    written.expect("a string takes all");
}

/// What a pattern says of a text.
#[derive(Default)]
struct Read {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    hour: Option<i64>,
    half: Option<bool>,
    twelve: bool,
    minute: Option<i64>,
    second: Option<i64>,
    fraction: Option<String>,
    offset: Option<i64>,
}

pub(crate) fn read(text: &str, pattern: &str) -> Result<Time> {
    let items = items(pattern)?;
    let mut seen = String::new();
    for item in &items {
        let Item::Symbol(c, count) = item else { continue };
        if *c == 'M' && *count == 5 {
            return Err(invalid(
                "EvaluatorInvalidTimestampFormatPatternSymbolForParsing",
                "Time stamp format pattern contains a valid format symbol that cannot be applied to time stamp parsing",
            ));
        }
        let field = c.to_ascii_lowercase();
        let field = if matches!(c, 'M' | 'S') { *c } else { field };
        let field = if field == 'n' { 'S' } else { field };
        if seen.contains(field) {
            return Err(invalid(
                "EvaluatorTimestampFormatPatternDuplicateFields",
                "Time stamp format pattern contains multiple format specifiers representing the time stamp field",
            ));
        }
        seen.push(field);
    }
    let has = |c| items.iter().any(|item| matches!(item, Item::Symbol(own, _) if *own == c));
    if has('h') != has('a') {
        return Err(invalid(
            "EvaluatorTimestampFormatPatternHourClockAmPmMismatch",
            "Time stamp format pattern contains a 12-hour hour of day format symbol but doesn't also contain an AM/PM field, or it contains a 24-hour hour of day format specifier and contains an AM/PM field",
        ));
    }
    let mut rest = text;
    let mut read = Read::default();
    for item in items {
        let taken = match item {
            Item::Text(text) => rest.strip_prefix(&*text).map(|after| rest = after),
            Item::Symbol(c, count) => read.take(c, count, &mut rest),
        };
        taken.ok_or_else(unparsed_time)?;
    }
    if rest.is_empty() { read.time() } else { None }.ok_or_else(unparsed_time)
}

/// Digits at the front, so many at most.
fn digits<'a>(rest: &mut &'a str, most: usize) -> Option<&'a str> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at(count);
    *rest = after;
    (count > 0).then_some(digits)
}

impl Read {
    fn take(&mut self, c: char, count: usize, rest: &mut &str) -> Option<()> {
        let mut two = || digits(rest, 2)?.parse::<i64>().ok();
        match c {
            // A year of two digits is one of the last century or of this one.
            'y' if count == 2 => {
                self.year = Some(two()?).map(|y| y + if y < 70 { 2000 } else { 1900 })
            }
            'y' => self.year = digits(rest, 4)?.parse().ok(),
            'M' if count <= 2 => self.month = Some(two()?),
            'M' => {
                let fits = |name: &&str| {
                    let name = if count == 3 { &name[..3] } else { name };
                    rest.get(..name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name))
                };
                let at = MONTHS.iter().position(fits)?;
                *rest = &rest[if count == 3 { 3 } else { MONTHS[at].len() }..];
                self.month = Some(at as i64 + 1);
            }
            'd' => self.day = Some(two()?),
            'H' => self.hour = Some(two()?),
            'h' => (self.hour, self.twelve) = (Some(two()?), true),
            'a' => {
                let half = rest.get(..2)?.to_ascii_uppercase();
                self.half = Some(match half.as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                *rest = &rest[2..];
            }
            'm' => self.minute = Some(two()?),
            's' => self.second = Some(two()?),
            'n' => self.fraction = Some(format!("{:0>9}", digits(rest, 9)?)),
            'S' => self.fraction = Some(digits(rest, count)?.to_owned()),
            _ => {
                if c == 'X'
                    && let Some(after) = rest.strip_prefix('Z')
                {
                    *rest = after;
                    self.offset = Some(0);
                    return Some(());
                }
                let negative = rest.starts_with('-');
                *rest = rest.strip_prefix(['+', '-'])?;
                let mut minutes = digits(rest, 2)?.parse::<i64>().ok()? * 60;
                if count > 1 {
                    if matches!(count, 3 | 5) {
                        *rest = rest.strip_prefix(':')?;
                    }
                    minutes += digits(rest, 2)?.parse::<i64>().ok()?;
                }
                self.offset = Some(if negative { -minutes } else { minutes });
            }
        }
        Some(())
    }

    fn time(self) -> Option<Time> {
        let mut time = Time::of_year(self.year?);
        let hour = match (self.hour, self.twelve, self.half) {
            (Some(hour), true, half) => {
                let hour = (1..=12).contains(&hour).then_some(hour % 12)?;
                Some(hour + if half == Some(true) { 12 } else { 0 })
            }
            (hour, _, _) => hour,
        };
        let fields = [
            (self.month, Precision::Month),
            (self.day, Precision::Day),
            (hour, Precision::Minute),
            (self.minute, Precision::Minute),
            (self.second, Precision::Second),
        ];
        for (_, precision) in fields.iter().filter(|(field, _)| field.is_some()) {
            time.precision = *precision;
        }
        time.month = self.month.unwrap_or(1);
        time.day = self.day.unwrap_or(1);
        time.hour = hour.unwrap_or_default();
        time.minute = self.minute.unwrap_or_default();
        time.second = self.second.unwrap_or_default();
        time.offset = self.offset;
        if let Some(digits) = self.fraction.filter(|_| self.second.is_some()) {
            time.set_fraction(&digits)?;
        }
        time.checked()
    }
}
