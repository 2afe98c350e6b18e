//! What operators ask: whether the cluster may go down a version, a snapshot, hashes.
//!
//! Versions are asked for by how far they are below the server's own, because no two of the
//! servers here are of one version. A hash is each implementation's own number; what is
//! compared is that asking again, and defragmenting between, gives the same one. A snapshot
//! is compared by what etcdutl makes of it.

use std::process::Command;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::downgrade_request::DowngradeAction;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::normal::header;
use crate::side::{Side, told};
use crate::support::client::Refusal;
use crate::support::{eventually, http, tools};

/// A version as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// So many minor versions below the server's own, `x.y.0`.
    Below(u64),
    /// The same without the last number.
    Short(u64),
    Text(&'static str),
}

impl Side {
    /// The minor version that the cluster agreed on.
    fn cluster_minor(&self) -> u64 {
        let mut answer = http::send(self.wire.url(), "GET", "/version", &[], "");
        let text = answer.text();
        let versions: Value = serde_json::from_str(&text).expect("versions");
        let minor = versions["etcdcluster"].as_str().and_then(|text| text.split('.').nth(1));
        minor.and_then(|minor| minor.parse().ok()).unwrap_or_else(|| panic!("no version in {text}"))
    }

    /// A request of the Downgrade method; the cluster's `own` minor version is not told.
    fn ask_downgrade(&mut self, action: i32, target: Target, own: u64) -> String {
        let minor = |below: u64| own.saturating_sub(below);
        let version = match target {
            Target::Below(count) => format!("3.{}.0", minor(count)),
            Target::Short(count) => format!("3.{}", minor(count)),
            Target::Text(text) => text.to_owned(),
        };
        let request = pb::DowngradeRequest { action, version };
        let mut answer: Result<pb::DowngradeResponse, Refusal> =
            self.wire.call("etcdserverpb.Maintenance/Downgrade", request);
        if let Ok(answer) = &mut answer {
            header(&mut answer.header);
            for (version, name) in [(own, "own"), (minor(1), "one below")] {
                answer.version = answer.version.replace(&format!("3.{version}"), name);
            }
        }
        told(answer)
    }

    /// Asks without announcing anything.
    pub fn downgrade(&mut self, action: i32, target: Target) -> String {
        let own = self.cluster_minor();
        self.ask_downgrade(action, target, own)
    }

    /// Announces a downgrade, sees the cluster's version go down, and takes it back.
    pub fn downgrades(&mut self) -> String {
        let [validate, enable, cancel] =
            [DowngradeAction::Validate, DowngradeAction::Enable, DowngradeAction::Cancel]
                .map(|action| action as i32);
        let own = self.cluster_minor();
        let mut lines = vec![
            self.ask_downgrade(enable, Target::Below(2), own),
            self.ask_downgrade(enable, Target::Short(1), own),
        ];
        self.agrees_on(own - 1);
        lines.push(self.told_versions(own));
        for (action, target) in [
            (enable, Target::Below(1)),
            (validate, Target::Below(1)),
            (validate, Target::Below(2)),
            (validate, Target::Text("3")),
        ] {
            lines.push(self.ask_downgrade(action, target, own));
        }
        lines.push(self.ask_downgrade(cancel, Target::Below(7), own));
        self.agrees_on(own);
        lines.push(self.told_versions(own));
        lines.push(self.ask_downgrade(cancel, Target::Below(1), own));
        lines.join("\n")
    }

    fn agrees_on(&self, minor: u64) {
        eventually("a cluster of another version", || {
            let now = self.cluster_minor();
            (now == minor).then_some(()).ok_or(format!("3.{now}"))
        });
    }

    fn told_versions(&mut self, own: u64) -> String {
        let request = pb::StatusRequest::default();
        let status = self.wire.call("etcdserverpb.Maintenance/Status", request);
        told(status.map(|status: pb::StatusResponse| {
            let info = status.downgrade_info.unwrap_or_default();
            let target = info.target_version.replace(&format!("3.{}", own - 1), "one below");
            (info.enabled, target)
        }))
    }

    /// The hash of everything, which stays while nothing is written.
    pub fn hash(&mut self) -> String {
        let hash = |side: &mut Side| -> Result<pb::HashResponse, Refusal> {
            let request = pb::HashRequest::default();
            let mut answer: pb::HashResponse =
                side.wire.call("etcdserverpb.Maintenance/Hash", request)?;
            header(&mut answer.header);
            Ok(answer)
        };
        let (first, second) = (hash(self), hash(self));
        match (first, second) {
            (Ok(first), Ok(second)) => format!("{:?} {}", first.header, first.hash == second.hash),
            (first, second) => format!("{} {}", told(first), told(second)),
        }
    }

    /// The hash of the keys at a revision, before and after a defragmentation.
    pub fn hash_kv(&mut self, revision: i64) -> String {
        let hash = |side: &mut Side| -> Result<pb::HashKvResponse, Refusal> {
            let request = pb::HashKvRequest { revision };
            let mut answer: pb::HashKvResponse =
                side.wire.call("etcdserverpb.Maintenance/HashKV", request)?;
            header(&mut answer.header);
            Ok(answer)
        };
        let first = hash(self);
        // Who may not ask changes nothing, either.
        let defragment = pb::DefragmentRequest::default();
        let _ = self
            .wire
            .call::<_, pb::DefragmentResponse>("etcdserverpb.Maintenance/Defragment", defragment);
        match (first, hash(self)) {
            (Ok(first), Ok(second)) => {
                assert_eq!(first.hash, second.hash, "{}: a hash of its own time", self.wire.url());
                format!("{:?}", (first.header, first.compact_revision))
            }
            (first, _) => told(first.map(|first| (first.header, first.compact_revision))),
        }
    }

    /// A snapshot: whole, with the sum of it behind it, and etcdutl knows it.
    pub fn snapshot(&mut self) -> String {
        let requests = vec![pb::SnapshotRequest::default()];
        let parts: Result<Vec<pb::SnapshotResponse>, Refusal> =
            self.wire.stream("etcdserverpb.Maintenance/Snapshot", requests, |_| false);
        let parts = match parts {
            Ok(parts) => parts,
            Err(refusal) => return told::<()>(Err(refusal)),
        };
        let total: usize = parts.iter().map(|part| part.blob.len()).sum();
        let mut file = Vec::with_capacity(total);
        let mut counted = true;
        for part in &parts {
            file.extend_from_slice(&part.blob);
            // The sum at the end is not counted as what remains.
            let remaining = total.saturating_sub(32).saturating_sub(file.len());
            counted &= part.remaining_bytes == remaining as u64;
        }
        let (body, sum) = file.split_at(total.saturating_sub(32));
        let whole = Sha256::digest(body)[..] == *sum && body.len() % 512 == 0;
        format!("counted {counted}, whole {whole}, {}", status(&file))
    }
}

/// What etcdutl says of a snapshot, as far as two servers agree.
fn status(file: &[u8]) -> String {
    let Ok(etcdutl) = tools::etcdutl() else { return "not looked at".to_owned() };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("snapshot.db");
    std::fs::write(&path, file).expect("a file");
    let output = Command::new(etcdutl)
        .args(["snapshot", "status", "--write-out=json"])
        .arg(&path)
        .output()
        .expect("etcdutl");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match told["revision"].as_i64() {
        Some(revision) => format!("revision {revision}, a sum: {}", told["hash"].is_u64()),
        None => String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
