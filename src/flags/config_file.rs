//! `--config-file`: etcd's YAML, read into the same settings as flags.
//!
//! A key is a flag's name; four keys are maps, whose entries are flags under another name
//! ([`NESTED`]). With a file the other flags and all variables count for nothing, as in etcd.
//! Unlike etcd a key that no flag has is an error: a misspelt setting that is dropped in
//! silence is found when it is too late.
//!
//! Durations are nanoseconds when they are numbers, as etcd reads them, and text like `5s`
//! otherwise. Lists are joined by commas. A key without a value is one that was not given.

use yaml_rust2::{Yaml, YamlLoader};

use super::FlagError;
use super::syntax::{Origin, Settings};
use super::table::{self, Kind};

/// Keys inside maps and their flags.
const NESTED: &[(&str, &str)] = &[
    ("client-transport-security.cert-file", "cert-file"),
    ("client-transport-security.key-file", "key-file"),
    ("client-transport-security.client-cert-file", "client-cert-file"),
    ("client-transport-security.client-key-file", "client-key-file"),
    ("client-transport-security.client-cert-auth", "client-cert-auth"),
    ("client-transport-security.trusted-ca-file", "trusted-ca-file"),
    ("client-transport-security.auto-tls", "auto-tls"),
    ("client-transport-security.allowed-hostname", "client-cert-allowed-hostname"),
    ("peer-transport-security.cert-file", "peer-cert-file"),
    ("peer-transport-security.key-file", "peer-key-file"),
    ("peer-transport-security.client-cert-file", "peer-client-cert-file"),
    ("peer-transport-security.client-key-file", "peer-client-key-file"),
    ("peer-transport-security.client-cert-auth", "peer-client-cert-auth"),
    ("peer-transport-security.trusted-ca-file", "peer-trusted-ca-file"),
    ("peer-transport-security.auto-tls", "peer-auto-tls"),
    ("peer-transport-security.allowed-cn", "peer-cert-allowed-cn"),
    ("peer-transport-security.allowed-hostname", "peer-cert-allowed-hostname"),
    ("peer-transport-security.skip-client-san-verification", "peer-skip-client-san-verification"),
    ("socket-options.reuse-port", "socket-reuse-port"),
    ("socket-options.reuse-address", "socket-reuse-address"),
    ("discovery-config.token", "discovery-token"),
    ("discovery-config.client.endpoints", "discovery-endpoints"),
    ("discovery-config.client.dial-timeout", "discovery-dial-timeout"),
    ("discovery-config.client.request-timeout", "discovery-request-timeout"),
    ("discovery-config.client.keepalive-time", "discovery-keepalive-time"),
    ("discovery-config.client.keepalive-timeout", "discovery-keepalive-timeout"),
    ("discovery-config.client.secure.cert", "discovery-cert"),
    ("discovery-config.client.secure.key", "discovery-key"),
    ("discovery-config.client.secure.cacert", "discovery-cacert"),
    ("discovery-config.client.secure.insecure-transport", "discovery-insecure-transport"),
    (
        "discovery-config.client.secure.insecure-skip-tls-verify",
        "discovery-insecure-skip-tls-verify",
    ),
    ("discovery-config.client.auth.username", "discovery-user"),
    ("discovery-config.client.auth.password", "discovery-password"),
    // etcd spells this one differently in files.
    ("experimental-snapshot-catch-up-entries", "experimental-snapshot-catchup-entries"),
];

/// Reads the text of the file at `path` into settings.
pub fn read(path: &str, text: &str) -> Result<Settings, FlagError> {
    let bad = |reason: String| FlagError::ConfigFile { path: path.to_owned(), reason };
    let documents = YamlLoader::load_from_str(text).map_err(|error| bad(error.to_string()))?;
    let mut settings = Settings::of_file(path);
    match documents.as_slice() {
        [] | [Yaml::Null] => {}
        [root @ Yaml::Hash(_)] => walk("", root, &mut settings).map_err(bad)?,
        _ => return Err(bad("it is not one map of keys and values".into())),
    }
    Ok(settings)
}

