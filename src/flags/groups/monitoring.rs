//! When a slow request is worth a line in the log, and where traces of requests go.

use node::config::{DistributedTracing, Slow};

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
        boolean("enable-distributed-tracing", "false", "Send traces of requests to a collector."),
        text("distributed-tracing-address", "localhost:4317", "The collector, OTLP over gRPC."),
        text("distributed-tracing-service-name", "etcd", "The service in the traces."),
        text("distributed-tracing-instance-id", "", "This instance of it; none if empty."),
        number(
            "distributed-tracing-sampling-rate",
            "0",
            "Of a million requests, so many are traced, besides those whose client traces them.",
        ),
    ],
};

/// Where traces go, if they are wanted.
pub fn tracing(settings: &Settings) -> Result<Option<DistributedTracing>, FlagError> {
    if !settings.boolean("enable-distributed-tracing")? {
        return Ok(None);
    }
    let wrong = |why: &str| {
        // The misspelt word is etcd's.
        let text = format!("distributed tracing configurition is not valid: ({why})");
        Err(FlagError::Configuration(text))
    };
    let rate: i64 = settings.number("distributed-tracing-sampling-rate")?;
    if rate < 0 {
        return wrong("tracing sampling rate must be positive");
    }
    let Some(samples_per_million) = u32::try_from(rate).ok().filter(|rate| *rate <= 1_000_000)
    else {
        return wrong("tracing sampling rate must be less than 1000000");
    };
    let instance_id = settings.text("distributed-tracing-instance-id");
    Ok(Some(DistributedTracing {
        address: settings.text("distributed-tracing-address").to_owned(),
        service_name: settings.text("distributed-tracing-service-name").to_owned(),
        instance_id: Some(instance_id.to_owned()).filter(|id| !id.is_empty()),
        samples_per_million,
    }))
}

pub fn build(settings: &Settings) -> Result<Slow, FlagError> {
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
    fn traces_go_where_the_flags_of_either_name_say() {
        assert_eq!(options(&[]).unwrap().tracing, None);
        let on = "--enable-distributed-tracing";
        let tracing = options(&[on, "--experimental-distributed-tracing-address=h:1"]).unwrap();
        let tracing = tracing.tracing.unwrap();
        assert_eq!((tracing.address.as_str(), tracing.service_name.as_str()), ("h:1", "etcd"));
        assert_eq!((tracing.instance_id, tracing.samples_per_million), (None, 0));
        for (rate, why) in [("1000001", "less than 1000000"), ("-1", "must be positive")] {
            let rate = format!("--distributed-tracing-sampling-rate={rate}");
            let error = options(&[on, &rate]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(options(&[&rate]).is_ok(), "it does not count unless traces are wanted");
        }
    }
}
