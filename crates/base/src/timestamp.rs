//! A point in time, in milliseconds since 1970 in UTC, and the forms in which AWS writes it.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z. Years 0001 to 9999 can be written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text is no time in the form that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimestampError;

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid timestamp")
    }
}

impl std::error::Error for TimestampError {}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S: i64 = 86_400;

/// Days since 1970-01-01 of a civil date (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// The civil date of a number of days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
    weekday: usize,
}

impl Civil {
    fn date_and_time(&self, out: &mut String) {
        digits(self.year, 4, out);
        out.push('-');
        digits(self.month, 2, out);
        out.push('-');
        digits(self.day, 2, out);
        out.push('T');
        self.time(out);
    }

    fn time(&self, out: &mut String) {
        digits(self.hour, 2, out);
        out.push(':');
        digits(self.minute, 2, out);
        out.push(':');
        digits(self.second, 2, out);
    }
}

/// A number with leading zeros. Listings write thousands of times, so not through `format!`.
fn digits(n: i64, width: u32, out: &mut String) {
    if n < 0 {
        out.push('-');
    }
    let n = n.unsigned_abs();
    let mut unit = 10u64.pow(width - 1);
    while n / unit >= 10 {
        unit *= 10;
    }
    while unit > 0 {
        out.push((b'0' + (n / unit % 10) as u8) as char);
        unit /= 10;
    }
}

impl Timestamp {
    pub const EPOCH: Timestamp = Timestamp(0);

    pub const fn from_millis(ms: i64) -> Timestamp {
        Timestamp(ms)
    }

    pub const fn from_secs(s: i64) -> Timestamp {
        Timestamp(s.saturating_mul(1000))
    }

    pub const fn to_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down.
    pub const fn to_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub const fn plus_millis(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    pub const fn plus_secs(self, s: i64) -> Timestamp {
        self.plus_millis(s.saturating_mul(1000))
    }

    /// Milliseconds from `earlier` to `self`; negative where it is the later one.
    pub const fn millis_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The last midnight (UTC).
    pub const fn floor_day(self) -> Timestamp {
        Timestamp(self.0 - self.0.rem_euclid(DAY_S * 1000))
    }

    fn civil(self) -> Civil {
        let secs = self.0.div_euclid(1000);
        let (days, rest) = (secs.div_euclid(DAY_S), secs.rem_euclid(DAY_S));
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            milli: self.0.rem_euclid(1000),
            weekday: days.rem_euclid(7) as usize,
        }
    }

