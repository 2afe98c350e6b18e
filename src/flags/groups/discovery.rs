//! How the member finds the other founders when it is not told.

use std::path::PathBuf;

use node::config::{
    Discovery, DiscoverySecure, DiscoverySrv, DiscoveryUser, DiscoveryV2, DiscoveryV3,
};

use crate::flags::FlagError;
use crate::flags::syntax::{Origin, Settings};
use crate::flags::table::{Section, boolean, duration, text};

pub const SECTION: Section = Section {
    title: "Discovery",
    flags: &[
        text("discovery", "", "v2 discovery: URL of the cluster's directory on a v2 server."),
        text("discovery-proxy", "", "v2 discovery: HTTP proxy to the discovery service."),
        text("discovery-fallback", "exit", "v2 discovery: only 'exit', the proxy is gone."),
        text("discovery-token", "", "v3 discovery: token of the cluster to be founded."),
        text("discovery-endpoints", "", "v3 discovery: endpoints of the discovery service."),
        duration("discovery-dial-timeout", "2s", "v3 discovery: limit for connecting."),
        duration("discovery-request-timeout", "5s", "v3 discovery: limit for a request."),
        duration("discovery-keepalive-time", "2s", "v3 discovery: between keepalive pings."),
        duration("discovery-keepalive-timeout", "6s", "v3 discovery: wait for a ping's answer."),
        boolean("discovery-insecure-transport", "true", "v3 discovery: no TLS."),
        boolean(
            "discovery-insecure-skip-tls-verify",
            "false",
            "v3 discovery: do not verify the endpoints' certificates.",
        ),
        text("discovery-cert", "", "v3 discovery: certificate of this client."),
        text("discovery-key", "", "v3 discovery: key of that certificate."),
        text("discovery-cacert", "", "v3 discovery: authorities of the endpoints."),
        text("discovery-user", "", "v3 discovery: NAME or NAME:PASSWORD to log in with."),
        text("discovery-password", "", "v3 discovery: the password, if not in the above."),
        text("discovery-srv", "", "Domain whose DNS SRV records name the members."),
        text("discovery-srv-name", "", "Suffix of the service names in DNS."),
    ],
};

/// The way that the flags name, if they name one. Exactly one way of bootstrap may be named.
pub fn build(settings: &Settings) -> Result<Option<Discovery>, FlagError> {
    fallback(settings)?;
    let endpoints = list(settings.text("discovery-endpoints"));
    let token = settings.text("discovery-token");
    let named = [
        !settings.text("initial-cluster").is_empty(),
        !settings.text("discovery").is_empty(),
        !endpoints.is_empty(),
        !settings.text("discovery-srv").is_empty(),
    ];
    if named.iter().filter(|named| **named).count() > 1 {
        return Err(FlagError::Configuration(
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \
             \"discovery\", \"discovery-endpoints\" or \"discovery-srv\""
                .into(),
        ));
    }
    let of_v3 = !endpoints.is_empty() || !token.is_empty();
    if of_v3 && !settings.text("discovery-proxy").is_empty() {
        return Err(FlagError::Configuration(
            "both v2 discovery settings (discovery, discovery-proxy) and v3 discovery settings \
             (discovery-token, discovery-endpoints, discovery-cert, discovery-key, \
             discovery-cacert, discovery-user, discovery-password) are set"
                .into(),
        ));
    }
    if token.is_empty() != endpoints.is_empty() {
        return Err(FlagError::Configuration(
            "both --discovery-token and --discovery-endpoints must be set".into(),
        ));
    }
    if endpoints.iter().any(|endpoint| endpoint.is_empty()) {
        return Err(FlagError::Configuration(
            "--discovery-endpoints must not contain empty endpoints".into(),
        ));
    }
    Ok(match named {
        [_, true, _, _] => Some(Discovery::V2(DiscoveryV2 {
            url: settings.text("discovery").to_owned(),
            proxy: settings.text("discovery-proxy").to_owned(),
        })),
        [_, _, true, _] => Some(Discovery::V3(v3(settings, token, endpoints)?)),
        [_, _, _, true] => Some(Discovery::Srv(DiscoverySrv {
            domain: settings.text("discovery-srv").to_owned(),
            service: settings.text("discovery-srv-name").to_owned(),
        })),
        _ => None,
    })
}

fn v3(settings: &Settings, token: &str, endpoints: Vec<String>) -> Result<DiscoveryV3, FlagError> {
    let path =
        |name: &str| Some(settings.text(name)).filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(DiscoveryV3 {
        token: token.to_owned(),
        endpoints,
        dial_timeout: settings.duration("discovery-dial-timeout")?,
        request_timeout: settings.duration("discovery-request-timeout")?,
        keepalive_time: settings.duration("discovery-keepalive-time")?,
        keepalive_timeout: settings.duration("discovery-keepalive-timeout")?,
        secure: DiscoverySecure {
            insecure_transport: settings.boolean("discovery-insecure-transport")?,
            insecure_skip_verify: settings.boolean("discovery-insecure-skip-tls-verify")?,
            cert: path("discovery-cert"),
            key: path("discovery-key"),
            cacert: path("discovery-cacert"),
        },
        user: user(settings)?,
    })
}

