//! The feature gates: etcd's names, stages and defaults (`--feature-gates`).
//!
//! Which gates are open is a setting of one member. None of them may decide what applying a
//! command does; they decide what a member proposes, checks and reports.
//!
//! | gate | what it does here |
//! |---|---|
//! | `CompactHashCheck` | members' hashes are compared after compactions |
//! | `InitialCorruptCheck` | hashes are compared before a member serves |
//! | `LeaseCheckpoint` | what is left of long leases survives a change of leader |
//! | `LeaseCheckpointPersist` | accepted; checkpoints are always persisted, as in etcd 3.6 |
//! | `StopGRPCServiceOnDefrag` | the gRPC health service says NOT_SERVING during one |
//! | `FastLeaseKeepAlive` | a renewal does not wait for the applied index |
//! | `PriorityRequest` | what frees space gets through when too many requests wait |
//! | `SetMemberLocalAddr`, `TxnModeWriteWithSharedBuffer` | accepted, no effect |

use std::collections::BTreeMap;

/// One gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    CompactHashCheck,
    FastLeaseKeepAlive,
    InitialCorruptCheck,
    LeaseCheckpoint,
    LeaseCheckpointPersist,
    PriorityRequest,
    SetMemberLocalAddr,
    StopGrpcServiceOnDefrag,
    TxnModeWriteWithSharedBuffer,
}

/// How settled a gate is, as etcd says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Alpha,
    Beta,
}

impl Stage {
    /// Its name in metrics and help.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
        }
    }
}

impl Feature {
    /// All gates with name, stage and default, by name.
    pub const ALL: [(Self, &'static str, Stage, bool); 9] = [
        (Self::CompactHashCheck, "CompactHashCheck", Stage::Alpha, false),
        (Self::FastLeaseKeepAlive, "FastLeaseKeepAlive", Stage::Beta, true),
        (Self::InitialCorruptCheck, "InitialCorruptCheck", Stage::Alpha, false),
        (Self::LeaseCheckpoint, "LeaseCheckpoint", Stage::Alpha, false),
        (Self::LeaseCheckpointPersist, "LeaseCheckpointPersist", Stage::Alpha, false),
        (Self::PriorityRequest, "PriorityRequest", Stage::Alpha, false),
        (Self::SetMemberLocalAddr, "SetMemberLocalAddr", Stage::Alpha, false),
        (Self::StopGrpcServiceOnDefrag, "StopGRPCServiceOnDefrag", Stage::Alpha, false),
        (Self::TxnModeWriteWithSharedBuffer, "TxnModeWriteWithSharedBuffer", Stage::Beta, true),
    ];

    /// The gate of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, ..)| *known == name).map(|(feature, ..)| *feature)
    }
}

/// The gates that open or close all of a stage.
const GROUPS: [(&str, Stage); 2] = [("AllAlpha", Stage::Alpha), ("AllBeta", Stage::Beta)];

/// Which gates are open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    set: BTreeMap<Feature, bool>,
    groups: BTreeMap<&'static str, bool>,
}

impl Features {
    /// Reads `A=true,B=false`; the error is etcd's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut features = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or(format!("missing bool value for {part}"))?;
            let (name, value) = (name.trim(), value.trim());
            let open = boolean(value).ok_or_else(|| {
                format!(
                    "invalid value of {name}={value}, err: strconv.ParseBool: parsing \"{value}\": \
                     invalid syntax"
                )
            })?;
            if let Some((group, _)) = GROUPS.iter().find(|(group, _)| *group == name) {
                features.groups.insert(group, open);
            } else {
                let feature = Feature::named(name)
                    .ok_or_else(|| format!("unrecognized feature gate: {name}"))?;
                features.set.insert(feature, open);
            }
        }
        Ok(features)
    }

    /// Opens or closes one gate.
    pub fn set(&mut self, feature: Feature, open: bool) {
        self.set.insert(feature, open);
    }

    /// Whether somebody said what this gate is to be.
    pub fn is_given(&self, feature: Feature) -> bool {
        self.set.contains_key(&feature)
    }

    /// Whether the gate is open: as it was set, else as its stage was, else by default.
    pub fn enabled(&self, feature: Feature) -> bool {
        if let Some(open) = self.set.get(&feature) {
            return *open;
        }
        let Some((.., stage, default)) = Feature::ALL.iter().find(|(known, ..)| *known == feature)
        else {
            return false;
        };
        let group = GROUPS.iter().find(|(_, of)| of == stage);
        group.and_then(|(name, _)| self.groups.get(name)).copied().unwrap_or(*default)
    }

    /// Name, stage and state of every gate, groups first, for the metrics.
    pub fn list(&self) -> Vec<(&'static str, Stage, bool)> {
        let groups = GROUPS
            .iter()
            .map(|(name, stage)| (*name, *stage, self.groups.get(name).copied().unwrap_or(false)));
        let each = Feature::ALL
            .iter()
            .map(|(feature, name, stage, _)| (*name, *stage, self.enabled(*feature)));
        groups.chain(each).collect()
    }
}

/// What Go takes for a boolean.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_etcds() {
        let features = Features::parse("").unwrap();
        let open: Vec<_> =
            features.list().into_iter().filter(|(.., open)| *open).map(|(name, ..)| name).collect();
        assert_eq!(open, ["FastLeaseKeepAlive", "TxnModeWriteWithSharedBuffer"]);
    }

    #[test]
    fn a_gate_is_stronger_than_its_group_in_any_order() {
        for text in ["AllAlpha=true,LeaseCheckpoint=false", "LeaseCheckpoint=F,AllAlpha=1"] {
            let features = Features::parse(text).unwrap();
            assert!(!features.enabled(Feature::LeaseCheckpoint), "{text}");
            assert!(features.enabled(Feature::CompactHashCheck), "{text}");
        }
        let features = Features::parse("AllBeta=false").unwrap();
        assert!(!features.enabled(Feature::FastLeaseKeepAlive));
        assert!(!features.enabled(Feature::LeaseCheckpoint));
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_etcds_words() {
        let refused = |text: &str| Features::parse(text).unwrap_err();
        assert_eq!(refused("Nope=true"), "unrecognized feature gate: Nope");
        assert_eq!(refused("LeaseCheckpoint"), "missing bool value for LeaseCheckpoint");
        assert_eq!(
            refused("LeaseCheckpoint=x"),
            "invalid value of LeaseCheckpoint=x, err: strconv.ParseBool: parsing \"x\": invalid \
             syntax"
        );
    }
}
