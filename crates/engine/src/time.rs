//! Times as Docker writes them.

use base::Timestamp;

/// Nanoseconds since 1970 as `2006-01-02T15:04:05.999999999Z`, without zeros at the end.
pub fn rfc3339_nano(ns: i64) -> String {
    let fixed = rfc3339_nano_fixed(ns);
    let bare = fixed.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{bare}Z")
}

/// The same with all nine digits, as before each line of a log.
pub fn rfc3339_nano_fixed(ns: i64) -> String {
    let seconds = Timestamp::from_millis(ns.div_euclid(1_000_000_000) * 1000).iso8601_secs();
    let rest = ns.rem_euclid(1_000_000_000);
    format!("{}.{rest:09}Z", seconds.trim_end_matches('Z'))
}

/// What Docker writes for a time that never was.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

pub fn or_never(ns: i64) -> String {
    if ns == 0 { NEVER.to_owned() } else { rfc3339_nano(ns) }
}

/// The opposite, also for what clients write. `None` for what is no time, or lies too far away.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let (whole, zone) = match text.find(['Z', '+']) {
        Some(at) => text.split_at(at),
        None => {
            let at = text.rfind('-').filter(|at| *at > 10)?;
            text.split_at(at)
        }
    };
    let offset_s = match zone {
        "Z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let number = |text: &str| text.parse::<u8>().ok().map(i64::from);
            sign * (number(hours)? * 3600 + number(minutes)? * 60)
        }
    };
    let (seconds, fraction) = whole.split_once('.').unwrap_or((whole, ""));
    let ms = Timestamp::parse_iso8601(&format!("{seconds}Z")).ok()?.to_millis();
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ns = format!("{fraction:0<9}").parse::<i64>().ok()?;
    // Nanoseconds reach from 1677 to 2262.
    (ms.div_euclid(1000) - offset_s).checked_mul(1_000_000_000)?.checked_add(ns)
}

/// The wall clock. The helper has none that is handed to it.
pub fn now_ns() -> i64 {
    #[allow(clippy::disallowed_methods, reason = "the kernel's events are dated by its clock")]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_500_000_000, "1970-01-01T00:00:01.5Z"),
            (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        ] {
            assert_eq!(rfc3339_nano(ns), text);
            assert_eq!(parse_rfc3339(text), Some(ns));
            assert_eq!(parse_rfc3339(&rfc3339_nano_fixed(ns)), Some(ns));
        }
        assert_eq!(parse_rfc3339("1970-01-01T02:00:00+02:00"), Some(0));
        assert_eq!(parse_rfc3339("1969-12-31T22:00:00-02:00"), Some(0));
        for bad in [
            "nonsense",
            "9999-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "1970-01-01T00:00:00+9999999999999999:00",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
        assert_eq!(or_never(0), NEVER);
    }
}
