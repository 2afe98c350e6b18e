//! How long a client means to wait for its request.
//!
//! A client that gives up says so by ending the stream. The header `grpc-timeout` is for when
//! that word is lost: who waits on a client's behalf (a lock, say) must not wait for ever.

use std::time::Duration;

use tonic::Status;

/// gRPC's header.
pub const HEADER: &str = "grpc-timeout";
/// gRPC allows eight digits; more of the largest unit is beyond any clock anyway.
const DIGITS_MAX: usize = 8;

/// `5S`, `100m`: digits and a unit.
pub fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    of_unit(digits.parse().ok()?, unit)
}

/// So many of a unit.
pub fn of_unit(count: u64, unit: &str) -> Option<Duration> {
    match unit {
        "H" => Some(Duration::from_secs(count.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(count.saturating_mul(60))),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Comes true when time is up; never if there is no limit.
pub async fn over(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// What etcd says then.
pub fn exceeded() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_a_unit() {
        assert_eq!(parse("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("1n"), Some(Duration::from_nanos(1)));
        for bad in
            ["", "S", "5", "5s", "-5S", "+5S", "5.0S", "123456789S", " 5S", "5\u{e9}", "\u{e9}"]
        {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
