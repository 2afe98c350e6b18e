//! What a member checks and reports by itself, and the feature gates.
//!
//! The gates and some durations had flags of their own before etcd 3.6, `--experimental-…`;
//! they still work, but not together with the new form.

use std::time::Duration;

use node::config::Upkeep;
use node::features::{Feature, Features};

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, duration, number, text};

const GATES_ABOUT: &str = "Features to open or close: AllAlpha, AllBeta, CompactHashCheck, \
     FastLeaseKeepAlive, InitialCorruptCheck, LeaseCheckpoint, LeaseCheckpointPersist, \
     PriorityRequest, SetMemberLocalAddr, StopGRPCServiceOnDefrag, TxnModeWriteWithSharedBuffer.";

pub const SECTION: Section = Section {
    title: "Upkeep and features",
    flags: &[
        text("feature-gates", "", GATES_ABOUT),
        duration("corrupt-check-time", "0s", "Between comparisons of all members' data; 0: off."),
        duration(
            "compact-hash-check-time",
            "1m",
            "Between comparisons after compactions (gate CompactHashCheck).",
        ),
        duration("downgrade-check-time", "5s", "Between looks whether a downgrade is over."),
        duration(
            "watch-progress-notify-interval",
            "10m",
            "After this time an idle watcher that asked for it is told the revision.",
        ),
        number("max-learners", "1", "Most learners in the cluster at one time."),
        number(
            "bootstrap-defrag-threshold-megabytes",
            "0",
            "A start that can free this much of the disk defragments first; 0: never.",
        ),
        text("metrics", "basic", "'basic', or 'extensive' with histograms of calls."),
        duration("experimental-corrupt-check-time", "0s", "Now --corrupt-check-time."),
        duration("experimental-compact-hash-check-time", "1m", "Now --compact-hash-check-time."),
        duration("experimental-downgrade-check-time", "5s", "Now --downgrade-check-time."),
        duration(
            "experimental-watch-progress-notify-interval",
            "10m",
            "Now --watch-progress-notify-interval.",
        ),
        number("experimental-max-learners", "1", "Now --max-learners."),
        boolean("experimental-initial-corrupt-check", "false", "Now gate InitialCorruptCheck."),
        boolean("experimental-compact-hash-check-enabled", "false", "Now gate CompactHashCheck."),
        boolean("experimental-enable-lease-checkpoint", "false", "Now gate LeaseCheckpoint."),
        boolean(
            "experimental-enable-lease-checkpoint-persist",
            "false",
            "Now gate LeaseCheckpointPersist.",
        ),
        boolean(
            "experimental-stop-grpc-service-on-defrag",
            "false",
            "Now gate StopGRPCServiceOnDefrag.",
        ),
        boolean(
            "experimental-txn-mode-write-with-shared-buffer",
            "true",
            "Now gate TxnModeWriteWithSharedBuffer.",
        ),
    ],
};

/// Gates that had a flag of their own.
const OLD_GATES: [(&str, Feature, &str); 6] = [
    ("experimental-initial-corrupt-check", Feature::InitialCorruptCheck, "InitialCorruptCheck"),
    ("experimental-compact-hash-check-enabled", Feature::CompactHashCheck, "CompactHashCheck"),
    ("experimental-enable-lease-checkpoint", Feature::LeaseCheckpoint, "LeaseCheckpoint"),
    (
        "experimental-enable-lease-checkpoint-persist",
        Feature::LeaseCheckpointPersist,
        "LeaseCheckpointPersist",
    ),
    (
        "experimental-stop-grpc-service-on-defrag",
        Feature::StopGrpcServiceOnDefrag,
        "StopGRPCServiceOnDefrag",
    ),
    (
        "experimental-txn-mode-write-with-shared-buffer",
        Feature::TxnModeWriteWithSharedBuffer,
        "TxnModeWriteWithSharedBuffer",
    ),
];

/// etcd's shortest interval; less is raised to it.
const WATCH_PROGRESS_MIN: Duration = Duration::from_millis(100);

pub fn build(settings: &Settings) -> Result<Upkeep, FlagError> {
    let positive = |time: Duration| (!time.is_zero()).then_some(time);
    let compact = newer(settings, "compact-hash-check-time")?;
    let compact_hash_check = settings.duration(compact)?;
    if compact_hash_check.is_zero() {
        let text = format!("--{compact} must be >0 (set to 0s)");
        return Err(FlagError::Configuration(text));
    }
    let progress = settings.duration(newer(settings, "watch-progress-notify-interval")?)?;
    Ok(Upkeep {
        features: features(settings)?,
        corrupt_check: positive(settings.duration(newer(settings, "corrupt-check-time")?)?),
        compact_hash_check,
        downgrade_check: positive(settings.duration(newer(settings, "downgrade-check-time")?)?),
        watch_progress: progress.max(WATCH_PROGRESS_MIN),
        max_learners: settings.number(newer(settings, "max-learners")?)?,
        defragment_at_start: defragment_at_start(settings)?,
        extensive_metrics: match settings.text("metrics") {
            "basic" => false,
            "extensive" => true,
            _ => return Err(settings.invalid("metrics", "it is 'basic' or 'extensive'".into())),
        },
    })
}

