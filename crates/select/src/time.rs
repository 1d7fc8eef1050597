//! Timestamps as Ion has them: a local time with its offset, as exact as it was written.
//! <https://www.w3.org/TR/NOTE-datetime>

use base::Timestamp;
use std::cmp::Ordering;
use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Precision {
    Year,
    Month,
    Day,
    Minute,
    Second,
}

/// What `EXTRACT`, `DATE_ADD` and `DATE_DIFF` speak of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    TimezoneHour,
    TimezoneMinute,
}

impl Part {
    pub fn parse(word: &str) -> Option<Part> {
        Some(match word {
            "year" => Part::Year,
            "month" => Part::Month,
            "day" => Part::Day,
            "hour" => Part::Hour,
            "minute" => Part::Minute,
            "second" => Part::Second,
            "timezone_hour" => Part::TimezoneHour,
            "timezone_minute" => Part::TimezoneMinute,
            _ => return None,
        })
    }

    pub fn is_zone(self) -> bool {
        matches!(self, Part::TimezoneHour | Part::TimezoneMinute)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// Of the fraction of the second so many digits are known.
    pub nanos: u32,
    pub digits: u32,
    /// From UTC, in minutes; `None` where it is not known, which is written as `-00:00`.
    pub offset: Option<i64>,
    pub precision: Precision,
}

const YEAR_ZERO: Time = Time {
    year: 1,
    month: 1,
    day: 1,
    hour: 0,
    minute: 0,
    second: 0,
    nanos: 0,
    digits: 0,
    offset: None,
    precision: Precision::Year,
};

/// Digits at the front of a text, so many.
fn number(text: &mut &str, width: usize) -> Option<i64> {
    let (digits, rest) = text.split_at_checked(width)?;
    *text = rest;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn after(text: &mut &str, mark: char) -> Option<()> {
    *text = text.strip_prefix(mark)?;
    Some(())
}

impl Time {
    pub fn from_timestamp(at: Timestamp) -> Time {
        let ms = at.to_millis();
        let mut time = Time::from_secs(ms.div_euclid(1000), Some(0)).unwrap_or(YEAR_ZERO);
        time.nanos = ms.rem_euclid(1000) as u32 * 1_000_000;
        time.digits = 3;
        time
    }

    /// Of the year alone, to be filled.
    pub fn of_year(year: i64) -> Time {
        Time { year, ..YEAR_ZERO }
    }

    /// Seconds since 1970 of local time; `None` outside the years 1 to 9999.
    fn from_secs(local: i64, offset: Option<i64>) -> Option<Time> {
        // 0001-01-01 and the last second of 9999.
        if !(-62_135_596_800..=253_402_300_799).contains(&local) {
            return None;
        }
        let text = Timestamp::from_secs(local).iso8601_secs();
        let mut time = Time::parse(&text)?;
        time.offset = offset;
        Some(time)
    }

    /// Local time, as seconds since 1970.
    fn local_secs(&self) -> Option<i64> {
        let date = (self.year, self.month, self.day);
        let clock = (self.hour, self.minute, self.second);
        Some(Timestamp::from_civil(date, clock, 0)?.to_millis().div_euclid(1000))
    }

    /// If it is one that can be.
    pub fn checked(self) -> Option<Time> {
        let offset = self.offset.unwrap_or_default();
        (self.second < 60 && offset.abs() < 24 * 60 && self.local_secs().is_some()).then_some(self)
    }

    fn utc_secs(&self) -> i64 {
        self.local_secs().unwrap_or_default() - self.offset.unwrap_or_default() * 60
    }

    /// `2007T`, `2007-02T`, `2007-02-23`, `2007-02-23T12:14Z`, `2007-02-23T12:14:33.079-08:00`, and the basic
    /// form `20070223T121433Z`.
    pub fn parse(text: &str) -> Option<Time> {
        let mut rest = text;
        let mut time = Time { year: number(&mut rest, 4)?, ..YEAR_ZERO };
        if rest == "T" {
            return time.checked();
        }
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Time::parse_basic(time, rest);
        }
        after(&mut rest, '-')?;
        time.month = number(&mut rest, 2)?;
        time.precision = Precision::Month;
        if rest == "T" {
            return time.checked();
        }
        after(&mut rest, '-')?;
        time.day = number(&mut rest, 2)?;
        time.precision = Precision::Day;
        if rest.is_empty() || rest == "T" {
            return time.checked();
        }
        after(&mut rest, 'T')?;
        time.hour = number(&mut rest, 2)?;
        after(&mut rest, ':')?;
        time.minute = number(&mut rest, 2)?;
        time.precision = Precision::Minute;
        if after(&mut rest, ':').is_some() {
            time.second = number(&mut rest, 2)?;
            time.precision = Precision::Second;
            time.fraction(&mut rest)?;
        }
        time.offset = offset(rest)?;
        time.checked()
    }

    fn parse_basic(mut time: Time, mut rest: &str) -> Option<Time> {
        time.month = number(&mut rest, 2)?;
        time.day = number(&mut rest, 2)?;
        time.precision = Precision::Day;
        if after(&mut rest, 'T').is_some() && !rest.is_empty() {
            time.hour = number(&mut rest, 2)?;
            time.minute = number(&mut rest, 2)?;
            time.second = number(&mut rest, 2)?;
            time.precision = Precision::Second;
            time.fraction(&mut rest)?;
            time.offset = offset(rest)?;
            rest = "";
        }
        if rest.is_empty() { time.checked() } else { None }
    }

    fn fraction(&mut self, rest: &mut &str) -> Option<()> {
        if after(rest, '.').is_none() {
            return Some(());
        }
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, tail) = rest.split_at(length);
        *rest = tail;
        self.set_fraction(digits)
    }

