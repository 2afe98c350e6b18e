//! Scenes for tests: a model brought to a state by the messages that would bring it there.

use crate::effect::Effect;
use crate::fleet::{FleetNode, FleetState, FleetUpdate};
use crate::key::{Code, Key};
use crate::lab::course;
use crate::lab::lanes::Sample;
use crate::lab::timeline::Cell;
use crate::model::learn::Learn;
use crate::model::time::Now;
use crate::model::{About, Model, Screen};
use crate::msg::{
    Child, Failure, FailureKind, KeyMeta, MemberFacts, Msg, Reply, Report, RequestId, StatusFacts,
};
use crate::update;

/// 2026-01-02 03:04:05 UTC.
pub const START: Now = Now { mono_ms: 1_000, unix_ms: 1_767_323_045_000 };

/// A model under test, its clock, and every effect it asked for.
pub struct Scene {
    pub model: Model,
    pub now: Now,
    pub effects: Vec<Effect>,
    /// The lanes' clock.
    pub lanes_ms: u64,
}

pub fn id(node: usize) -> u64 {
    0x1000 + node as u64
}

pub fn url(node: usize) -> String {
    format!("http://127.0.0.1:{}", 23_780 + node * 10)
}

pub fn timeout() -> Failure {
    Failure::new(FailureKind::Timeout, "no answer within 0.9 s")
}

pub fn refused() -> Failure {
    Failure::new(FailureKind::Refused, "connection refused")
}

pub fn status(node: usize, leader: usize, term: u64) -> StatusFacts {
    StatusFacts {
        cluster_id: 7,
        member_id: id(node),
        revision: 1_200,
        term,
        version: "3.6.0".into(),
        leader: if leader == 0 { 0 } else { id(leader) },
        commit_index: 1_234,
        applied_index: 1_234 - node as u64,
        db_size: 26_345_472,
        db_in_use: 1_048_576,
        learner: false,
        errors: Vec::new(),
    }
}

pub fn key(name: &str, revision: i64) -> KeyMeta {
    KeyMeta {
        key: name.as_bytes().to_vec(),
        create_revision: revision,
        mod_revision: revision,
        version: 1,
        lease: 0,
    }
}

impl Scene {
    /// A session just begun.
    pub fn new(local: bool, read_only: bool) -> Self {
        let about = About {
            title: "default".into(),
            local,
            read_only,
            seeds: if local { Vec::new() } else { vec![url(1)] },
            ..About::default()
        };
        let mut scene = Self {
            model: Model::new(about, (120, 36)),
            now: START,
            effects: Vec::new(),
            lanes_ms: 0,
        };
        scene.effects = update::start(&mut scene.model, scene.now);
        scene
    }

    /// A local cluster of `nodes`, all up, n1 leading.
    pub fn local(nodes: usize) -> Self {
        let mut scene = Self::new(true, false);
        scene.fleet(&vec![FleetState::Running; nodes]);
        scene.settle(nodes);
        scene
    }

    /// The course on a local cluster of three, its lanes served for three seconds.
    pub fn course() -> Self {
        let mut scene = Self::new(true, false);
        scene.model.learn = Some(Learn::new(course::builtin(), Vec::new()));
        scene.model.screen = Screen::Learn;
        scene.fleet(&[FleetState::Running; 3]);
        scene.settle(3);
        scene.served(30, [true; 3]);
        scene
    }

    /// Tenths of a second pass; the lanes are answered or not.
    pub fn served(&mut self, tenths: u64, lanes: [bool; 3]) -> &mut Self {
        for _ in 0..tenths {
            self.lanes_ms += 100;
            self.now = self.now.plus_ms(100);
            let sample = |(lane, ok): (usize, &bool)| Sample {
                lane,
                made_ms: self.lanes_ms - 10,
                took_ms: 10,
                seen: if *ok { Cell::Ok } else { Cell::Unknown },
            };
            let samples = lanes.iter().enumerate().map(sample).collect();
            self.send(Msg::Lanes { now_ms: self.lanes_ms, samples });
        }
        self
    }

    /// A remote cluster of `nodes`, all up, n1 leading.
    pub fn remote(nodes: usize, read_only: bool) -> Self {
        let mut scene = Self::new(false, read_only);
        scene.up(1, 1, 3);
        scene.members(nodes);
        scene.settle(nodes);
        scene
    }

