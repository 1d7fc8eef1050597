//! Numbers of base ten with up to 38 digits, as S3 Select's `decimal` has them.

use std::cmp::Ordering;
use std::fmt;

const DIGITS: u32 = 38;
const ONE_MORE: i128 = 10i128.pow(DIGITS);
/// Half the digits, for products.
const HALF: u128 = 10u128.pow(19);
const EXPONENT_MAX: i64 = i32::MAX as i64;

/// `coefficient * 10^exponent`; the coefficient has at most 38 digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal {
    coefficient: i128,
    exponent: i64,
}

fn digits(n: u128) -> u32 {
    n.checked_ilog10().map_or(1, |log| log + 1)
}

/// Divides by a power of ten, the half rounded away from zero.
fn shorten(n: u128, by: u32) -> u128 {
    if by > DIGITS {
        return 0;
    }
    let unit = 10u128.pow(by);
    n / unit + u128::from(n % unit >= unit.div_ceil(2) && by > 0)
}

impl Decimal {
    pub fn from_int(n: i64) -> Decimal {
        Decimal { coefficient: n.into(), exponent: 0 }
    }

    /// `None` if the number is beyond what can be written.
    fn new(negative: bool, mut magnitude: u128, mut exponent: i64) -> Option<Decimal> {
        while magnitude >= ONE_MORE as u128 {
            let over = digits(magnitude) - DIGITS;
            magnitude = shorten(magnitude, over);
            exponent += i64::from(over);
        }
        if exponent.abs() > EXPONENT_MAX {
            return None;
        }
        let coefficient = magnitude as i128;
        Some(Decimal { coefficient: if negative { -coefficient } else { coefficient }, exponent })
    }

