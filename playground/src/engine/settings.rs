//! Knobs of a cluster that every engine has, part of the plan.
//!
//! They are etcd's flags under etcd's names. What nobody set is left to the engine, so that a
//! cluster without settings is the cluster that the engine's own documentation describes;
//! except that pre-vote is on everywhere (etcd 3.4 has it off).

use serde::{Deserialize, Serialize};

use crate::PlaygroundError;

/// Longest election timeout that etcd takes, in milliseconds.
const ELECTION_MAX_MS: u32 = 50_000;

/// The knobs. `None` is what nobody set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are etcd's flags")]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_timeout_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_backend_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_vote: Option<bool>,
}

impl Settings {
    /// Whether nobody set anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what every engine would refuse, before a cluster is planned with it.
    pub fn check(&self) -> Result<(), PlaygroundError> {
        let heartbeat = self.heartbeat_interval_ms.unwrap_or(100);
        let election = self.election_timeout_ms.unwrap_or(1000);
        let wrong = |text: String| Err(PlaygroundError::Usage(text));
        if heartbeat == 0 || election > ELECTION_MAX_MS {
            return wrong(format!(
                "a heartbeat of {heartbeat} ms and elections after {election} ms are out of \
                 range: etcd takes heartbeats from 1 ms and elections up to {ELECTION_MAX_MS} ms"
            ));
        }
        if election < heartbeat.saturating_mul(5) {
            return wrong(format!(
                "an election timeout of {election} ms is too short for heartbeats every \
                 {heartbeat} ms: it has to be five times as long at least"
            ));
        }
        if self.snapshot_count == Some(0) {
            return wrong("a snapshot count of 0 makes no snapshots: say 1 or more".to_owned());
        }
        Ok(())
    }

    /// The flags, which are the same words for every engine.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let mut put = |flag: &str, value: Option<String>| {
            flags.extend(value.map(|value| format!("--{flag}={value}")));
        };
        put("heartbeat-interval", self.heartbeat_interval_ms.map(|it| it.to_string()));
        put("election-timeout", self.election_timeout_ms.map(|it| it.to_string()));
        put("snapshot-count", self.snapshot_count.map(|it| it.to_string()));
        put("quota-backend-bytes", self.quota_backend_bytes.map(|it| it.to_string()));
        put("pre-vote", self.pre_vote.map(|it| it.to_string()));
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_would_refuse_is_refused_before_a_cluster_is_made() {
        let of = |heartbeat, election| Settings {
            heartbeat_interval_ms: heartbeat,
            election_timeout_ms: election,
            ..Settings::default()
        };
        assert!(Settings::default().check().is_ok());
        assert!(of(Some(10), Some(50)).check().is_ok());
        for bad in [
            of(Some(0), None),
            of(None, Some(499)),
            of(Some(201), None),
            of(None, Some(50_001)),
            of(Some(u32::MAX), Some(50_000)),
            Settings { snapshot_count: Some(0), ..Settings::default() },
        ] {
            assert!(bad.check().unwrap_err().is_usage(), "{bad:?}");
        }
    }

    #[test]
    fn only_what_was_set_becomes_a_flag() {
        assert!(Settings::default().flags().is_empty());
        let settings =
            Settings { snapshot_count: Some(50), pre_vote: Some(false), ..Settings::default() };
        assert_eq!(settings.flags(), ["--snapshot-count=50", "--pre-vote=false"]);
    }
}
