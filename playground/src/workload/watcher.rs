//! A watch at one member, opened again where it broke off.

use std::sync::Arc;
use std::time::Duration;

use history::record::{Event, Watch, WatchEvent, WatchMessage};
use proto::etcdserverpb as pb;
use proto::mvccpb::event::EventType;
use tonic::{Status, Streaming};

use super::calls::{self, pair};
use super::generate::Generator;
use super::timeline::{Lane, Sample, Seen};
use super::{Recorder, Target};

/// How long watches are given to tell the rest.
const CATCH_UP: Duration = Duration::from_secs(20);

/// Watches everything of the load at one member.
pub struct Watcher {
    pub client: u32,
    pub target: Target,
    pub prefix: String,
    /// The first revision that is wanted.
    pub from: i64,
    pub recorder: Arc<Recorder>,
    /// Which lane it is.
    pub member: usize,
}

impl Watcher {
    /// Watches until it is aborted.
    pub async fn run(mut self) {
        loop {
            if let Err(status) = self.watch().await {
                tracing::debug!(member = self.target.name, %status, "a watch broke off");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// One watch, to its end.
    async fn watch(&mut self) -> Result<(), Status> {
        let range = Generator::everything(&self.prefix);
        let stream = calls::watch(self.target.channel.clone(), &range, self.from, true).await?;
        let slot = {
            let mut watches = self.recorder.watches.lock();
            watches.push(Watch {
                client: self.client,
                member: self.target.name.clone(),
                range,
                start_revision: self.from,
                no_put: false,
                no_delete: false,
                previous: true,
                created: None,
                messages: Vec::new(),
                complete_to: 0,
            });
            watches.len() - 1
        };
        self.listen(stream, slot).await
    }

    async fn listen(
        &mut self,
        mut stream: Streaming<pb::WatchResponse>,
        slot: usize,
    ) -> Result<(), Status> {
        while let Some(response) = stream.message().await? {
            let received = self.recorder.now();
            let revision = response.header.map_or(0, |header| header.revision);
            if response.canceled {
                return Err(Status::cancelled(response.cancel_reason));
            }
            let mut watches = self.recorder.watches.lock();
            let watch = &mut watches[slot];
            if response.created {
                watch.created = Some(revision);
                continue;
            }
            let events: Vec<WatchEvent> = response.events.into_iter().filter_map(told).collect();
            let last = events.iter().map(|told| told.event.revision()).max();
            let fragment = response.fragment;
            watch.messages.push(WatchMessage { received, revision, fragment, events });
            drop(watches);
            let Some(last) = last else { continue };
            if !fragment {
                self.from = self.from.max(last + 1);
            }
            let sample = Sample { made: received, took: 0, seen: Seen::Ok };
            self.recorder.timeline.lock().add(Lane::Watch(self.member), sample);
        }
        Ok(())
    }
}

/// An event as the history has it.
pub fn told(event: proto::mvccpb::Event) -> Option<WatchEvent> {
    let is_put = event.r#type() == EventType::Put;
    let kv = event.kv?;
    let previous = event.prev_kv.map(pair);
    let event = match is_put {
        true => Event::Put(pair(kv)),
        false => {
            let pair = pair(kv);
            Event::Delete { key: pair.key, revision: pair.mod_revision }
        }
    };
    Some(WatchEvent { event, previous })
}

/// Waits until the last watch of each member has told everything up to `end`, and notes it.
pub async fn catch_up(recorder: &Recorder, targets: &[Target], end: i64) {
    let deadline = tokio::time::Instant::now() + CATCH_UP;
    let last = |watch: &Watch| {
        let events = watch.messages.iter().flat_map(|message| &message.events);
        events.map(|told| told.event.revision()).max().unwrap_or(0)
    };
    loop {
        let behind = {
            let watches = recorder.watches.lock();
            targets.iter().any(|target| {
                let mut of_member = watches.iter().filter(|watch| watch.member == target.name);
                !of_member.any(|watch| last(watch) >= end)
            })
        };
        if !behind || tokio::time::Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whoever is behind now has lost something.
    let mut watches = recorder.watches.lock();
    for target in targets {
        let newest = watches.iter_mut().rfind(|watch| watch.member == target.name);
        if let Some(watch) = newest {
            watch.complete_to = end;
        }
    }
}