    /// `None` unless the fields name a real date and time; a leap second counts as second 59.
    pub fn from_civil(
        (year, month, day): (i64, i64, i64),
        (hour, minute, second): (i64, i64, i64),
        milli: i64,
    ) -> Option<Timestamp> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days_in_month = match month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(leap),
            1..=12 => 31,
            _ => return None,
        };
        let ok = (1..=9999).contains(&year)
            && (1..=days_in_month).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second)
            && (0..1000).contains(&milli);
        // Before it is reckoned with: what is far off would overflow.
        if !ok {
            return None;
        }
        let secs =
            days_from_civil(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second.min(59);
        Some(Timestamp(secs * 1000 + milli))
    }

    /// `2026-11-20T17:30:00Z`.
    pub fn iso8601_secs(self) -> String {
        let c = self.civil();
        let mut out = String::with_capacity(24);
        c.date_and_time(&mut out);
        out.push('Z');
        out
    }

    /// `2026-11-20T17:30:00.000Z`, as S3 writes times in XML.
    pub fn iso8601_millis(self) -> String {
        let c = self.civil();
        let mut out = String::with_capacity(24);
        c.date_and_time(&mut out);
        out.push('.');
        digits(c.milli, 3, &mut out);
        out.push('Z');
        out
    }

    /// `20261120T173000Z`, as signatures have it.
    pub fn iso8601_basic(self) -> String {
        let c = self.civil();
        let mut out = String::with_capacity(16);
        digits(c.year, 4, &mut out);
        digits(c.month, 2, &mut out);
        digits(c.day, 2, &mut out);
        out.push('T');
        digits(c.hour, 2, &mut out);
        digits(c.minute, 2, &mut out);
        digits(c.second, 2, &mut out);
        out.push('Z');
        out
    }

    /// `Fri, 20 Nov 2026 17:30:00 GMT` (RFC 9110, IMF-fixdate).
    pub fn http_date(self) -> String {
        let mut out = String::with_capacity(29);
        self.write_http_date(&mut out);
        out
    }

    /// Appends what [`Timestamp::http_date`] gives.
    pub fn write_http_date(self, out: &mut String) {
        let c = self.civil();
        out.push_str(DAYS[c.weekday]);
        out.push_str(", ");
        digits(c.day, 2, out);
        out.push(' ');
        out.push_str(MONTHS[(c.month - 1) as usize]);
        out.push(' ');
        digits(c.year, 4, out);
        out.push(' ');
        c.time(out);
        out.push_str(" GMT");
    }

    /// Reads ISO 8601 as AWS takes it: `2026-11-20`, `2026-11-20T17:30:00Z`, with a fraction of any
    /// length, with `+hh:mm` in place of `Z`, or in the basic form `20261120T173000Z`.
    pub fn parse_iso8601(text: &str) -> Result<Timestamp, TimestampError> {
        parse_iso8601(text).ok_or(TimestampError)
    }

    /// Reads an HTTP date: IMF-fixdate, or the two obsolete forms of RFC 9110 section 5.6.7.
    pub fn parse_http_date(text: &str) -> Result<Timestamp, TimestampError> {
        parse_http_date(text).ok_or(TimestampError)
    }

    /// Reads seconds since 1970, with a fraction if any, as JSON protocols write them.
    pub fn from_epoch_secs_f64(secs: f64) -> Result<Timestamp, TimestampError> {
        let ms = (secs * 1000.0).round();
        if ms.is_finite() && ms.abs() < 9.0e15 {
            Ok(Timestamp(ms as i64))
        } else {
            Err(TimestampError)
        }
    }
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn fixed(text: &str, at: usize, len: usize) -> Option<i64> {
    number(text.get(at..at + len)?)
}

fn parse_iso8601(text: &str) -> Option<Timestamp> {
    if !text.is_ascii() {
        return None;
    }
    let extended = text.as_bytes().get(4) == Some(&b'-');
    let (date, date_len) = if extended {
        if text.as_bytes().get(7) != Some(&b'-') {
            return None;
        }
        ((fixed(text, 0, 4)?, fixed(text, 5, 2)?, fixed(text, 8, 2)?), 10)
    } else {
        ((fixed(text, 0, 4)?, fixed(text, 4, 2)?, fixed(text, 6, 2)?), 8)
    };
    let rest = &text[date_len..];
    if rest.is_empty() {
        return Timestamp::from_civil(date, (0, 0, 0), 0);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, mut tail) = if rest.as_bytes().get(2) == Some(&b':') {
        let hm = (fixed(rest, 0, 2)?, fixed(rest, 3, 2)?);
        if rest.as_bytes().get(5) == Some(&b':') {
            ((hm.0, hm.1, fixed(rest, 6, 2)?), &rest[8..])
        } else {
            ((hm.0, hm.1, 0), &rest[5..])
        }
    } else {
        ((fixed(rest, 0, 2)?, fixed(rest, 2, 2)?, fixed(rest, 4, 2)?), &rest[6..])
    };
    let mut milli = 0;
    if let Some(fraction) = tail.strip_prefix('.') {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return None;
        }
        milli = format!("{:0<3}", &fraction[..len.min(3)]).parse().ok()?;
        tail = &fraction[len..];
    }
    let at = Timestamp::from_civil(date, time, milli)?;
    let offset_s = match tail.as_bytes() {
        [] | [b'Z'] | [b'z'] => 0,
        [sign @ (b'+' | b'-'), ..] => {
            let digits: String = tail[1..].chars().filter(|c| *c != ':').collect();
            if digits.len() != 4 {
                return None;
            }
            let s = fixed(&digits, 0, 2)? * 3600 + fixed(&digits, 2, 2)? * 60;
            if *sign == b'+' { s } else { -s }
        }
        _ => return None,
    };
    Some(at.plus_secs(-offset_s))
}

