//! When old revisions are dropped without being asked.

use std::time::Duration;

use node::config::AutoCompaction;

use crate::flags::syntax::Settings;
use crate::flags::table::{Section, text};
use crate::flags::{FlagError, values};

pub const SECTION: Section = Section {
    title: "Compaction",
    flags: &[
        text("auto-compaction-mode", "periodic", "'periodic' or 'revision'."),
        text(
            "auto-compaction-retention",
            "0",
            "periodic: hours, or a duration like 30m; revision: revisions to keep; 0: off.",
        ),
    ],
};

pub fn build(settings: &Settings) -> Result<AutoCompaction, FlagError> {
    const RETENTION: &str = "auto-compaction-retention";
    let retention = match settings.text(RETENTION) {
        "" => "0",
        text => text,
    };
    let invalid = |reason: &str| {
        FlagError::Configuration(format!(
            "error parsing CompactionRetention: invalid value {retention:?}: {reason}"
        ))
    };
    match settings.text("auto-compaction-mode") {
        "periodic" => {
            let period = match retention.parse::<u32>() {
                Ok(hours) => Duration::from_secs(u64::from(hours) * 3_600),
                Err(_) => values::duration(retention).map_err(|_| {
                    invalid("periodic takes a number of hours or a duration like 30m")
                })?,
            };
            Ok(if period.is_zero() {
                AutoCompaction::Off
            } else {
                AutoCompaction::Periodic(period)
            })
        }
        "revision" => match retention.parse::<i64>() {
            Ok(0) => Ok(AutoCompaction::Off),
            Ok(revisions) if revisions > 0 => Ok(AutoCompaction::Revisions(revisions)),
            _ => Err(invalid("revision takes a number of revisions")),
        },
        "" => Err(FlagError::Configuration("undefined auto-compaction-mode".into())),
        mode => {
            let text = format!("unknown auto-compaction-mode {mode:?}: 'periodic' or 'revision'");
            Err(FlagError::Configuration(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    #[test]
    fn retention_is_hours_a_duration_or_revisions() {
        let with = |mode: &str, retention: &str| {
            options(&[
                &format!("--auto-compaction-mode={mode}"),
                &format!("--auto-compaction-retention={retention}"),
            ])
            .map(|options| options.auto_compaction)
        };
        let minutes = |n: u64| AutoCompaction::Periodic(Duration::from_secs(n * 60));
        assert_eq!(with("periodic", "2"), Ok(minutes(120)));
        assert_eq!(with("periodic", "30m"), Ok(minutes(30)));
        assert_eq!(with("periodic", "0"), Ok(AutoCompaction::Off));
        assert_eq!(with("periodic", ""), Ok(AutoCompaction::Off));
        assert_eq!(with("revision", "1000"), Ok(AutoCompaction::Revisions(1000)));
        assert_eq!(with("revision", "0"), Ok(AutoCompaction::Off));
        for (mode, retention) in
            [("periodic", "-1"), ("periodic", "x"), ("revision", "10m"), ("revision", "-1")]
        {
            assert!(with(mode, retention).is_err(), "{mode} {retention}");
        }
        assert!(with("sometimes", "1").is_err());
    }
}
