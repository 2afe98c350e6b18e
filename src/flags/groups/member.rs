//! Who the member is, where its files are, and the clocks of consensus.

use std::path::PathBuf;
use std::time::Duration;

use node::config::Timing;

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, number, text};

pub const SECTION: Section = Section {
    title: "Member",
    flags: &[
        text("name", "default", "Human-readable name of this member."),
        text("data-dir", "", "Path to the data directory (default: <name>.etcd)."),
        boolean("memory-mlock", "false", "Keep all memory of the process in RAM."),
        text("wal-dir", "", "Path to a separate directory for the write-ahead log."),
        text(
            "config-file",
            "",
            "Path to a configuration file (YAML); other flags and variables are then ignored.",
        ),
        number("heartbeat-interval", "100", "Milliseconds between heartbeats."),
        number("election-timeout", "1000", "Milliseconds without a leader until an election."),
        boolean(
            "initial-election-tick-advance",
            "true",
            "Do not wait a whole timeout for the first election after a start.",
        ),
        boolean("pre-vote", "true", "Ask before an election whether it could be won."),
    ],
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub name: String,
    pub data_dir: PathBuf,
    /// Where the write-ahead log goes when not under the data directory.
    pub wal_dir: Option<PathBuf>,
    pub timing: Timing,
    pub pre_vote: bool,
    pub lock_memory: bool,
}

/// etcd's upper bound of an election timeout.
const ELECTION_MS_MAX: u64 = 50_000;

pub fn build(settings: &Settings) -> Result<Options, FlagError> {
    let timing = timing(settings)?;
    let name = settings.text("name").to_string();
    if name.is_empty() {
        return Err(settings.invalid("name", "a member needs a name".into()));
    }
    Ok(Options {
        data_dir: match settings.text("data-dir") {
            "" => PathBuf::from(format!("{name}.etcd")),
            text => PathBuf::from(text),
        },
        wal_dir: Some(settings.text("wal-dir")).filter(|dir| !dir.is_empty()).map(PathBuf::from),
        timing,
        pre_vote: settings.boolean("pre-vote")?,
        lock_memory: settings.boolean("memory-mlock")?,
        name,
    })
}

/// Heartbeat and election timeout.
fn timing(settings: &Settings) -> Result<Timing, FlagError> {
    let heartbeat: u64 = settings.number("heartbeat-interval")?;
    let election: u64 = settings.number("election-timeout")?;
    for (name, value) in [("heartbeat-interval", heartbeat), ("election-timeout", election)] {
        if value == 0 {
            let text = format!("--{name} must be >0 (set to 0ms)");
            return Err(FlagError::Configuration(text));
        }
    }
    if election > ELECTION_MS_MAX {
        return Err(FlagError::ElectionTooLong { election });
    }
    if heartbeat.saturating_mul(5) > election {
        return Err(FlagError::ElectionTooShort { election, heartbeat });
    }
    let [heartbeat, election] = [heartbeat, election].map(Duration::from_millis);
    let advance_first_election = settings.boolean("initial-election-tick-advance")?;
    Ok(Timing { heartbeat, election, advance_first_election })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    #[test]
    fn the_data_directory_follows_the_name() {
        assert_eq!(options(&["--name=n1"]).unwrap().member.data_dir, PathBuf::from("n1.etcd"));
        let member = options(&["--name=n1", "--data-dir=/d", "--wal-dir=/w"]).unwrap().member;
        assert_eq!(member.data_dir, PathBuf::from("/d"));
        assert_eq!(member.wal_dir, Some(PathBuf::from("/w")));
    }

    #[test]
    fn election_timeouts_are_bounded_on_both_sides() {
        let with = |heartbeat: u64, election: u64| {
            options(&[
                &format!("--heartbeat-interval={heartbeat}"),
                &format!("--election-timeout={election}"),
            ])
        };
        assert!(with(100, 500).is_ok());
        assert!(with(10_000, 50_000).is_ok());
        assert_eq!(
            with(100, 499).unwrap_err().to_string(),
            "--election-timeout[499ms] should be at least as 5 times as \
             --heartbeat-interval[100ms]"
        );
        assert_eq!(with(100, 50_001).unwrap_err(), FlagError::ElectionTooLong { election: 50_001 });
        assert!(with(0, 1_000).is_err());
        assert!(with(u64::MAX, 1_000).is_err());
    }
}
