//! Membership and alarms: the replicated facts about the cluster itself.
//!
//! Pure. Changes come only from the log; every member that applies the same log has the
//! same members, the same removed ids and the same alarms. Whether a change is *wise* (does
//! it keep a quorum?) is judged before it is proposed, in [`rules`]; whether it is *possible*
//! is judged again when it is applied, because two changes may have been proposed at once.

pub mod members;
pub mod rules;
pub mod version;

pub use members::{ClusterError, Member, Members};

use std::collections::BTreeSet;

use proto::etcdserverpb::{AlarmMember, AlarmType};

/// The alarms raised, by member and type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    raised: BTreeSet<(i32, u64)>,
}

impl Alarms {
    /// Raises an alarm; false if it was raised already.
    pub fn raise(&mut self, member: u64, kind: AlarmType) -> bool {
        self.raised.insert((kind as i32, member))
    }

    /// Takes an alarm back; false if it was not raised.
    pub fn disarm(&mut self, member: u64, kind: AlarmType) -> bool {
        self.raised.remove(&(kind as i32, member))
    }

    /// Whether any member raised this alarm.
    pub fn any(&self, kind: AlarmType) -> bool {
        self.raised.iter().any(|(raised, _)| *raised == kind as i32)
    }

    /// All alarms of a type, or all with [`AlarmType::None`].
    pub fn list(&self, kind: AlarmType) -> Vec<AlarmMember> {
        let matches = |raised: &i32| kind == AlarmType::None || *raised == kind as i32;
        self.raised
            .iter()
            .filter(|(raised, _)| matches(raised))
            .map(|(raised, member)| AlarmMember { member_id: *member, alarm: *raised })
            .collect()
    }
}
