//! Names of earlier versions: what they became, what is ignored, what is refused.
//!
//! `--experimental-x` of 3.4 to 3.6 is `--x` here; giving both is an error, as in etcd. Flags
//! that etcd dropped long ago and still accepts are accepted. The v2 proxy is refused, because
//! a node that should be a proxy and is none would be worse than one that does not start.

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Flag, Section, boolean, duration, number, text};

pub const SECTION: Section = Section { title: "", flags: FLAGS };

const FLAGS: &[Flag] = &[
    // Aliases, see `RENAMED`.
    text("experimental-backend-bbolt-freelist-type", "map", ""),
    number("experimental-bootstrap-defrag-threshold-megabytes", "0", ""),
    number("experimental-compaction-batch-limit", "1000", ""),
    duration("experimental-compaction-sleep-interval", "10ms", ""),
    number("experimental-snapshot-catchup-entries", "5000", ""),
    duration("experimental-warning-apply-duration", "100ms", ""),
    duration("experimental-warning-unary-request-duration", "300ms", ""),
    boolean("experimental-memory-mlock", "false", ""),
    boolean("experimental-peer-skip-client-san-verification", "false", ""),
    boolean("experimental-enable-distributed-tracing", "false", ""),
    text("experimental-distributed-tracing-address", "localhost:4317", ""),
    text("experimental-distributed-tracing-service-name", "etcd", ""),
    text("experimental-distributed-tracing-instance-id", "", ""),
    number("experimental-distributed-tracing-sampling-rate", "0", ""),
    // Ignored since 3.0.
    boolean("cluster-active-size", "", ""),
    boolean("cluster-remove-delay", "", ""),
    boolean("cluster-sync-interval", "", ""),
    boolean("config", "", ""),
    boolean("force", "", ""),
    boolean("max-result-buffer", "", ""),
    boolean("max-retry-attempts", "", ""),
    boolean("peer-heartbeat-interval", "", ""),
    boolean("peer-election-timeout", "", ""),
    boolean("retry-interval", "", ""),
    boolean("snapshot", "", ""),
    boolean("v", "", ""),
    boolean("vv", "", ""),
    // Of 3.4 and 3.5.
    boolean("debug", "false", ""),
    text("log-package-levels", "", ""),
    text("proxy", "off", ""),
    number("proxy-failure-wait", "5000", ""),
    number("proxy-refresh-interval", "30000", ""),
    number("proxy-dial-timeout", "1000", ""),
    number("proxy-write-timeout", "5000", ""),
    number("proxy-read-timeout", "0", ""),
    text("experimental-enable-v2v3", "", ""),
    text("v2-deprecation", "write-only", ""),
];

/// The earlier name and the one it became.
pub const RENAMED: &[(&str, &str)] = &[
    ("experimental-backend-bbolt-freelist-type", "backend-bbolt-freelist-type"),
    ("experimental-bootstrap-defrag-threshold-megabytes", "bootstrap-defrag-threshold-megabytes"),
    ("experimental-compaction-batch-limit", "compaction-batch-limit"),
    ("experimental-compaction-sleep-interval", "compaction-sleep-interval"),
    ("experimental-snapshot-catchup-entries", "snapshot-catchup-entries"),
    ("experimental-warning-apply-duration", "warning-apply-duration"),
    ("experimental-warning-unary-request-duration", "warning-unary-request-duration"),
    ("experimental-memory-mlock", "memory-mlock"),
    ("experimental-peer-skip-client-san-verification", "peer-skip-client-san-verification"),
    ("experimental-enable-distributed-tracing", "enable-distributed-tracing"),
    ("experimental-distributed-tracing-address", "distributed-tracing-address"),
    ("experimental-distributed-tracing-service-name", "distributed-tracing-service-name"),
    ("experimental-distributed-tracing-instance-id", "distributed-tracing-instance-id"),
    ("experimental-distributed-tracing-sampling-rate", "distributed-tracing-sampling-rate"),
];