    /// No more than nine digits are kept.
    pub fn set_fraction(&mut self, digits: &str) -> Option<()> {
        let kept = &digits[..digits.len().min(9)];
        self.digits = kept.len() as u32;
        self.nanos = kept.parse::<u32>().ok()? * 10u32.pow(9 - self.digits);
        Some(())
    }

    /// `None` where it would be outside the years 1 to 9999.
    pub fn add(self, part: Part, quantity: i64) -> Option<Time> {
        let (precision, unit) = match part {
            Part::Year | Part::Month => {
                let months = quantity.checked_mul(if part == Part::Year { 12 } else { 1 })?;
                return self.add_months(part, months);
            }
            Part::Day => (Precision::Day, 86_400),
            Part::Hour => (Precision::Minute, 3600),
            Part::Minute => (Precision::Minute, 60),
            Part::Second => (Precision::Second, 1),
            Part::TimezoneHour | Part::TimezoneMinute => return None,
        };
        let secs = self.local_secs()?.checked_add(quantity.checked_mul(unit)?)?;
        let moved = Time::from_secs(secs, self.offset)?;
        let precision = self.precision.max(precision);
        Some(Time { nanos: self.nanos, digits: self.digits, precision, ..moved })
    }

    fn add_months(mut self, part: Part, months: i64) -> Option<Time> {
        let all = (self.year * 12 + self.month - 1).checked_add(months)?;
        self.year = all.div_euclid(12);
        self.month = all.rem_euclid(12) + 1;
        if part == Part::Month {
            self.precision = self.precision.max(Precision::Month);
        }
        // The last day of a shorter month.
        (28..=self.day.max(28))
            .rev()
            .find_map(|day| Time { day: day.min(self.day), ..self }.checked())
    }

    /// Whole parts from this to the other, negative where that is earlier.
    pub fn until(&self, other: &Time, part: Part) -> i64 {
        let secs =
            |time: &Time| i128::from(time.utc_secs()) * 1_000_000_000 + i128::from(time.nanos);
        let between = secs(other) - secs(self);
        let unit: i128 = match part {
            Part::Year => return self.months_until(other) / 12,
            Part::Month => return self.months_until(other),
            Part::Day => 86_400,
            Part::Hour => 3600,
            Part::Minute => 60,
            _ => 1,
        };
        (between / (unit * 1_000_000_000)) as i64
    }

    fn months_until(&self, other: &Time) -> i64 {
        let utc = |time: &Time| {
            Time::from_secs(time.utc_secs(), Some(0)).map(|t| Time { nanos: time.nanos, ..t })
        };
        let (Some(a), Some(b)) = (utc(self), utc(other)) else { return 0 };
        let within = |t: &Time| (t.day, t.hour, t.minute, t.second, t.nanos);
        let months = (b.year - a.year) * 12 + b.month - a.month;
        if months > 0 && within(&b) < within(&a) {
            months - 1
        } else if months < 0 && within(&b) > within(&a) {
            months + 1
        } else {
            months
        }
    }

    pub fn compare(&self, other: &Time) -> Ordering {
        (self.utc_secs(), self.nanos).cmp(&(other.utc_secs(), other.nanos))
    }
}

/// `Z`, `+hh:mm`, or nothing where it is not known.
fn offset(text: &str) -> Option<Option<i64>> {
    if text == "Z" {
        return Some(Some(0));
    }
    if text.is_empty() {
        return Some(None);
    }
    let negative = match text.as_bytes()[0] {
        b'-' => true,
        b'+' => false,
        _ => return None,
    };
    let mut rest = &text[1..];
    let hours = number(&mut rest, 2)?;
    after(&mut rest, ':')?;
    let minutes = hours * 60 + number(&mut rest, 2)?;
    match (rest.is_empty(), negative) {
        (false, _) => None,
        (_, true) if minutes == 0 => Some(None),
        (_, true) => Some(Some(-minutes)),
        (_, false) => Some(Some(minutes)),
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Time { year, month, day, hour, minute, second, .. } = *self;
        match self.precision {
            Precision::Year => return write!(f, "{year:04}T"),
            Precision::Month => return write!(f, "{year:04}-{month:02}T"),
            Precision::Day => return write!(f, "{year:04}-{month:02}-{day:02}"),
            Precision::Minute | Precision::Second => {}
        }
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}")?;
        if self.precision == Precision::Second {
            write!(f, ":{second:02}")?;
            if self.digits > 0 {
                let shown = self.nanos / 10u32.pow(9 - self.digits);
                write!(f, ".{shown:0width$}", width = self.digits as usize)?;
            }
        }
        match self.offset {
            None => f.write_str("-00:00"),
            Some(0) => f.write_str("Z"),
            Some(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                let offset = offset.abs();
                write!(f, "{sign}{:02}:{:02}", offset / 60, offset % 60)
            }
        }
    }
}