/// etcd asks at the terminal for a password that is not given; a service has none to ask at.
fn user(settings: &Settings) -> Result<Option<DiscoveryUser>, FlagError> {
    let (user, password) =
        (settings.text("discovery-user"), settings.text("discovery-password").to_owned());
    let (name, password) = match user.split_once(':') {
        _ if user.is_empty() => return Ok(None),
        _ if !password.is_empty() => (user, password),
        Some((name, password)) => (name, password.to_owned()),
        None => {
            return Err(FlagError::Configuration(
                "--discovery-user has no password: add it behind a colon, or give \
                 --discovery-password"
                    .into(),
            ));
        }
    };
    Ok(Some(DiscoveryUser { name: name.to_owned(), password }))
}

/// Comma-separated, nothing for nothing.
fn list(text: &str) -> Vec<String> {
    match text {
        "" => Vec::new(),
        text => text.split(',').map(|part| part.trim().to_owned()).collect(),
    }
}

fn fallback(settings: &Settings) -> Result<(), FlagError> {
    match settings.value("discovery-fallback") {
        (_, "exit") => Ok(()),
        // etcd's own sample of a configuration file has it, and etcd does not read it there.
        (Origin::File, "proxy") => Ok(()),
        (_, "proxy") => Err(FlagError::Configuration(
            "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\""
                .into(),
        )),
        _ => Err(settings.invalid("discovery-fallback", "it is 'exit'".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    const V2: &str = "--discovery=http://127.0.0.1:1/t";
    const TOKEN: &str = "--discovery-token=t";
    const ENDPOINTS: &str = "--discovery-endpoints=127.0.0.1:1, h:2";
    const SRV: &str = "--discovery-srv=example.com";
    const LISTED: &str = "--initial-cluster=default=http://localhost:2380";

    #[test]
    fn one_way_at_most_is_named() {
        for words in [&[V2, SRV][..], &[V2, LISTED], &[SRV, LISTED], &[TOKEN, ENDPOINTS, V2]] {
            let error = options(words).unwrap_err();
            assert!(error.to_string().starts_with("multiple discovery or bootstrap"), "{words:?}");
            assert_eq!(error.exit_code(), 1);
        }
        for words in [&[TOKEN][..], &[ENDPOINTS]] {
            let error = options(words).unwrap_err().to_string();
            assert_eq!(error, "both --discovery-token and --discovery-endpoints must be set");
        }
        let error = options(&[TOKEN, ENDPOINTS, "--discovery-proxy=p:1"]).unwrap_err().to_string();
        assert!(error.starts_with("both v2 discovery settings"), "{error}");
        let error = options(&[TOKEN, "--discovery-endpoints=a:1,,b:1"]).unwrap_err().to_string();
        assert_eq!(error, "--discovery-endpoints must not contain empty endpoints");
    }

    #[test]
    fn each_way_has_its_settings() {
        assert_eq!(options(&[LISTED]).unwrap().discovery, None);
        let Some(Discovery::V2(v2)) = options(&[V2]).unwrap().discovery else { panic!() };
        assert_eq!((&*v2.url, &*v2.proxy), ("http://127.0.0.1:1/t", ""));
        let v3 = options(&[TOKEN, ENDPOINTS]).unwrap().discovery;
        let Some(Discovery::V3(v3)) = v3 else { panic!() };
        assert_eq!(v3.endpoints, ["127.0.0.1:1", "h:2"]);
        assert_eq!(v3.request_timeout.as_secs(), 5);
        let srv = options(&[SRV, "--discovery-srv-name=blue"]).unwrap().discovery;
        let Some(Discovery::Srv(srv)) = srv else { panic!() };
        assert_eq!((&*srv.domain, &*srv.service), ("example.com", "blue"));
    }

    #[test]
    fn the_registrys_user_has_a_password() {
        let user = |words: &[&str]| match options(&[&[TOKEN, ENDPOINTS], words].concat()) {
            Ok(options) => match options.discovery {
                Some(Discovery::V3(v3)) => v3.user.map(|user| (user.name, user.password)),
                other => panic!("{other:?}"),
            },
            Err(error) => panic!("{error}"),
        };
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(user(&[]), None);
        assert_eq!(user(&["--discovery-user=a:b:c"]), pair("a", "b:c"));
        let apart = ["--discovery-user=a:b", "--discovery-password=c"];
        assert_eq!(user(&apart), pair("a:b", "c"));
        let missing = options(&[TOKEN, ENDPOINTS, "--discovery-user=a"]).unwrap_err();
        assert!(missing.to_string().contains("--discovery-password"), "{missing}");
        let v3 = options(&[TOKEN, ENDPOINTS, "--discovery-user=a:secret"]).unwrap();
        assert!(!format!("{:?}", v3.discovery).contains("secret"));
    }

    #[test]
    fn there_is_no_proxy_to_fall_back_to() {
        let error = options(&["--discovery-fallback=proxy"]).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert_eq!(options(&["--discovery-fallback=x"]).unwrap_err().exit_code(), 2);
    }
}