    fn settle(&mut self, nodes: usize) {
        for node in 1..=nodes {
            self.up(node, 1, 3);
        }
        self.members(nodes);
        self.round();
    }

    pub fn send(&mut self, msg: Msg) -> &mut Self {
        self.effects = update::update(&mut self.model, msg, self.now);
        self
    }

    pub fn fleet(&mut self, states: &[FleetState]) -> &mut Self {
        let node = |(index, state): (usize, &FleetState)| FleetNode {
            name: format!("n{}", index + 1),
            state: *state,
            pid: state.has_process().then_some(4_000 + index as u32),
            uptime_s: 188,
            client_url: url(index + 1),
            why: if *state == FleetState::Exited {
                "killed (SIGKILL)".into()
            } else {
                String::new()
            },
            ..FleetNode::default()
        };
        let view = states.iter().enumerate().map(node).collect();
        self.send(Msg::Fleet(FleetUpdate::View(view)))
    }

    pub fn up(&mut self, node: usize, leader: usize, term: u64) -> &mut Self {
        self.report(node, Ok(status(node, leader, term)))
    }

    pub fn report(&mut self, node: usize, outcome: Result<StatusFacts, Failure>) -> &mut Self {
        let endpoint = url(node);
        self.send(Msg::Cluster(Report::Status { endpoint, rtt_us: 430, outcome }))
    }

    pub fn members(&mut self, nodes: usize) -> &mut Self {
        let members = (1..=nodes).map(|node| MemberFacts {
            id: id(node),
            name: format!("n{node}"),
            client_urls: vec![url(node)],
            ..MemberFacts::default()
        });
        self.send(Msg::Cluster(Report::Members { from: id(1), members: members.collect() }))
    }

    /// A second passes and a polling round ends.
    pub fn round(&mut self) -> &mut Self {
        self.now = self.now.plus_ms(1_000);
        self.send(Msg::Cluster(Report::Probe { linearizable: true, outcome: Ok(820) }));
        self.send(Msg::Cluster(Report::Probe { linearizable: false, outcome: Ok(310) }));
        self.send(Msg::Cluster(Report::Round))
    }

    /// Presses keys, by name or as single characters.
    pub fn press(&mut self, keys: &[&str]) -> &mut Self {
        for name in keys {
            let key = Key::parse(name).unwrap_or_else(|| panic!("no key {name}"));
            self.send(Msg::Key(key));
        }
        self
    }

    pub fn write(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            self.send(Msg::Key(Key::plain(Code::Char(c))));
        }
        self
    }

    /// Answers the request that the last effects contain and `pick` finds.
    pub fn answer(
        &mut self,
        pick: impl Fn(&Effect) -> Option<RequestId>,
        outcome: Result<Reply, Failure>,
    ) -> &mut Self {
        let id = self.effects.iter().find_map(pick).expect("a request to answer");
        self.send(Msg::Reply(id, outcome))
    }

    /// The key screen with a small tree loaded at revision 1200.
    pub fn keys(&mut self) -> &mut Self {
        self.press(&["2"]);
        let children = vec![
            Child::Directory(b"/app/".to_vec()),
            Child::Directory(b"/registry/".to_vec()),
            Child::Key(key("/version", 1_100)),
        ];
        self.answer(
            list,
            Ok(Reply::Listing {
                children: vec![Child::Directory(b"/".to_vec())],
                next: None,
                revision: 1_200,
            }),
        );
        self.answer(list, Ok(Reply::Listing { children, next: None, revision: 1_200 }))
    }
}

pub fn list(effect: &Effect) -> Option<RequestId> {
    match effect {
        Effect::List(id, _) => Some(*id),
        _ => None,
    }
}

pub fn get(effect: &Effect) -> Option<RequestId> {
    match effect {
        Effect::Get { id, .. } => Some(*id),
        _ => None,
    }
}

pub fn write(effect: &Effect) -> Option<RequestId> {
    match effect {
        Effect::Write(id, _) => Some(*id),
        _ => None,
    }
}

pub fn count(effect: &Effect) -> Option<RequestId> {
    match effect {
        Effect::Count { id, .. } => Some(*id),
        _ => None,
    }
}
