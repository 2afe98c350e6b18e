//! The members of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use proto::command::{MemberAttributes, MemberChange, member_change};
use proto::etcdserverpb;
use sha1::{Digest, Sha1};

/// One member as the log describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    /// Empty until the member has started and published itself.
    pub name: String,
    pub peer_urls: Vec<String>,
    pub client_urls: Vec<String>,
    pub is_learner: bool,
    /// Names the data directory the member started with; empty until it has published itself.
    pub directory_id: Vec<u8>,
}

impl From<&Member> for proto::peer::Member {
    fn from(member: &Member) -> Self {
        Self {
            id: member.id,
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
            is_learner: member.is_learner,
            directory_id: member.directory_id.clone().into(),
        }
    }
}

impl Member {
    /// Whether it ever ran: a member that was only added has no name yet.
    pub fn has_started(&self) -> bool {
        !self.name.is_empty()
    }

    /// The client API's form.
    pub fn to_proto(&self) -> etcdserverpb::Member {
        etcdserverpb::Member {
            id: self.id,
            name: self.name.clone(),
            peer_ur_ls: self.peer_urls.clone(),
            client_ur_ls: self.client_urls.clone(),
            is_learner: self.is_learner,
        }
    }
}

/// A membership change that cannot be made, with etcd's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    #[error("etcdserver: member not found")]
    NotFound,
    #[error("etcdserver: member ID already exist")]
    IdExists,
    #[error("etcdserver: Peer URLs already exists")]
    PeerUrlExists,
    #[error("etcdserver: given member URLs are invalid")]
    BadUrls,
    #[error("etcdserver: too many learner members in cluster")]
    TooManyLearners,
    #[error("etcdserver: can only promote a learner member")]
    NotLearner,
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    NotEnoughStarted,
    #[error("etcdserver: unhealthy cluster")]
    Unhealthy,
}

/// Learners at one time, if the proposer does not say (etcd's default of `--max-learners`).
pub const MAX_LEARNERS: u32 = 1;

/// All members, present and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub cluster_id: u64,
    present: BTreeMap<u64, Member>,
    removed: BTreeSet<u64>,
}

/// etcd's member id: SHA-1 over the sorted peer URLs, the cluster token and, for a member
/// that is added at run time, the moment (so that the same address gets a new id).
pub fn member_id(peer_urls: &[String], token: &str, added_unix_seconds: Option<u64>) -> u64 {
    let mut urls = peer_urls.to_vec();
    urls.sort();
    let mut hash = Sha1::new();
    for url in &urls {
        hash.update(url.as_bytes());
    }
    hash.update(token.as_bytes());
    if let Some(seconds) = added_unix_seconds {
        hash.update(seconds.to_string().as_bytes());
    }
    first_eight(&hash.finalize())
}

/// etcd's cluster id: SHA-1 over the sorted ids of the founding members.
pub fn cluster_id(member_ids: impl IntoIterator<Item = u64>) -> u64 {
    let mut ids: Vec<u64> = member_ids.into_iter().collect();
    ids.sort_unstable();
    let mut hash = Sha1::new();
    for id in ids {
        hash.update(id.to_be_bytes());
    }
    first_eight(&hash.finalize())
}