fn walk(prefix: &str, map: &Yaml, settings: &mut Settings) -> Result<(), String> {
    let Yaml::Hash(entries) = map else {
        return Err(format!("invalid {prefix}"));
    };
    for (key, value) in entries {
        let key = key.as_str().ok_or_else(|| format!("{key:?} is not the name of a setting"))?;
        let path = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        let begins = format!("{path}.");
        if *value == Yaml::Null && is_key(&path) {
            continue;
        }
        if NESTED.iter().any(|(nested, _)| nested.starts_with(&begins)) {
            if *value != Yaml::Null {
                walk(&path, value, settings)?;
            }
            continue;
        }
        let flag = find(&path).ok_or_else(|| format!("unknown key {path:?}"))?;
        let text = text(value, flag.kind).ok_or_else(|| format!("invalid value for {path:?}"))?;
        settings.give(flag.name, Origin::File, text);
    }
    Ok(())
}

fn is_key(path: &str) -> bool {
    find(path).is_some()
}

fn find(path: &str) -> Option<&'static table::Flag> {
    match NESTED.iter().find(|(nested, _)| *nested == path) {
        Some((_, flag)) => table::find(flag),
        None => table::find(path),
    }
}

/// A value as it would be written behind its flag.
fn text(value: &Yaml, kind: Kind) -> Option<String> {
    match (value, kind) {
        (Yaml::Integer(number), Kind::Duration) => Some(format!("{number}ns")),
        (Yaml::Integer(number), _) => Some(number.to_string()),
        (Yaml::Boolean(value), _) => Some(value.to_string()),
        (Yaml::String(text), _) | (Yaml::Real(text), Kind::Text) => Some(text.clone()),
        (Yaml::Array(parts), Kind::Text) => {
            let parts: Option<Vec<String>> = parts.iter().map(|part| text(part, kind)).collect();
            Some(parts?.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{NodeOptions, Request, parse};

    fn from_file(text: &str) -> Result<NodeOptions, FlagError> {
        let words = ["--config-file=/etc/etcd.yml".to_string(), "--name=flag".into()];
        let variables = [("ETCD_NAME".to_string(), "variable".to_string())];
        let read = |path: &str| {
            assert_eq!(path, "/etc/etcd.yml");
            Ok(text.to_string())
        };
        match parse(&words, variables, read)? {
            Request::Run(options) => Ok(*options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn with_a_file_nothing_else_counts() {
        let options = from_file("name: file\nheartbeat-interval: 50\npre-vote: false").unwrap();
        assert_eq!(options.member.name, "file");
        assert_eq!(options.member.timing.heartbeat.as_millis(), 50);
        assert!(!options.member.pre_vote);
        assert_eq!(from_file("").unwrap().member.name, "default");
    }

    #[test]
    fn a_key_without_a_value_is_not_given() {
        let options = from_file("wal-dir:\ninitial-cluster:\nname: a\n").unwrap();
        assert_eq!(options.member.wal_dir, None);
        assert_eq!(options.clustering.initial_cluster[0].0, "a");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("nmae: x", "unknown key \"nmae\""),
            ("client-transport-security: {cert: x}", "client-transport-security.cert\""),
            ("client-transport-security: 1", "invalid client-transport-security"),
            ("- a\n- b", "not one map"),
            ("name: [a", "/etc/etcd.yml"),
            ("heartbeat-interval: fast", "\"fast\" for heartbeat-interval in /etc/etcd.yml"),
            ("heartbeat-interval: {a: 1}", "invalid value for \"heartbeat-interval\""),
            ("name: {a: 1}", "invalid value for \"name\""),
        ];
        for (text, expected) in cases {
            let error = from_file(text).unwrap_err();
            assert!(error.to_string().contains(expected), "{text}: {error}");
            assert_eq!(error.exit_code(), 1, "{text}");
        }
    }

    #[test]
    fn durations_are_nanoseconds_or_text_and_lists_are_joined() {
        for (kind, value, expected) in [
            (Kind::Duration, Yaml::Integer(5_000_000_000), "5000000000ns"),
            (Kind::Duration, Yaml::String("5s".into()), "5s"),
            (Kind::Number, Yaml::Integer(-1), "-1"),
            (Kind::Text, Yaml::Integer(1), "1"),
        ] {
            assert_eq!(text(&value, kind).as_deref(), Some(expected));
        }
        let list = Yaml::Array(vec![Yaml::String("a".into()), Yaml::String("b".into())]);
        assert_eq!(text(&list, Kind::Text).as_deref(), Some("a,b"));
        assert_eq!(text(&list, Kind::Number), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_answered(text in ".{0,200}") {
            let _ = read("/f", &text);
        }
    }
}
