//! When a slow request is worth a line in the log, and tracing, which is not done here.

use node::config::Slow;

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, duration, number, text};

pub const SECTION: Section = Section {
    title: "Monitoring",
    flags: &[
        duration("warning-apply-duration", "100ms", "Applying longer than this is logged."),
        duration(
            "warning-unary-request-duration",
            "300ms",
            "A request longer than this is logged.",
        ),
        boolean("enable-distributed-tracing", "false", "Accepted, without effect: no traces."),
        text("distributed-tracing-address", "localhost:4317", "As above."),
        text("distributed-tracing-service-name", "etcd", "As above."),
        text("distributed-tracing-instance-id", "", "As above."),
        number("distributed-tracing-sampling-rate", "0", "As above."),
    ],
};

pub fn build(settings: &Settings) -> Result<Slow, FlagError> {
    if settings.boolean("enable-distributed-tracing")? {
        let rate: i64 = settings.number("distributed-tracing-sampling-rate")?;
        if !(0..=1_000_000).contains(&rate) {
            return Err(FlagError::Configuration(
                "distributed tracing configurition is not valid: (tracing sampling rate must be \
                 between 0 and 1000000)"
                    .into(),
            ));
        }
    }
    Ok(Slow {
        apply: settings.duration("warning-apply-duration")?,
        // 0 means the default, as in etcd.
        unary: match settings.duration("warning-unary-request-duration")? {
            duration if duration.is_zero() => std::time::Duration::from_millis(300),
            duration => duration,
        },
    })
}

#[cfg(test)]
mod tests {
    use crate::flags::testing::options;

    #[test]
    fn limits_have_etcds_defaults_and_names_of_old() {
        let slow = options(&[]).unwrap().slow;
        assert_eq!((slow.apply.as_millis(), slow.unary.as_millis()), (100, 300));
        let words =
            ["--experimental-warning-apply-duration=1s", "--warning-unary-request-duration=0"];
        let slow = options(&words).unwrap().slow;
        assert_eq!((slow.apply.as_millis(), slow.unary.as_millis()), (1000, 300));
    }

    #[test]
    fn tracing_is_accepted_if_it_makes_sense() {
        let on = "--enable-distributed-tracing";
        assert!(options(&[on, "--experimental-distributed-tracing-address=h:1"]).is_ok());
        assert!(options(&[on, "--distributed-tracing-sampling-rate=1000001"]).is_err());
    }
}