fn defragment_at_start(settings: &Settings) -> Result<Option<u64>, FlagError> {
    let megabytes: u32 = settings.number("bootstrap-defrag-threshold-megabytes")?;
    Ok((megabytes > 0).then_some(u64::from(megabytes) << 20))
}

/// The one of a flag's two names that was given.
fn newer(settings: &Settings, name: &'static str) -> Result<&'static str, FlagError> {
    let all = SECTION.flags.iter().map(|flag| flag.name);
    let old = all.into_iter().find(|old| old.strip_prefix("experimental-") == Some(name));
    match old.filter(|old| settings.is_given(old)) {
        Some(old) if settings.is_given(name) => Err(FlagError::Configuration(format!(
            "cannot set --{old} and --{name} at the same time, please use --{name} only"
        ))),
        Some(old) => Ok(old),
        None => Ok(name),
    }
}

fn features(settings: &Settings) -> Result<Features, FlagError> {
    let mut features = Features::parse(settings.text("feature-gates"))
        .map_err(|reason| settings.invalid("feature-gates", reason))?;
    for (flag, feature, name) in OLD_GATES.iter().filter(|(flag, ..)| settings.is_given(flag)) {
        let open = settings.boolean(flag)?;
        if features.is_given(*feature) {
            let gate = format!("--feature-gates={name}={}", features.enabled(*feature));
            return Err(FlagError::Configuration(format!(
                "cannot specify both flags: --{flag}={open} and {gate} at the same time, please \
                 just use {gate}"
            )));
        }
        features.set(*feature, open);
    }
    if features.enabled(Feature::LeaseCheckpointPersist)
        && !features.enabled(Feature::LeaseCheckpoint)
    {
        return Err(FlagError::Configuration(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate \
             LeaseCheckpoint"
                .into(),
        ));
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    fn upkeep(words: &[&str]) -> Upkeep {
        options(words).unwrap().upkeep
    }

    fn refused(words: &[&str]) -> (u8, String) {
        let error = options(words).unwrap_err();
        (error.exit_code(), error.to_string())
    }

    #[test]
    fn defaults_are_etcds() {
        assert_eq!(upkeep(&[]), Upkeep::default());
    }

    #[test]
    fn old_and_new_names_mean_the_same_and_exclude_each_other() {
        for prefix in ["--", "--experimental-"] {
            let checked = upkeep(&[&format!("{prefix}corrupt-check-time=90s")]);
            assert_eq!(checked.corrupt_check, Some(Duration::from_secs(90)), "{prefix}");
        }
        let both = ["--corrupt-check-time=1s", "--experimental-corrupt-check-time=2s"];
        let text = "cannot set --experimental-corrupt-check-time and --corrupt-check-time at the \
                    same time, please use --corrupt-check-time only";
        assert_eq!(refused(&both), (1, text.into()));

        let checked = upkeep(&["--experimental-enable-lease-checkpoint"]);
        assert!(checked.features.enabled(Feature::LeaseCheckpoint));
        let both =
            ["--experimental-enable-lease-checkpoint", "--feature-gates=LeaseCheckpoint=true"];
        let text = "cannot specify both flags: --experimental-enable-lease-checkpoint=true and \
                    --feature-gates=LeaseCheckpoint=true at the same time, please just use \
                    --feature-gates=LeaseCheckpoint=true";
        assert_eq!(refused(&both), (1, text.into()));
    }

    #[test]
    fn every_old_gate_flag_has_its_gates_default() {
        for (flag, feature, name) in OLD_GATES {
            assert_eq!(Feature::named(name), Some(feature));
            let default = SECTION.flags.iter().find(|known| known.name == flag).unwrap().default;
            assert_eq!(default, Features::default().enabled(feature).to_string(), "{flag}");
        }
    }

    #[test]
    fn what_etcd_refuses_is_refused() {
        let (code, text) = refused(&["--feature-gates=Nope=true"]);
        assert_eq!((code, text.contains("unrecognized feature gate: Nope")), (2, true), "{text}");
        let text = "enabling feature gate LeaseCheckpointPersist requires enabling feature gate \
                    LeaseCheckpoint";
        assert_eq!(refused(&["--feature-gates=LeaseCheckpointPersist=true"]), (1, text.into()));
        let text = "--compact-hash-check-time must be >0 (set to 0s)";
        assert_eq!(refused(&["--compact-hash-check-time=0"]), (1, text.into()));
        for words in [["--max-learners=-1"], ["--corrupt-check-time=-1s"], ["--metrics=foo"]] {
            assert_eq!(refused(&words).0, 2, "{words:?}");
        }
    }

    #[test]
    fn progress_is_not_told_more_often_than_every_100_ms() {
        let checked = upkeep(&["--watch-progress-notify-interval=1ms"]);
        assert_eq!(checked.watch_progress, Duration::from_millis(100));
    }
}
