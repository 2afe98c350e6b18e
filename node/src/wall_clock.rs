//! The time of day, as this member believes it to be.
//!
//! Only what has to agree with the world asks it: signed tokens, ends of v2 keys, ids that are
//! drawn from the time. Leases, elections and deadlines count time that has passed and never
//! ask. The belief can be made wrong on request ([`crate::faults`]), which is the only way to
//! see what a wrong clock does without being root.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

/// Seconds by which the clock is wrong; 0 unless somebody asked for it.
static OFFSET: AtomicI64 = AtomicI64::new(0);

/// The time of day.
pub fn now() -> SystemTime {
    shifted(SystemTime::now(), OFFSET.load(Ordering::Relaxed))
}

/// Makes the clock wrong by this much from now on.
pub(crate) fn set_offset(seconds: i64) {
    OFFSET.store(seconds, Ordering::Relaxed);
}

/// A time that cannot be told, or is before all that is counted from 1970, stays what it is.
fn shifted(time: SystemTime, seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let wrong = match seconds >= 0 {
        true => time.checked_add(distance),
        false => time.checked_sub(distance),
    };
    wrong.filter(|wrong| *wrong >= SystemTime::UNIX_EPOCH).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_wrong_by_what_was_asked_for_and_never_ends_the_world() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(shifted(noon, 0), noon);
        assert_eq!(shifted(noon, 60), noon + Duration::from_secs(60));
        assert_eq!(shifted(noon, -60), noon - Duration::from_secs(60));
        assert_eq!(shifted(noon, i64::MAX), noon);
        assert_eq!(shifted(noon, i64::MIN), noon);
    }
}
