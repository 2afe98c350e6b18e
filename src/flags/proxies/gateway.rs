//! The flags of `gateway start`.

use std::time::Duration;

use node::proxy::gateway::Config;

use super::{discovery, endpoints, listen_address};
use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, duration, list, text};

pub const SECTIONS: &[Section] = &[Section {
    title: "Gateway",
    flags: &[
        text("listen-addr", "127.0.0.1:23790", "Address to listen on, host:port."),
        list("endpoints", "127.0.0.1:2379", "The members, with commas in between."),
        text("discovery-srv", "", "Domain whose DNS SRV records name the members."),
        text("discovery-srv-name", "", "Suffix of the service names in DNS."),
        boolean("insecure-discovery", "false", "Take the records as they are, http ones too."),
        text("trusted-ca-file", "", "Authorities of the certificates of members found in DNS."),
        duration("retry-delay", "1m0s", "Until an endpoint that failed is tried again."),
    ],
}];

/// What etcd makes of no delay at all.
const DELAY_OF_ZERO: Duration = Duration::from_secs(300);

pub fn build(settings: &Settings) -> Result<Config, FlagError> {
    let retry_delay = settings.duration("retry-delay")?;
    Ok(Config {
        listen: listen_address(settings, "listen-addr")?,
        endpoints: endpoints(settings),
        discovery: discovery(settings, "trusted-ca-file")?,
        retry_delay: if retry_delay.is_zero() { DELAY_OF_ZERO } else { retry_delay },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::proxies::testing::request;
    use crate::flags::proxies::{Proxy, Request};

    fn config(words: &[&str]) -> Config {
        match request(Proxy::Gateway, words).unwrap() {
            Request::Gateway(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_etcds_and_start_may_stand_anywhere() {
        let default = config(&["start"]);
        assert_eq!(default.listen, "127.0.0.1:23790");
        assert_eq!(default.endpoints, ["127.0.0.1:2379"]);
        assert_eq!(default.retry_delay, Duration::from_secs(60));
        let words = ["--endpoints=a:1,b:2", "start", "--endpoints", "c:3", "--retry-delay=0"];
        let given = config(&words);
        assert_eq!(given.endpoints, ["a:1", "b:2", "c:3"]);
        assert_eq!(given.retry_delay, Duration::from_secs(300));
        assert_eq!(config(&["start", "--listen-addr=:1"]).listen, "0.0.0.0:1");
    }

    #[test]
    fn what_is_looked_up_is_not_the_default() {
        let found = config(&["start", "--discovery-srv=example.com", "--insecure-discovery"]);
        assert!(found.endpoints.is_empty());
        assert!(found.discovery.unwrap().insecure);
        let both = config(&["start", "--discovery-srv=example.com", "--endpoints=a:1"]);
        assert_eq!(both.endpoints, ["a:1"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (words, expected) in [
            (&["--endpoints=a:1"][..], "there is no \"start\""),
            (&["stop"], "\"stop\""),
            (&["start", "start"], "\"start\""),
            (&["start", "--name=a"], "-name"),
            (&["start", "--retry-delay=soon"], "retry-delay"),
            (&["start", "--listen-addr=1"], "listen-addr"),
            (&["start", "--listen-addr=127.0.0.1:1/x"], "listen-addr"),
        ] {
            let error = request(Proxy::Gateway, words).unwrap_err().to_string();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
        assert!(matches!(request(Proxy::Gateway, &[]), Ok(Request::Help(_))));
        assert!(matches!(request(Proxy::Gateway, &["start", "-h"]), Ok(Request::Help(_))));
    }
}
