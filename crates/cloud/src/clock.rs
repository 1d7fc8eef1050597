//! `cumulet clock`: what time it is in the running cloud, and making it later.

use crate::client::{Client, text};
use crate::exit::{self, Failure};
use crate::settings::Config;
use base::percent;
use clap::ArgMatches;

const PAGE: &str = "/_cumulet/clock";

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let usage = |why: String| Failure::new(exit::USAGE, why);
    let query = match matches.subcommand() {
        Some(("advance", matches)) => {
            let given = matches.get_one::<String>("duration").map_or("", String::as_str);
            Some(format!("advance_ms={}", milliseconds(given).map_err(usage)?))
        }
        Some(("set", matches)) => {
            let given = matches.get_one::<String>("time").map_or("", String::as_str);
            Some(format!("set={}", percent::encode(given.as_bytes())))
        }
        Some(("run", _)) => Some("run=true".to_owned()),
        _ => None,
    };
    let client = Client::new(config);
    let answer = match query {
        Some(query) => client.ask("POST", PAGE, &query)?,
        None => client.ask("GET", PAGE, "")?,
    };
    let of = |name| text(&answer, name).unwrap_or("");
    println!("{}  {}, outside it is {}", of("now"), of("state"), of("outside"));
    Ok(())
}

/// `31d`, `1h30m`, `250ms`: numbers with units, added up.
pub fn milliseconds(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is no duration; write 31d, 12h, 15m, 90s, 250ms or 1d12h");
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters =
            after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(bad()),
        };
        let number: i64 = number.parse().map_err(|_| bad())?;
        let part = number.checked_mul(unit_ms).and_then(|part| total.checked_add(part));
        total = part.ok_or_else(bad)?;
        rest = after;
    }
    if text.is_empty() { Err(bad()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_no_duration() {
        let words: [&[u8]; 4] = [b"d", b"99999999999999999999", b"-", "é".as_bytes()];
        base::noise::run(9, 20_000, &[b"1d12h", b"250ms"], &words, |data| {
            if let Ok(ms) = milliseconds(&String::from_utf8_lossy(data)) {
                assert!(ms >= 0);
            }
        });
    }

    #[test]
    fn durations() {
        let good = [
            ("31d", 31 * 86_400_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("2w", 14 * 86_400_000),
            ("0s", 0),
        ];
        for (given, expected) in good {
            assert_eq!(milliseconds(given), Ok(expected), "{given}");
        }
        for bad in [
            "",
            "31",
            "d",
            "-1d",
            "1y",
            "1 d",
            "1d5",
            "99999999999999999999d",
            "9223372036854775807w",
            "é",
        ] {
            assert!(milliseconds(bad).is_err(), "{bad}");
        }
    }
}
