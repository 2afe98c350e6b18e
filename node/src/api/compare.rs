//! Questions to all other members at once: their hashes and versions.
//!
//! A member that does not answer is left out (hashes) or unknown (versions); nothing is
//! asked twice. Whoever asks decides what an incomplete answer is worth.

use std::time::{Duration, Instant};

use proto::peer::{HashKvAnswer, HashKvAsk, MembersRequest};
use tonic::Status;

use super::Service;
use super::hash::{HashError, Hashed, hash_kv};
use super::status::to_status;
use crate::cluster::version::Version;
use crate::consensus::handle::ConsensusError;
use crate::upkeep::judge::Answer;

/// A follower that is about to apply the revision is given this long.
const CATCH_UP: Duration = Duration::from_secs(1);

impl Service {
    /// This member's hash of the key space at `revision` (0: now).
    pub async fn hash_here(&self, revision: i64) -> Result<Hashed, Status> {
        let member = self.member.clone();
        let begin = Instant::now();
        let hashed = tokio::task::spawn_blocking(move || hash_kv(&member, revision)).await;
        self.member.metrics.hash_rev.observe(begin.elapsed());
        match hashed.map_err(|_| to_status(ConsensusError::Stopped))? {
            Ok(hashed) => Ok(hashed),
            Err(HashError::Revision(error)) => Err(to_status(error)),
            Err(HashError::Store(error)) => Err(Status::data_loss(error.to_string())),
        }
    }

    fn others(&self) -> Vec<u64> {
        let own = self.member.id();
        let state = self.member.state.read();
        state.members.iter().map(|member| member.id).filter(|id| *id != own).collect()
    }

    /// The other members' hashes at `revision`, of those that have it and answer in time.
    pub async fn hashes_of_others(&self, revision: i64) -> Vec<Answer> {
        let ask = |id: u64| async move {
            let asking = async {
                let mut client = self.peer(id).await?;
                let cluster_id = self.member.identity.cluster_id;
                client.hash_kv(HashKvAsk { cluster_id, revision }).await
            };
            let answer = match tokio::time::timeout(self.handle.timeout(), asking).await {
                Ok(Ok(answer)) => answer.into_inner(),
                Ok(Err(status)) => return self.silent(id, status.message()),
                Err(_) => return self.silent(id, "it does not answer"),
            };
            if answer.none {
                return self.silent(id, "it does not have that revision");
            }
            Some(Answer {
                member: id,
                hash: answer.hash,
                compact_revision: answer.compact_revision,
                current_revision: answer.current_revision,
            })
        };
        let answers = futures::future::join_all(self.others().into_iter().map(ask)).await;
        answers.into_iter().flatten().collect()
    }

    fn silent(&self, id: u64, why: &str) -> Option<Answer> {
        self.forget_peer(id);
        tracing::warn!(peer = %format!("{id:x}"), why, "cannot fetch hash from remote peer");
        None
    }

    /// Answers another member's question for a hash.
    pub async fn answer_hash(&self, ask: HashKvAsk) -> Result<HashKvAnswer, Status> {
        if ask.cluster_id != self.member.identity.cluster_id {
            return Err(Status::failed_precondition("etcdserver: cluster ID mismatch"));
        }
        let mut applied = self.handle.watch_applied();
        let caught_up = async {
            while self.member.state.read().kv.revision() < ask.revision {
                if applied.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
        match self.hash_here(ask.revision).await {
            Ok(hashed) => Ok(HashKvAnswer {
                hash: hashed.hash,
                compact_revision: hashed.compact_revision,
                current_revision: hashed.current_revision,
                none: false,
            }),
            Err(status) if status.code() == tonic::Code::OutOfRange => {
                Ok(HashKvAnswer { none: true, ..HashKvAnswer::default() })
            }
            Err(status) => Err(status),
        }
    }

    /// The versions of the other members; `None` for one that does not say.
    pub async fn versions_of_others(&self) -> Vec<Option<Version>> {
        let ask = |id: u64| async move {
            let asking = async {
                let mut client = self.peer(id).await?;
                Ok::<_, Status>(client.members(MembersRequest {}).await?.into_inner().version)
            };
            match tokio::time::timeout(self.handle.timeout(), asking).await {
                Ok(Ok(version)) => Version::parse(&version),
                _ => {
                    self.forget_peer(id);
                    None
                }
            }
        };
        futures::future::join_all(self.others().into_iter().map(ask)).await
    }
}