fn parse_http_date(text: &str) -> Option<Timestamp> {
    let parts: Vec<&str> = text.split([' ', ',', '-']).filter(|p| !p.is_empty()).collect();
    let (day, month, year, clock) = match parts[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT and Sunday, 06-Nov-94 08:49:37 GMT
        [_, day, month, year, clock, "GMT" | "UTC" | "+0000"] => (day, month, year, clock),
        // Sun Nov  6 08:49:37 1994
        [_, month, day, clock, year] => (day, month, year, clock),
        _ => return None,
    };
    let month = MONTHS.iter().position(|m| *m == month)? as i64 + 1;
    let year = match (year.len(), number(year)?) {
        (2, y) => y + if y < 70 { 2000 } else { 1900 },
        (_, y) => y,
    };
    let hms: Vec<i64> = clock.split(':').map(number).collect::<Option<_>>()?;
    let [hour, minute, second] = hms[..] else { return None };
    Timestamp::from_civil((year, month, number(day)?), (hour, minute, second), 0)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso8601_millis())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_every_form() {
        let t = Timestamp::parse_iso8601("1994-11-06T08:49:37.5Z").unwrap();
        assert_eq!(t.http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(t.iso8601_millis(), "1994-11-06T08:49:37.500Z");
        assert_eq!(t.iso8601_basic(), "19941106T084937Z");
        assert_eq!(Timestamp::EPOCH.http_date(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(Timestamp::from_millis(-1).iso8601_millis(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn reads_what_it_wrote_on_every_day_of_four_centuries() {
        for day in -150_000..150_000i64 {
            let t = Timestamp::from_secs(day * DAY_S + 3_661);
            assert_eq!(Timestamp::parse_iso8601(&t.iso8601_secs()), Ok(t));
            assert_eq!(Timestamp::parse_iso8601(&t.iso8601_basic()), Ok(t));
            assert_eq!(Timestamp::parse_http_date(&t.http_date()), Ok(t));
        }
    }

    #[test]
    fn reads_the_other_forms() {
        let t = Ok(Timestamp::from_secs(784_111_777));
        for text in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(Timestamp::parse_http_date(text), t, "{text}");
        }
        for text in ["1994-11-06T10:49:37+02:00", "1994-11-06T08:49:37", "19941106T084937Z"] {
            assert_eq!(Timestamp::parse_iso8601(text), t, "{text}");
        }
        assert_eq!(Timestamp::parse_iso8601("1994-11-06"), Ok(Timestamp::from_secs(784_080_000)));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for far in [0, 10_000, 700_000_000_000_000_000, i64::MAX, i64::MIN] {
            assert_eq!(Timestamp::from_civil((far, 1, 1), (0, 0, 0), 0), None);
            assert_eq!(Timestamp::from_civil((2000, 1, 1), (far.max(24), 0, 0), 0), None);
            assert_eq!(Timestamp::from_civil((2000, 1, 1), (0, 0, 0), far.max(1000)), None);
        }
        let bad = "|1994|1994-13-01|1994-02-29|1994-11-06T25:00:00Z|1994-11-06T08:49:37.Z|\
                   1994-11-06T08:49:37+2|é994-11-06|1994-11-06Tx|1994-11-06T08|0000-01-01";
        for text in bad.split('|') {
            assert_eq!(Timestamp::parse_iso8601(text), Err(TimestampError), "{text}");
            assert_eq!(Timestamp::parse_http_date(text), Err(TimestampError), "{text}");
        }
    }
}