    /// `-12.50e3`.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, mut exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let digits = exponent.trim_start_matches(['+', '-']);
                let fits = exponent.len() - digits.len() <= 1 && digits.len() <= 12;
                let whole = fits && digits.bytes().all(|b| b.is_ascii_digit());
                (mantissa, whole.then(|| exponent.parse::<i64>().ok()).flatten()?)
            }
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (mut magnitude, mut dropped) = (0u128, None);
        for (b, after) in
            whole.bytes().map(|b| (b, false)).chain(fraction.bytes().map(|b| (b, true)))
        {
            if !b.is_ascii_digit() {
                return None;
            }
            if magnitude < ONE_MORE as u128 / 10 {
                magnitude = magnitude * 10 + u128::from(b - b'0');
                exponent -= i64::from(after);
            } else {
                dropped.get_or_insert(b);
                exponent += i64::from(!after);
            }
        }
        magnitude += u128::from(dropped.is_some_and(|b| b >= b'5'));
        Decimal::new(negative, magnitude, exponent)
    }

    pub fn from_float(n: f64) -> Option<Decimal> {
        n.is_finite().then(|| Decimal::parse(&format!("{n:e}"))).flatten()
    }

    pub fn to_float(self) -> f64 {
        format!("{}e{}", self.coefficient, self.exponent).parse().unwrap_or(f64::NAN)
    }

    pub fn is_zero(self) -> bool {
        self.coefficient == 0
    }

    /// Without its fraction; `None` if it is too large.
    pub fn to_int(self) -> Option<i64> {
        let Decimal { coefficient, exponent } = self;
        if coefficient == 0 {
            return Some(0);
        }
        match u32::try_from(exponent.unsigned_abs()).unwrap_or(u32::MAX) {
            by if exponent < 0 && by > DIGITS => Some(0),
            by if exponent < 0 => i64::try_from(coefficient / 10i128.pow(by)).ok(),
            by if by > DIGITS => None,
            by => i64::try_from(coefficient.checked_mul(10i128.pow(by))?).ok(),
        }
    }

    pub fn negated(self) -> Decimal {
        Decimal { coefficient: -self.coefficient, ..self }
    }

    /// Where its first digit stands.
    fn order(self) -> i64 {
        i64::from(digits(self.coefficient.unsigned_abs())) + self.exponent
    }

    pub fn add(self, other: Decimal) -> Option<Decimal> {
        let (high, low) =
            if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        if low.coefficient == 0 && high.coefficient != 0 && high.exponent != low.exponent {
            return Some(high);
        }
        if high.coefficient == 0 {
            return Some(low);
        }
        let shift = high.exponent - low.exponent;
        let room = DIGITS - digits(high.coefficient.unsigned_abs());
        let up = u32::try_from(shift).unwrap_or(u32::MAX).min(room);
        let rest = u32::try_from(shift - i64::from(up)).unwrap_or(u32::MAX);
        let shorter = shorten(low.coefficient.unsigned_abs(), rest) as i128;
        let shorter = if low.coefficient < 0 { -shorter } else { shorter };
        // Each has at most 38 digits, so that the sum has no more than 39: in tenths it fits.
        let (a, b) = (high.coefficient * 10i128.pow(up), shorter);
        let exponent = high.exponent - i64::from(up);
        match a.checked_add(b) {
            Some(sum) => Decimal::new(sum < 0, sum.unsigned_abs(), exponent),
            None => {
                let sum = a / 10 + b / 10;
                Decimal::new(sum < 0, sum.unsigned_abs(), exponent + 1)
            }
        }
    }

    pub fn subtract(self, other: Decimal) -> Option<Decimal> {
        self.add(other.negated())
    }

    pub fn multiply(self, other: Decimal) -> Option<Decimal> {
        let negative = (self.coefficient < 0) != (other.coefficient < 0);
        let (a, b) = (self.coefficient.unsigned_abs(), other.coefficient.unsigned_abs());
        let exponent = self.exponent + other.exponent;
        // In digits of base 10^19.
        let low = (a % HALF) * (b % HALF);
        let middle = (a / HALF) * (b % HALF) + (a % HALF) * (b / HALF) + low / HALF;
        let high = (a / HALF) * (b / HALF) + middle / HALF;
        let low = (middle % HALF) * HALF + low % HALF;
        if high == 0 {
            return Decimal::new(negative, low, exponent);
        }
        let over = digits(high);
        let top = match DIGITS - over {
            0 => high,
            kept => high * 10u128.pow(kept),
        };
        Decimal::new(negative, top + shorten(low, over), exponent + i64::from(over))
    }

    /// To 38 digits; `None` for a division by zero.
    pub fn divide(self, other: Decimal) -> Option<Decimal> {
        let negative = (self.coefficient < 0) != (other.coefficient < 0);
        let (a, mut b) = (self.coefficient.unsigned_abs(), other.coefficient.unsigned_abs());
        let mut exponent = self.exponent - other.exponent;
        // Ten times a remainder must fit.
        if digits(b) == DIGITS {
            b = shorten(b, 1);
            exponent -= 1;
        }
        let (mut quotient, mut rest) = (a.checked_div(b)?, a % b);
        while rest != 0 && quotient < ONE_MORE as u128 / 10 {
            rest *= 10;
            quotient = quotient * 10 + rest / b;
            rest %= b;
            exponent -= 1;
        }
        Decimal::new(negative, quotient, exponent)
    }

    /// With the sign of the first; `None` for a division by zero, and where the two are too far apart.
    pub fn modulo(self, other: Decimal) -> Option<Decimal> {
        let exponent = self.exponent.min(other.exponent);
        let aligned = |n: Decimal| {
            let by = u32::try_from(n.exponent - exponent).ok().filter(|by| *by <= DIGITS)?;
            n.coefficient.checked_mul(10i128.pow(by))
        };
        let rest = aligned(self)?.checked_rem(aligned(other)?)?;
        Decimal::new(rest < 0, rest.unsigned_abs(), exponent)
    }

    pub fn compare(self, other: Decimal) -> Ordering {
        let (a, b) = (self.coefficient.signum(), other.coefficient.signum());
        if a != b || a == 0 {
            return a.cmp(&b);
        }
        let larger = self.order().cmp(&other.order()).then_with(|| {
            // As many digits in all: what is shorter by its digits is longer by its exponent.
            let shift = (self.exponent - other.exponent).unsigned_abs() as u32;
            let unit = 10u128.pow(shift.min(DIGITS));
            let (a, b) = (self.coefficient.unsigned_abs(), other.coefficient.unsigned_abs());
            match self.exponent > other.exponent {
                true => (a * unit).cmp(&b),
                false => a.cmp(&(b * unit)),
            }
        });
        if a < 0 { larger.reverse() } else { larger }
    }
}

