//! Single values as Go writes them: booleans and durations.

use std::time::Duration;

/// Go's `strconv.ParseBool`.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("a boolean is true or false".into()),
    }
}

/// Units of a duration and their nanoseconds, longest name first so that `ms` is not `m`.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

/// A duration like `1h30m`, `1.5s` or `250ms`; never negative.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration like 30m or 1h30m");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() || rest.starts_with('-') {
        return Err(bad());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (amount, after) = rest.split_at(digits);
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(bad());
        }
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        total = total
            .checked_add(amount_of(whole, fraction, *nanos).ok_or_else(bad)?)
            .ok_or_else(bad)?;
        rest = after;
    }
    Ok(total)
}

/// `whole.fraction` units of `nanos`, cut off below a nanosecond.
fn amount_of(whole: &str, fraction: &str, nanos: u64) -> Option<Duration> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Eighteen digits reach below a nanosecond for every unit, and fit.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let scale = 10u128.pow(fraction.len() as u32);
    let parts: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = u64::try_from(parts * u128::from(nanos) / scale).ok()?;
    Some(Duration::from_nanos(whole.checked_mul(nanos)?.checked_add(part)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_gos() {
        assert_eq!(boolean("T"), Ok(true));
        assert_eq!(boolean("0"), Ok(false));
        assert!(boolean("yes").is_err());
        assert!(boolean("").is_err());
    }

    #[test]
    fn durations_add_up() {
        let cases = [
            ("0", 0),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("1m0.5s", 60_500),
            (".5s", 500),
            ("+2s", 2_000),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("3µs"), Ok(Duration::from_micros(3)));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in ["", "1", "-1h", "h", "1x", "1h2", ".s", "1..2s", "99999999999999h", "1 h"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