fn first_eight(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

impl Members {
    /// A cluster of these members.
    pub fn new(cluster_id: u64, members: impl IntoIterator<Item = Member>) -> Self {
        let present = members.into_iter().map(|member| (member.id, member)).collect();
        Self { cluster_id, present, removed: BTreeSet::new() }
    }

    /// The member with this id.
    pub fn get(&self, id: u64) -> Option<&Member> {
        self.present.get(&id)
    }

    /// Present members, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.present.values()
    }

    /// Members that vote.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.iter().filter(|member| !member.is_learner)
    }

    /// Whether a member with this id was removed; its id never comes back.
    pub fn is_removed(&self, id: u64) -> bool {
        self.removed.contains(&id)
    }

    /// An id for a member that is added now. Where etcd would give the id of a member with the
    /// same addresses that came and went within this second, and refuse it, the next second is
    /// taken.
    pub fn new_id(&self, peer_urls: &[String], token: &str, unix_seconds: u64) -> u64 {
        let at = |moment| member_id(peer_urls, token, Some(moment));
        let free = (unix_seconds..).map(at).find(|id| !self.is_removed(*id));
        // Always found: there are more moments than members.
        free.unwrap_or_default()
    }

    /// Ids of all removed members.
    pub fn removed(&self) -> impl Iterator<Item = u64> {
        self.removed.iter().copied()
    }

    /// The client API's form of all members.
    pub fn to_proto(&self) -> Vec<etcdserverpb::Member> {
        self.iter().map(Member::to_proto).collect()
    }

    fn url_taken(&self, urls: &[String], except: u64) -> bool {
        let taken = |member: &&Member| member.peer_urls.iter().any(|url| urls.contains(url));
        self.iter().filter(|member| member.id != except).any(|member| taken(&member))
    }

    /// Whether `change` can be made now.
    pub fn check(&self, change: &MemberChange) -> Result<(), ClusterError> {
        let id = change.member_id;
        if self.is_removed(id) {
            return Err(ClusterError::NotFound);
        }
        match change.kind() {
            member_change::Kind::Add => {
                if self.present.contains_key(&id) {
                    return Err(ClusterError::IdExists);
                }
                if self.url_taken(&change.peer_urls, id) {
                    return Err(ClusterError::PeerUrlExists);
                }
                let learners = self.iter().filter(|member| member.is_learner).count();
                let most = change.max_learners.unwrap_or(MAX_LEARNERS);
                if change.is_learner && learners as u64 >= u64::from(most) {
                    return Err(ClusterError::TooManyLearners);
                }
                Ok(())
            }
            member_change::Kind::Update => {
                self.get(id).ok_or(ClusterError::NotFound)?;
                if self.url_taken(&change.peer_urls, id) {
                    return Err(ClusterError::PeerUrlExists);
                }
                Ok(())
            }
            member_change::Kind::Remove => {
                let member = self.get(id).ok_or(ClusterError::NotFound)?;
                // Raft refuses a configuration without voters.
                if !member.is_learner && self.voters().count() == 1 {
                    return Err(ClusterError::NotEnoughStarted);
                }
                Ok(())
            }
            member_change::Kind::Promote => {
                let member = self.get(id).ok_or(ClusterError::NotFound)?;
                if member.is_learner { Ok(()) } else { Err(ClusterError::NotLearner) }
            }
        }
    }

    /// Makes a change that [`Members::check`] allowed.
    pub fn apply(&mut self, change: &MemberChange) {
        let id = change.member_id;
        match change.kind() {
            member_change::Kind::Add => {
                let member = Member {
                    id,
                    peer_urls: change.peer_urls.clone(),
                    is_learner: change.is_learner,
                    ..Member::default()
                };
                self.present.insert(id, member);
            }
            member_change::Kind::Remove => {
                self.present.remove(&id);
                self.removed.insert(id);
            }
            member_change::Kind::Update => {
                if let Some(member) = self.present.get_mut(&id) {
                    member.peer_urls = change.peer_urls.clone();
                }
            }
            member_change::Kind::Promote => {
                if let Some(member) = self.present.get_mut(&id) {
                    member.is_learner = false;
                }
            }
        }
    }

    /// A member made itself known.
    pub fn publish(&mut self, attributes: &MemberAttributes) {
        if let Some(member) = self.present.get_mut(&attributes.member_id) {
            member.name = attributes.name.clone();
            member.client_urls = attributes.client_urls.clone();
            member.directory_id = attributes.directory_id.to_vec();
        }
    }

    /// Reads a member back from storage.
    pub fn restore(&mut self, member: Member) {
        self.present.insert(member.id, member);
    }

    /// Reads a removal back from storage.
    pub fn restore_removed(&mut self, id: u64) {
        self.removed.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: member_change::Kind, id: u64, url: &str, is_learner: bool) -> MemberChange {
        MemberChange {
            kind: kind as i32,
            member_id: id,
            peer_urls: vec![url.to_owned()],
            is_learner,
            max_learners: None,
        }
    }

    fn two() -> Members {
        let member =
            |id: u64| Member { id, peer_urls: vec![format!("http://{id}")], ..Member::default() };
        Members::new(1, [member(1), member(2)])
    }

    #[test]
    fn ids_are_those_of_etcd() {
        // Measured on etcd 3.5.1: a member at this URL with this token.
        let url = ["http://localhost:2380".to_owned()];
        assert_eq!(member_id(&url, "etcd-cluster", None), 0x8e9e_05c5_2164_694d);
        assert_eq!(cluster_id([0x8e9e_05c5_2164_694d]), 0xcdf8_1819_4e3a_8c32);
    }

    #[test]
    fn a_removed_id_never_comes_back() {
        let mut members = two();
        members.apply(&change(member_change::Kind::Remove, 2, "", false));
        let again = change(member_change::Kind::Add, 2, "http://2", false);
        assert_eq!(members.check(&again), Err(ClusterError::NotFound));
    }

    #[test]
    fn who_comes_again_within_a_second_gets_another_id() {
        let mut members = two();
        let urls = ["http://3".to_owned()];
        let first = members.new_id(&urls, "t", 100);
        assert_eq!(first, member_id(&urls, "t", Some(100)));
        members.apply(&change(member_change::Kind::Add, first, "http://3", true));
        assert_eq!(members.new_id(&urls, "t", 100), first, "who is there is refused as in etcd");
        members.apply(&change(member_change::Kind::Remove, first, "", false));
        assert_eq!(members.new_id(&urls, "t", 100), member_id(&urls, "t", Some(101)));
    }

    #[test]
    fn the_last_voter_stays() {
        let mut members = two();
        members.apply(&change(member_change::Kind::Remove, 2, "", false));
        let last = change(member_change::Kind::Remove, 1, "", false);
        assert_eq!(members.check(&last), Err(ClusterError::NotEnoughStarted));
    }

    #[test]
    fn an_update_does_not_promote() {
        let mut members = two();
        members.apply(&change(member_change::Kind::Add, 3, "http://3", true));
        members.apply(&change(member_change::Kind::Update, 3, "http://33", false));
        assert!(members.get(3).is_some_and(|member| member.is_learner));
        let second = change(member_change::Kind::Add, 4, "http://4", true);
        assert_eq!(members.check(&second), Err(ClusterError::TooManyLearners));
    }
}