/// As Java's `BigDecimal` writes it: plain unless that takes many zeros.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.coefficient < 0 {
            f.write_str("-")?;
        }
        let text = self.coefficient.unsigned_abs().to_string();
        let first = self.order() - 1;
        if self.exponent > 0 || first < -6 {
            f.write_str(&text[..1])?;
            if text.len() > 1 {
                write!(f, ".{}", &text[1..])?;
            }
            return if first == 0 { Ok(()) } else { write!(f, "E{first:+}") };
        }
        let fraction = self.exponent.unsigned_abs() as usize;
        let text = format!("{text:0>width$}", width = fraction + 1);
        let (whole, fraction) = text.split_at(text.len() - fraction);
        f.write_str(whole)?;
        if fraction.is_empty() { Ok(()) } else { write!(f, ".{fraction}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn reads_and_writes() {
        let check = |text: &str, expected: &str| assert_eq!(decimal(text).to_string(), expected);
        check("1.10", "1.10");
        check("-0.5", "-0.5");
        check(".5", "0.5");
        check("1e5", "1E+5");
        check("12e5", "1.2E+6");
        check("0.0000001", "1E-7");
        check("0.000001", "0.000001");
        check("5.", "5");
        check(
            "123456789012345678901234567890123456789",
            "1.2345678901234567890123456789012345679E+38",
        );
        check("0.00", "0.00");
        for bad in ["", ".", "1e", "1e+", "a", "1.2.3", "--1", "1e9999999999999", "1 "] {
            assert!(Decimal::parse(bad).is_none(), "{bad}");
        }
        assert!(Decimal::parse("1e3000000000").is_none());
    }

    #[test]
    fn arithmetic() {
        type Two = fn(Decimal, Decimal) -> Option<Decimal>;
        let check = |op: Two, a: &str, b: &str, expected: &str| {
            assert_eq!(op(decimal(a), decimal(b)).unwrap().to_string(), expected, "{a}, {b}");
        };
        check(Decimal::add, "1.1", "2.22", "3.32");
        check(Decimal::add, "1e30", "-1e-30", "1000000000000000000000000000000.0000000");
        check(Decimal::add, "0", "1.5", "1.5");
        check(Decimal::subtract, "1", "1.0", "0.0");
        let nines = "9".repeat(38);
        check(Decimal::add, &nines, &nines, &format!("1.{}E+38", "9".repeat(36) + "8"));
        check(Decimal::multiply, "1.5", "-2", "-3.0");
        check(
            Decimal::multiply,
            "12345678901234567890",
            "98765432109876543210",
            "1.2193263113702179522374638011112635269E+39",
        );
        check(Decimal::divide, "1", "4", "0.25");
        check(Decimal::divide, "1", "3", &format!("0.{}", "3".repeat(38)));
        check(Decimal::divide, "10", "2", "5");
        check(Decimal::modulo, "7.5", "2", "1.5");
        check(Decimal::modulo, "-7", "3", "-1");
        assert!(decimal("1").divide(decimal("0.0")).is_none());
        assert!(decimal("1").modulo(decimal("0")).is_none());
        assert!(decimal("1e2000000000").multiply(decimal("1e2000000000")).is_none());
    }

    #[test]
    fn compares_and_converts() {
        let check = |a: &str, b: &str, expected: Ordering| {
            assert_eq!(decimal(a).compare(decimal(b)), expected, "{a} {b}");
            assert_eq!(decimal(b).compare(decimal(a)), expected.reverse(), "{b} {a}");
        };
        check("1.0", "1", Ordering::Equal);
        check("0", "0e99", Ordering::Equal);
        check("1e2", "99.9", Ordering::Greater);
        check("-1e2", "-99.9", Ordering::Less);
        check("-1", "1", Ordering::Less);
        check("1e-999999", "1e999999", Ordering::Less);
        assert_eq!(decimal("12.9").to_int(), Some(12));
        assert_eq!(decimal("-12.9e1").to_int(), Some(-129));
        assert_eq!(decimal("1e19").to_int(), None);
        assert_eq!(decimal("1e-50").to_int(), Some(0));
        assert_eq!(decimal("1e900").to_int(), None);
        assert_eq!(decimal("0.25").to_float(), 0.25);
        assert_eq!(Decimal::from_float(0.1).unwrap().to_string(), "0.1");
    }
}
