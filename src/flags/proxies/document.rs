//! The proxies' part of `assets/flags.md`, and the test that they have etcd's flags and no others.

use std::collections::BTreeSet;

use super::Proxy;
use crate::flags::table::{Flag, flags_of};

/// The flags of the two programs of etcd 3.6.
const OF_ETCD: [(Proxy, &str); 2] = [
    (
        Proxy::Gateway,
        "discovery-srv discovery-srv-name endpoints insecure-discovery listen-addr retry-delay
        trusted-ca-file",
    ),
    (
        Proxy::Grpc,
        "advertise-client-url auto-tls cacert cert cert-file client-crl-file data-dir debug
        dial-keepalive-time dial-keepalive-timeout discovery-srv discovery-srv-name enable-pprof
        endpoints endpoints-auto-sync-interval experimental-enable-grpc-logging
        experimental-leasing-prefix experimental-serializable-ordering grpc-keepalive-interval
        grpc-keepalive-min-time grpc-keepalive-timeout insecure-discovery insecure-skip-tls-verify
        key key-file listen-addr listen-cipher-suites max-concurrent-streams max-recv-bytes
        max-send-bytes metrics-addr namespace permit-without-stream resolver-prefix resolver-ttl
        self-signed-cert-validity tls-max-version tls-min-version trusted-ca-file",
    ),
];

const REFUSED: &str = "experimental-leasing-prefix";

const INTRODUCTION: &str = "
# The flags of the proxies

Those of etcd 3.6, after `start`. They have no variables and no configuration file, as in etcd.
";

fn row(flag: &Flag) -> String {
    let default = match flag.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let effect = if flag.name == REFUSED { "refused" } else { "works" };
    format!("| `--{}` | {default} | {effect} | {} |\n", flag.name, flag.about)
}

/// A table for each proxy.
pub fn tables() -> String {
    let mut out = String::from(INTRODUCTION);
    for (proxy, _) in OF_ETCD {
        let name = proxy.name();
        out.push_str(&format!(
            "\n## `{name} start`\n\n| flag | default | here | |\n|---|---|---|---|\n"
        ));
        flags_of(proxy.sections()).for_each(|flag| out.push_str(&row(flag)));
    }
    out
}

#[test]
fn each_proxy_has_the_flags_of_etcds_and_no_other() {
    for (proxy, names) in OF_ETCD {
        let etcd: BTreeSet<&str> = names.split_whitespace().collect();
        let ours: BTreeSet<&str> = flags_of(proxy.sections()).map(|flag| flag.name).collect();
        assert_eq!(ours, etcd, "{}", proxy.name());
        assert_eq!(flags_of(proxy.sections()).count(), ours.len(), "{}", proxy.name());
    }
}
