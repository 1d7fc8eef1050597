//! Numbers: up to 38 significant digits, from 1E-130 to 9.99…E+125, exact.
//!
//! The one form in which a number is kept and sent is plain decimal text without anything that could
//! be left out ([`normal`]), so that equal numbers are equal bytes. Order and sums are worked out from
//! that text; a key needs bytes whose order is the numbers' order ([`write_key`]).

use std::cmp::Ordering;
use std::fmt;

const DIGITS_MAX: usize = 38;
const EXPONENT_MAX: i32 = 125;
const EXPONENT_MIN: i32 = -130;

/// Why a text is no number here, in DynamoDB's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NumberError {
    Empty,
    Malformed(String),
    Overflow,
    Underflow,
    TooPrecise,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NumberError::Empty => {
                f.write_str("The parameter cannot be converted to a numeric value")
            }
            NumberError::Malformed(text) => {
                write!(f, "The parameter cannot be converted to a numeric value: {text}")
            }
            NumberError::Overflow => f.write_str(
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            ),
            NumberError::Underflow => f.write_str(
                "Number underflow. Attempting to store a number with magnitude smaller than supported range",
            ),
            NumberError::TooPrecise => {
                f.write_str("Attempting to store more than 38 significant digits in a Number")
            }
        }
    }
}

/// A number taken apart: `0.DIGITS * 10^(exponent + 1)`, no zeros at either end of the digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decimal {
    negative: bool,
    /// 0 to 9 each; empty is zero.
    digits: Vec<u8>,
    /// Of the first digit, as in `d.ddd * 10^exponent`.
    exponent: i32,
}

impl Decimal {
    const ZERO: Decimal = Decimal { negative: false, digits: Vec::new(), exponent: 0 };

    /// Reads what a client wrote: a sign, digits with a point, an exponent.
    pub fn parse(text: &str) -> Result<Decimal, NumberError> {
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        let malformed = || NumberError::Malformed(text.chars().take(256).collect());
        let bytes = text.as_bytes();
        let negative = bytes[0] == b'-';
        let mut at = usize::from(matches!(bytes[0], b'-' | b'+'));
        let mut digits = Vec::new();
        // Digits before the point that count, less zeros behind it before the first digit.
        let (mut point, mut seen, mut any) = (0i64, false, false);
        while let Some(&b) = bytes.get(at) {
            match b {
                b'0'..=b'9' => {
                    any = true;
                    let leading = digits.is_empty() && b == b'0';
                    if !leading {
                        digits.push(b - b'0');
                    }
                    match (seen, leading) {
                        (false, false) => point += 1,
                        (true, true) => point -= 1,
                        _ => {}
                    }
                }
                b'.' if !seen => seen = true,
                _ => break,
            }
            at += 1;
        }
        if !any {
            return Err(malformed());
        }
        let power: i64 = match bytes.get(at) {
            None => 0,
            Some(b'e' | b'E') => exponent(&text[at + 1..]).ok_or_else(malformed)?,
            Some(_) => return Err(malformed()),
        };
        Decimal::new(negative, digits, point.saturating_add(power).saturating_sub(1))
    }

    fn new(negative: bool, mut digits: Vec<u8>, exponent: i64) -> Result<Decimal, NumberError> {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            return Ok(Decimal::ZERO);
        }
        if exponent > EXPONENT_MAX.into() {
            return Err(NumberError::Overflow);
        }
        if exponent < EXPONENT_MIN.into() {
            return Err(NumberError::Underflow);
        }
        if digits.len() > DIGITS_MAX {
            return Err(NumberError::TooPrecise);
        }
        Ok(Decimal { negative, digits, exponent: exponent as i32 })
    }

    /// From text that [`normal`] made; anything else is zero.
    fn from_normal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or(Decimal::ZERO)
    }

    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(self.digits.len() + 4);
        if self.digits.is_empty() {
            out.push('0');
            return out;
        }
        if self.negative {
            out.push('-');
        }
        let digit = |d: &u8| char::from(b'0' + d);
        if self.exponent < 0 {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', (-self.exponent - 1) as usize));
            out.extend(self.digits.iter().map(digit));
            return out;
        }
        let whole = self.exponent as usize + 1;
        out.extend(self.digits.iter().take(whole).map(digit));
        if whole >= self.digits.len() {
            out.extend(std::iter::repeat_n('0', whole - self.digits.len()));
        } else {
            out.push('.');
            out.extend(self.digits[whole..].iter().map(digit));
        }
        out
    }

    /// Place of the last digit: the power of ten that it stands for.
    fn last(&self) -> i32 {
        self.exponent - self.digits.len() as i32 + 1
    }

    /// The sum; an error where it cannot be kept exactly.
    pub fn add(&self, other: &Decimal) -> Result<Decimal, NumberError> {
        if self.digits.is_empty() || other.digits.is_empty() {
            return Ok(if self.digits.is_empty() { other.clone() } else { self.clone() });
        }
        let low = self.last().min(other.last());
        let high = self.exponent.max(other.exponent) + 1;
        let width = (high - low + 1) as usize;
        let spread = |n: &Decimal| {
            let mut out = vec![0i8; width];
            let start = (high - n.exponent) as usize;
            for (to, digit) in out[start..].iter_mut().zip(&n.digits) {
                *to = if n.negative { -(*digit as i8) } else { *digit as i8 };
            }
            out
        };
        let (a, b) = (spread(self), spread(other));
        let mut sum: Vec<i8> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let negative = sum.iter().find(|d| **d != 0).is_some_and(|d| *d < 0);
        if negative {
            sum.iter_mut().for_each(|d| *d = -*d);
        }
        let mut carry = 0;
        for digit in sum.iter_mut().rev() {
            let value = *digit + carry;
            carry = value.div_euclid(10);
            *digit = value.rem_euclid(10);
        }
        let leading = sum.iter().take_while(|d| **d == 0).count();
        let digits = sum[leading..].iter().map(|d| *d as u8).collect();
        Decimal::new(negative, digits, i64::from(high) - leading as i64)
    }

    pub fn negated(mut self) -> Decimal {
        self.negative = !self.negative && !self.digits.is_empty();
        self
    }
}

fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // What does not fit is out of range by far.
    let value = digits.parse::<i64>().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -value } else { value })
}

/// Whether the text is in its one form already: the common case, and nothing is to be done.
fn is_normal_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    (1..=DIGITS_MAX).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && (digits[0] != b'0' || text == "0")
}

/// The one text of a number.
pub fn normal(text: &str) -> Result<std::borrow::Cow<'_, str>, NumberError> {
    if is_normal_integer(text) {
        return Ok(text.into());
    }
    Ok(Decimal::parse(text)?.to_text().into())
}

/// The order of two numbers in their one form.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (negative_a, negative_b) = (a.starts_with('-'), b.starts_with('-'));
    if negative_a != negative_b {
        return if negative_a { Ordering::Less } else { Ordering::Greater };
    }
    let order = magnitude(a.trim_start_matches('-'), b.trim_start_matches('-'));
    if negative_a { order.reverse() } else { order }
}

fn magnitude(a: &str, b: &str) -> Ordering {
    let (whole_a, part_a) = a.split_once('.').unwrap_or((a, ""));
    let (whole_b, part_b) = b.split_once('.').unwrap_or((b, ""));
    let whole = whole_a.len().cmp(&whole_b.len()).then_with(|| whole_a.cmp(whole_b));
    whole.then_with(|| part_a.cmp(part_b))
}

/// `a + b` in their one form; the result in its one form too.
pub fn add(a: &str, b: &str) -> Result<String, NumberError> {
    Ok(Decimal::from_normal(a).add(&Decimal::from_normal(b))?.to_text())
}

/// `a - b`.
pub fn subtract(a: &str, b: &str) -> Result<String, NumberError> {
    Ok(Decimal::from_normal(a).add(&Decimal::from_normal(b).negated())?.to_text())
}

/// Bytes that a number counts for: one for each pair of digits (pairs as in base 100), one more, and
/// one for a sign.
pub fn size(text: &str) -> usize {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let whole = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    // Where a digit stands, as a power of ten.
    let power = |at: usize| {
        if at < whole { (whole - at) as i32 - 1 } else { whole as i32 - at as i32 }
    };
    let counts = |b: &u8| !matches!(b, b'0' | b'.');
    let first = digits.iter().position(counts);
    let Some((first, last)) = first.zip(digits.iter().rposition(counts)) else { return 1 };
    let pairs = power(first).div_euclid(2) - power(last).div_euclid(2) + 1;
    pairs as usize + 1 + (text.len() - digits.len())
}

const NEGATIVE: u8 = 0;
const ZERO: u8 = 1;
const POSITIVE: u8 = 2;

/// Writes a number in its one form as bytes whose order is the order of numbers, and of which none
/// is the beginning of another: a sign, the exponent, two digits a byte, an end. Those of negative
/// numbers are turned.
pub fn write_key(text: &str, out: &mut Vec<u8>) {
    let number = Decimal::from_normal(text);
    if number.digits.is_empty() {
        return out.push(ZERO);
    }
    let start = out.len() + 1;
    out.push(if number.negative { NEGATIVE } else { POSITIVE });
    out.push((number.exponent - EXPONENT_MIN) as u8);
    for pair in number.digits.chunks(2) {
        out.push(1 + pair[0] * 10 + pair.get(1).copied().unwrap_or(0));
    }
    out.push(0);
    if number.negative {
        out[start..].iter_mut().for_each(|b| *b = !*b);
    }
}

