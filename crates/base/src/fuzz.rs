//! What the fuzz target runs, and a unit test from a fixed seed: any text as each thing that is written
//! in text. What was read is what was meant: it can be written and read again.

use crate::{AccountId, Arn, Region, Timestamp, hex, percent};

pub fn fuzz_text(data: &[u8]) {
    if let Some(bytes) = hex::decode(data) {
        assert_eq!(hex::encode(&bytes), String::from_utf8_lossy(data).to_ascii_lowercase());
    }
    let text = &*String::from_utf8_lossy(data);
    for decoded in [percent::decode(text), percent::decode_form(text)] {
        assert_eq!(*percent::decode(&percent::encode(&decoded)), *decoded);
        assert_eq!(*percent::decode(&percent::encode_path(&decoded)), *decoded);
    }
    if let Some(account) = AccountId::parse(text) {
        assert_eq!(account.to_string(), text);
    }
    if let Some(region) = Region::parse(text) {
        assert_eq!(region.as_str(), text);
    }
    if let Some(arn) = Arn::parse(text) {
        assert_eq!(arn.to_string(), text);
    }
    if let Ok(at) = Timestamp::parse_iso8601(text) {
        assert_eq!(Timestamp::parse_iso8601(&at.iso8601_millis()), Ok(at));
    }
    if let Ok(at) = Timestamp::parse_http_date(text) {
        assert_eq!(Timestamp::parse_http_date(&at.http_date()), Ok(at));
    }
    if let Ok(secs) = text.parse() {
        let _ = Timestamp::from_epoch_secs_f64(secs);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_second_of_noise() {
        let seeds: [&[u8]; 11] = [
            b"123456789012",
            b"us-gov-west-1",
            b"arn:aws:s3:::bucket/a:b",
            b"2026-11-20T17:30:00.123Z",
            b"2026-11-20T17:30:00+02:00",
            b"20261120T173000Z",
            b"Fri, 20 Nov 2026 17:30:00 GMT",
            b"Friday, 20-Nov-26 17:30:00 GMT",
            b"Fri Nov 20 17:30:00 2026",
            b"a%20b+c%2F%zz",
            b"deadBEEF00",
        ];
        let words: [&[u8]; 8] =
            [b"%", b"-", b":", b"9999", b"0000", b"-0001-01-01", b"Z", b"1e308"];
        crate::noise::run(1, 30_000, &seeds, &words, super::fuzz_text);
    }
}
