//! The flags of `grpc-proxy start`.

use node::config::{Http, TlsOptions, TlsProtocol};
use node::proxy::grpc::{Config, Limits, Pings, Register};

use super::{discovery, endpoints, listen_address};
use crate::flags::FlagError;
use crate::flags::groups::tls::{self, file};
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, duration, list, number, text};

pub const SECTIONS: &[Section] = &[MEMBERS, CLIENTS, KEYS, CONNECTIONS];

const MEMBERS: Section = Section {
    title: "Members",
    flags: &[
        list("endpoints", "127.0.0.1:2379", "The members, with commas in between."),
        duration(
            "endpoints-auto-sync-interval",
            "0s",
            "How often the members are asked for the members there are (0: never).",
        ),
        text("discovery-srv", "", "Domain whose DNS SRV records name the members."),
        text("discovery-srv-name", "", "Suffix of the service names in DNS."),
        boolean("insecure-discovery", "false", "Take the records as they are, http ones too."),
        text("cacert", "", "Authorities of the members' certificates."),
        text("cert", "", "Certificate shown to members; it must not name a user."),
        text("key", "", "Its private key."),
        boolean("insecure-skip-tls-verify", "false", "Take any certificate of a member."),
    ],
};

const CLIENTS: Section = Section {
    title: "Clients",
    flags: &[
        text("listen-addr", "127.0.0.1:23790", "Address to listen on, host:port."),
        text("metrics-addr", "", "URL for metrics and health alone."),
        text(
            "advertise-client-url",
            "127.0.0.1:23790",
            "Listed as the only member; empty: the members themselves are.",
        ),
        text("resolver-prefix", "", "Register below this key; all who have are listed as members."),
        number("resolver-ttl", "0", "Seconds until a proxy that is gone is not listed any more."),
        text("cert-file", "", "Certificate shown to clients."),
        text("key-file", "", "Its private key."),
        text("trusted-ca-file", "", "Authorities of client certificates; clients must show one."),
        text("client-crl-file", "", "List of revoked client certificates."),
        boolean("auto-tls", "false", "Use a certificate made here (nobody is authenticated)."),
        number("self-signed-cert-validity", "1", "Years that a certificate made here is valid."),
        text("data-dir", "default.proxy", "Where a certificate made here is kept."),
        list(
            "listen-cipher-suites",
            "",
            "Cipher suites of TLS 1.2 by Go's names (default: all AEAD).",
        ),
        text("tls-min-version", "TLS1.2", "TLS1.2 or TLS1.3."),
        text("tls-max-version", "", "TLS1.2 or TLS1.3 (default: the newest)."),
        boolean("enable-pprof", "false", "Serve CPU profiles below /debug/pprof/."),
        boolean("debug", "false", "Log more."),
        boolean(
            "experimental-enable-grpc-logging",
            "false",
            "Log method, code and time of each call (not what is in it: passwords are).",
        ),
    ],
};

const KEYS: Section = Section {
    title: "Keys",
    flags: &[
        text("namespace", "", "Clients see the keys with this prefix, without it, and no others."),
        boolean(
            "experimental-serializable-ordering",
            "false",
            "Reads never go back behind a revision that somebody was told.",
        ),
        text("experimental-leasing-prefix", "", "Refused: reads are the members' to answer."),
    ],
};

const CONNECTIONS: Section = Section {
    title: "Connections",
    flags: &[
        duration("dial-keepalive-time", "0s", "Time between pings to a member (0: none)."),
        duration("dial-keepalive-timeout", "20s", "Time for a member to answer a ping."),
        boolean("permit-without-stream", "false", "Ping members also while nothing is asked."),
        duration("grpc-keepalive-min-time", "5s", "Clients that ping more often are disconnected."),
        duration("grpc-keepalive-interval", "2h0m0s", "Time between pings to a client (0: none)."),
        duration("grpc-keepalive-timeout", "20s", "Time for a client to answer a ping."),
        number("max-concurrent-streams", "4294967295", "Calls of a connection at a time."),
        number("max-send-bytes", "1572864", "The largest message that is sent to a member."),
        number("max-recv-bytes", "2147483647", "The largest message that is taken from a member."),
    ],
};

pub fn build(settings: &Settings) -> Result<Config, FlagError> {
    refuse_leasing(settings)?;
    let streams_max: u32 = settings.number("max-concurrent-streams")?;
    let auto_tls = settings.boolean("auto-tls")?;
    let self_signed_years = settings.number("self-signed-cert-validity")?;
    if auto_tls && self_signed_years == 0 {
        let why = "it should be greater than 0".to_owned();
        return Err(settings.invalid("self-signed-cert-validity", why));
    }
    Ok(Config {
        listen: listen_address(settings, "listen-addr")?,
        metrics: Some(settings.text("metrics-addr").to_owned()).filter(|url| !url.is_empty()),
        endpoints: endpoints(settings),
        discovery: discovery(settings, "cacert")?,
        auto_sync: settings.duration("endpoints-auto-sync-interval")?,
        register: register(settings)?,
        namespace: settings.text("namespace").to_owned(),
        data_dir: settings.text("data-dir").into(),
        member_tls: member_tls(settings)?,
        client_tls: client_tls(settings),
        protocol: protocol(settings)?,
        auto_tls,
        self_signed_years,
        limits: limits(settings)?,
        http: Http {
            cors: Vec::new(),
            host_whitelist: Vec::new(),
            profiles: settings.boolean("enable-pprof")?,
            print_authority: false,
            ping_least: settings.duration("grpc-keepalive-min-time")?,
            ping_interval: settings.duration("grpc-keepalive-interval")?,
            ping_timeout: settings.duration("grpc-keepalive-timeout")?,
            streams_max: if streams_max == 0 { u32::MAX } else { streams_max },
        },
        pings: Pings {
            interval: settings.duration("dial-keepalive-time")?,
            timeout: settings.duration("dial-keepalive-timeout")?,
            while_idle: settings.boolean("permit-without-stream")?,
        },
        ordered: settings.boolean("experimental-serializable-ordering")?,
        log_calls: settings.boolean("experimental-enable-grpc-logging")?,
        debug: settings.boolean("debug")?,
    })
}