/// Reads what [`write_key`] wrote, and gives what is left.
pub fn read_key(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (&sign, rest) = bytes.split_first()?;
    let mask = match sign {
        ZERO => return Some(("0".to_owned(), rest)),
        POSITIVE => 0,
        NEGATIVE => 0xff,
        _ => return None,
    };
    let (&exponent, rest) = rest.split_first()?;
    let exponent = i64::from(exponent ^ mask) + i64::from(EXPONENT_MIN);
    let end = rest.iter().position(|b| b ^ mask == 0)?;
    let mut digits = Vec::with_capacity(end * 2);
    for byte in &rest[..end] {
        let pair = (byte ^ mask).checked_sub(1).filter(|pair| *pair < 100)?;
        digits.extend([pair / 10, pair % 10]);
    }
    let number = Decimal::new(sign == NEGATIVE, digits, exponent).ok()?;
    Some((number.to_text(), &rest[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let outcome = match normal(text) {
            Ok(text) => text.into_owned(),
            Err(error) => format!("! {error}"),
        };
        assert_eq!(outcome, expected, "{text}");
    }

    #[test]
    fn one_text_for_each_number() {
        check("0", "0");
        check("-0", "0");
        check("-0.000e17", "0");
        check("007", "7");
        check("+5", "5");
        check("5.", "5");
        check(".5", "0.5");
        check("1.50", "1.5");
        check("-12.0340", "-12.034");
        check("1e3", "1000");
        check("12.34E-4", "0.001234");
        check("1e125", &format!("1{}", "0".repeat(125)));
        check("1e-130", &format!("0.{}1", "0".repeat(129)));
        check(&"9".repeat(38), &"9".repeat(38));
        check(&format!("{}0000", "9".repeat(38)), &format!("{}0000", "9".repeat(38)));
        check(&format!("0.{}1", "0".repeat(100)), &format!("0.{}1", "0".repeat(100)));
    }

    #[test]
    fn refuses_in_words() {
        let bad =
            |text: &str| format!("! The parameter cannot be converted to a numeric value: {text}");
        check("", "! The parameter cannot be converted to a numeric value");
        for text in
            ["a", "-", ".", "1.2.3", "1e", "e5", "1e+", "NaN", "Infinity", "0x1", " 1", "1 "]
        {
            check(text, &bad(text));
        }
        let over = "! Number overflow. Attempting to store a number with magnitude larger than supported range";
        check("1e126", over);
        check("-9.99e126", over);
        check("1e99999999999999999999", over);
        let under = "! Number underflow. Attempting to store a number with magnitude smaller than supported range";
        check("1e-131", under);
        check("1e-99999999999999999999", under);
        let long = "! Attempting to store more than 38 significant digits in a Number";
        check(&"9".repeat(39), long);
        check(&format!("1.{}1", "0".repeat(37)), long);
        check(&"1".repeat(100_000), over);
    }

    const ORDERED: [&str; 19] = [
        "-100", "-99.5", "-99", "-10", "-9", "-1.5", "-1", "-0.5", "-0.05", "0", "0.0001", "0.05",
        "0.5", "0.51", "1", "1.5", "9", "10", "99.5",
    ];

    #[test]
    fn orders_by_value_and_by_key() {
        let key = |text: &str| {
            let mut out = Vec::new();
            write_key(text, &mut out);
            out
        };
        for (i, a) in ORDERED.iter().enumerate() {
            for (j, b) in ORDERED.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
                assert_eq!(key(a).cmp(&key(b)), i.cmp(&j), "{a} {b}");
            }
            let mut bytes = key(a);
            bytes.extend([7, 8]);
            assert_eq!(read_key(&bytes), Some(((*a).to_owned(), &[7, 8][..])));
        }
        for bad in [&[][..], &[3], &[2], &[2, 1], &[2, 1, 200, 0], &[0, 1, 2]] {
            assert_eq!(read_key(bad), None);
        }
    }

    #[test]
    fn sums_are_exact_or_refused() {
        assert_eq!(add("1", "2").unwrap(), "3");
        assert_eq!(add("99", "1").unwrap(), "100");
        assert_eq!(add("-5", "5").unwrap(), "0");
        assert_eq!(add("-5", "3").unwrap(), "-2");
        assert_eq!(subtract("1", "0.999").unwrap(), "0.001");
        assert_eq!(subtract("0", "7").unwrap(), "-7");
        assert_eq!(add("1000", "-0.001").unwrap(), "999.999");
        let wide = format!("1{}", "0".repeat(50));
        assert_eq!(add(&wide, "1"), Err(NumberError::TooPrecise));
        let most = format!("9{}", "0".repeat(125));
        assert_eq!(add(&most, &most), Err(NumberError::Overflow));
    }

    #[test]
    fn sizes_count_pairs_of_digits() {
        let cases = [("0", 1), ("1", 2), ("12", 2), ("123", 3), ("1.2", 3), ("-5", 3), ("1000", 2)];
        for (text, expected) in cases {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