const IGNORED: &[&str] = &[
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
    "log-package-levels",
    "proxy-failure-wait",
    "proxy-refresh-interval",
    "proxy-dial-timeout",
    "proxy-write-timeout",
    "proxy-read-timeout",
];

/// Flags that warn with etcd 3.6's words, each with what its warning says after its name.
const DEPRECATED: &[(&str, &str)] = &[
    ("snapshot-count", "is deprecated in 3.6 and will be decommissioned in 3.7."),
    ("max-snapshots", "is deprecated in 3.6 and will be decommissioned in 3.7."),
    (
        "v2-deprecation",
        "is deprecated and scheduled for removal in v3.8. The default value is enforced, \
         ignoring user input.",
    ),
    (
        "experimental-compact-hash-check-enabled",
        "is deprecated in 3.6 and will be decommissioned in 3.7. Use \
         '--feature-gates=CompactHashCheck=true' instead.",
    ),
    (
        "experimental-compact-hash-check-time",
        "is deprecated in 3.6 and will be decommissioned in 3.7. Use '--compact-hash-check-time' \
         instead.",
    ),
    (
        "experimental-txn-mode-write-with-shared-buffer",
        "is deprecated in v3.6 and will be decommissioned in v3.7. Use \
         '--feature-gates=TxnModeWriteWithSharedBuffer=true' instead.",
    ),
    (
        "experimental-corrupt-check-time",
        "is deprecated in v3.6 and will be decommissioned in v3.7. Use '--corrupt-check-time' \
         instead.",
    ),
    (
        "experimental-watch-progress-notify-interval",
        "is deprecated in v3.6 and will be decommissioned in v3.7. Use \
         '--watch-progress-notify-interval' instead.",
    ),
    (
        "experimental-downgrade-check-time",
        "is deprecated in v3.6 and will be decommissioned in v3.7. Use '--downgrade-check-time' \
         instead.",
    ),
];

/// The values of `--v2-deprecation`: 3.5's first stage, `not-yet`, went with 3.6.
const STAGES: &[&str] = &["write-only", "write-only-drop-data", "gone"];

/// The stage in force: as in etcd 3.6 the words are checked and the default holds.
pub const STAGE: &str = "write-only";

/// Whether any value will do, as for etcd's ignored flags.
pub fn is_ignored(name: &str) -> bool {
    IGNORED.contains(&name)
}

/// Gives the values of earlier names to the present ones.
pub fn resolve(settings: &mut Settings) -> Result<(), FlagError> {
    for (name, text) in DEPRECATED {
        if settings.is_given(name) {
            settings.warnings.push(format!("--{name} {text}"));
        }
    }
    for (old, new) in RENAMED {
        if !settings.is_given(old) {
            continue;
        }
        if settings.is_given(new) {
            return Err(FlagError::Configuration(format!(
                "cannot set --{old} and --{new} at the same time, please use --{new} only"
            )));
        }
        if let Some((origin, value)) = settings.take(old) {
            settings.give(new, origin, value);
        }
        settings.warnings.push(format!(
            "--{old} is deprecated in v3.6 and will be decommissioned in v3.7. \
             Use '--{new}' instead."
        ));
    }
    for name in IGNORED {
        if settings.is_given(name) {
            let text = format!("flag \"-{name}\" is no longer supported - ignoring");
            settings.warnings.push(text);
        }
    }
    debug(settings)?;
    refuse(settings)
}

/// 3.4's `--debug` is the level.
fn debug(settings: &mut Settings) -> Result<(), FlagError> {
    if settings.boolean("debug")? && !settings.is_given("log-level") {
        if let Some((origin, _)) = settings.take("debug") {
            settings.give("log-level", origin, "debug".into());
        }
        settings.warnings.push("--debug is deprecated. Use '--log-level=debug' instead.".into());
    }
    Ok(())
}