fn refuse_leasing(settings: &Settings) -> Result<(), FlagError> {
    if settings.text("experimental-leasing-prefix").is_empty() {
        return Ok(());
    }
    let why = "there is no leasing here: a proxy that answers reads by itself would have to hold up \
               the writes of everybody else; leave the flag out";
    Err(settings.invalid("experimental-leasing-prefix", why.to_owned()))
}

fn register(settings: &Settings) -> Result<Register, FlagError> {
    let ttl: i64 = settings.number("resolver-ttl")?;
    let prefix = settings.text("resolver-prefix").to_owned();
    let advertise = settings.text("advertise-client-url").to_owned();
    if prefix.is_empty() != (ttl < 1) {
        let why = "--resolver-prefix and a --resolver-ttl of at least 1 need each other".to_owned();
        return Err(settings.invalid("resolver-ttl", why));
    }
    if !prefix.is_empty() && advertise.is_empty() {
        let why = "with --resolver-prefix there has to be an address to register".to_owned();
        return Err(settings.invalid("advertise-client-url", why));
    }
    Ok(Register { advertise, prefix, ttl })
}

fn member_tls(settings: &Settings) -> Result<Option<TlsOptions>, FlagError> {
    let options = TlsOptions {
        trusted_ca_file: file(settings, "cacert"),
        cert_file: file(settings, "cert"),
        key_file: file(settings, "key"),
        self_signed: settings.boolean("insecure-skip-tls-verify")?,
        ..TlsOptions::default()
    };
    Ok(Some(options).filter(|options| *options != TlsOptions::default()))
}

fn client_tls(settings: &Settings) -> Option<TlsOptions> {
    let options = TlsOptions {
        cert_file: file(settings, "cert-file"),
        key_file: file(settings, "key-file"),
        trusted_ca_file: file(settings, "trusted-ca-file"),
        ..TlsOptions::default()
    };
    let is_given = options != TlsOptions::default();
    is_given.then(|| TlsOptions { crl_file: file(settings, "client-crl-file"), ..options })
}

fn protocol(settings: &Settings) -> Result<TlsProtocol, FlagError> {
    tls::protocol(settings, "listen-cipher-suites")
}

fn limits(settings: &Settings) -> Result<Limits, FlagError> {
    // As in etcd's client, nothing and less is the default.
    let most = |name: &str, default: usize| {
        let given: i64 = settings.number(name)?;
        Ok::<_, FlagError>(usize::try_from(given).ok().filter(|most| *most > 0).unwrap_or(default))
    };
    Ok(Limits {
        send_max: most("max-send-bytes", 2 << 20)?,
        receive_max: most("max-recv-bytes", i32::MAX as usize)?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use node::config::TlsVersion;

    use super::*;
    use crate::flags::proxies::testing::request;
    use crate::flags::proxies::{Proxy, Request};

    fn config(words: &[&str]) -> Config {
        let words: Vec<&str> = ["start"].iter().chain(words).copied().collect();
        match request(Proxy::Grpc, &words).unwrap() {
            Request::Grpc(config) => *config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn etcds_defaults() {
        let default = config(&[]);
        assert_eq!(
            (&default.listen[..], &default.endpoints[..]),
            ("127.0.0.1:23790", &["127.0.0.1:2379".to_owned()][..])
        );
        assert_eq!(default.register.advertise, "127.0.0.1:23790");
        assert_eq!(default.limits, Limits { send_max: 1_572_864, receive_max: 2_147_483_647 });
        assert_eq!((default.member_tls, default.client_tls), (None, None));
        assert_eq!(default.protocol.min, Some(TlsVersion::Tls12));
        assert_eq!(default.http.ping_interval, Duration::from_secs(7200));
        assert!(default.auto_sync.is_zero() && default.pings.interval.is_zero());
    }

    #[test]
    fn the_two_sides_have_their_own_tls() {
        let both = config(&["--cacert=a", "--trusted-ca-file=b", "--client-crl-file=c"]);
        assert_eq!(both.member_tls.unwrap().trusted_ca_file, Some("a".into()));
        let client = both.client_tls.unwrap();
        assert_eq!((client.trusted_ca_file, client.crl_file), (Some("b".into()), Some("c".into())));
        assert!(config(&["--insecure-skip-tls-verify"]).member_tls.unwrap().self_signed);
        let suites = config(&["--listen-cipher-suites=A,B", "--listen-cipher-suites=C"]);
        assert_eq!(suites.protocol.cipher_suites, ["A", "B", "C"]);
    }

    #[test]
    fn what_does_not_go_together_or_is_not_there_is_refused() {
        for words in [
            &["--resolver-prefix=p"][..],
            &["--resolver-ttl=5"],
            &["--resolver-prefix=p", "--resolver-ttl=5", "--advertise-client-url="],
            &["--auto-tls", "--self-signed-cert-validity=0"],
            &["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            &["--tls-min-version=TLS1.3", "--listen-cipher-suites=A"],
            &["--experimental-leasing-prefix=p"],
            &["--max-recv-bytes=many"],
        ] {
            let words: Vec<&str> = ["start"].iter().chain(words).copied().collect();
            let error = request(Proxy::Grpc, &words).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
