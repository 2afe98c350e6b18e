//! What clients' connections may do, and what is served over HTTP.

use node::config::Http;

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, duration, number, text};

pub const SECTION: Section = Section {
    title: "Connections and HTTP",
    flags: &[
        number("max-concurrent-streams", "4294967295", "Calls that a connection may have open."),
        duration("grpc-keepalive-min-time", "5s", "Clients that ping more often are disconnected."),
        duration("grpc-keepalive-interval", "2h", "Time between pings to a client (0: none)."),
        duration("grpc-keepalive-timeout", "20s", "Time for a client to answer a ping."),
        text("cors", "*", "Origins of pages that may ask over HTTP (* or empty: any)."),
        text("host-whitelist", "*", "Names of this host in HTTP without TLS (* or empty: any)."),
        boolean("enable-pprof", "false", "Serve CPU profiles at client URL + /debug/pprof/."),
    ],
};

pub fn build(settings: &Settings) -> Result<Http, FlagError> {
    let streams_max: u32 = settings.number("max-concurrent-streams")?;
    Ok(Http {
        cors: settings.list("cors"),
        host_whitelist: settings.list("host-whitelist"),
        // As in etcd, whoever looks for faults has them too.
        profiles: settings.boolean("enable-pprof")? || settings.text("log-level") == "debug",
        print_authority: false,
        ping_least: settings.duration("grpc-keepalive-min-time")?,
        ping_interval: settings.duration("grpc-keepalive-interval")?,
        ping_timeout: settings.duration("grpc-keepalive-timeout")?,
        // As in Go's server, 0 is no limit.
        streams_max: if streams_max == 0 { u32::MAX } else { streams_max },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::flags::testing::options;

    #[test]
    fn etcds_defaults() {
        let http = options(&[]).unwrap().http;
        assert_eq!(http.ping_least, Duration::from_secs(5));
        assert_eq!(http.ping_interval, Duration::from_secs(7_200));
        assert_eq!(http.ping_timeout, Duration::from_secs(20));
        assert_eq!(http.streams_max, u32::MAX);
        assert!(!http.profiles);
        assert_eq!(
            (&http.cors[..], &http.host_whitelist[..]),
            (&["*".into()][..], &["*".into()][..])
        );
    }

    #[test]
    fn profiles_are_served_if_asked_for_or_in_debug_logs() {
        for word in ["--enable-pprof", "--log-level=debug"] {
            assert!(options(&[word]).unwrap().http.profiles, "{word}");
        }
        assert!(!options(&["--enable-pprof=false"]).unwrap().http.profiles);
    }
}