fn refuse(settings: &mut Settings) -> Result<(), FlagError> {
    if settings.text("proxy") != "off" {
        return Err(FlagError::Configuration(
            "the v2 proxy was removed in v3.6: --proxy can only be \"off\"; this program has no \
             proxy, let clients name the members"
                .into(),
        ));
    }
    if !settings.text("experimental-enable-v2v3").is_empty() {
        return Err(FlagError::Configuration(
            "--experimental-enable-v2v3 was removed in v3.6: the v2 API is not emulated on v3 keys"
                .into(),
        ));
    }
    let stage = settings.text("v2-deprecation");
    if !STAGES.contains(&stage) {
        let reason = format!("invalid value {stage:?}; it is one of {}", STAGES.join(", "));
        return Err(settings.invalid("v2-deprecation", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::table;
    use crate::flags::testing::options;

    #[test]
    fn every_alias_has_two_flags_of_one_kind() {
        for (old, new) in RENAMED {
            let [old, new] = [old, new].map(|name| table::find(name).expect(name));
            assert_eq!((old.kind, old.default), (new.kind, new.default), "{}", old.name);
        }
        for name in IGNORED {
            assert!(table::find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn an_earlier_name_means_the_present_one() {
        let options = options(&["--experimental-snapshot-catchup-entries=7"]).unwrap();
        assert_eq!(options.limits.catch_up_entries, 7);
        assert!(options.warnings[0].contains("deprecated"), "{:?}", options.warnings);
    }

    #[test]
    fn the_check_of_peers_addresses_has_two_names() {
        for prefix in ["--", "--experimental-"] {
            let words = [&*format!("{prefix}peer-skip-client-san-verification")];
            assert!(options(&words).unwrap().security.peer.skip_san_check, "{words:?}");
        }
    }

    #[test]
    fn both_names_at_once_are_refused() {
        let words = ["--experimental-snapshot-catchup-entries=7", "--snapshot-catchup-entries=7"];
        let error = options(&words).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot set --experimental-snapshot-catchup-entries and --snapshot-catchup-entries \
             at the same time, please use --snapshot-catchup-entries only"
        );
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn what_etcd_ignores_is_ignored() {
        let options = options(&["--force", "--snapshot=maybe", "--proxy=off"]).unwrap();
        assert_eq!(
            options.warnings,
            [
                "flag \"-force\" is no longer supported - ignoring",
                "flag \"-snapshot\" is no longer supported - ignoring",
            ]
        );
    }

    #[test]
    fn a_proxy_is_refused() {
        for words in [["--proxy=on"], ["--experimental-enable-v2v3=/v2"]] {
            assert_eq!(options(&words).unwrap_err().exit_code(), 1, "{words:?}");
        }
    }

    #[test]
    fn the_stages_of_the_v2_store_are_those_of_36() {
        for stage in STAGES {
            let options = options(&[&format!("--v2-deprecation={stage}")]).unwrap();
            assert!(options.warnings[0].contains("The default value is enforced"), "{stage}");
        }
        let error = options(&["--v2-deprecation=not-yet"]).unwrap_err();
        let text = "invalid value \"not-yet\" for flag -v2-deprecation: invalid value \"not-yet\"";
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn what_etcd_will_drop_warns_in_its_words_and_only_when_given() {
        let options = options(&["--snapshot-count=100", "--max-snapshots=10"]).unwrap();
        assert_eq!(
            options.warnings,
            [
                "--snapshot-count is deprecated in 3.6 and will be decommissioned in 3.7.",
                "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.7.",
            ]
        );
        for (name, _) in DEPRECATED {
            assert!(table::find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn debug_is_a_level() {
        use crate::flags::LogLevel;
        assert_eq!(options(&["--debug"]).unwrap().logging.level, LogLevel::Debug);
        let both = options(&["--debug", "--log-level=warn"]).unwrap();
        assert_eq!(both.logging.level, LogLevel::Warn);
    }
}
