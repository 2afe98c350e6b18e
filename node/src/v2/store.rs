//! The tree of v2 keys: every request that changes it, and reading it.
//!
//! Nodes are kept by their full key in one sorted map, so a directory's content is a range of
//! it. An error changes nothing. What the rules of etcd's tree are is said where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use proto::v2::{V2Request, v2_request::Kind};

use super::error::{Code, Error};
use super::event::{Action, Event, View, seconds_left};
use super::history::History;
use super::path;
use super::rows;
use crate::machine::side::SideChange;

/// Nodes that one command lets expire at most; the next one takes the rest.
pub const EXPIRIES_MAX: usize = 1000;

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) created: u64,
    pub(super) modified: u64,
    /// Nanoseconds since 1970; `None` stays.
    pub(super) expiration: Option<i64>,
    /// `None` for a directory.
    pub(super) value: Option<Arc<str>>,
}

impl Node {
    fn is_dir(&self) -> bool {
        self.value.is_none()
    }

    /// The node without what is below it.
    fn view(&self, key: &str, now: i64) -> View {
        View {
            key: key.to_owned(),
            value: self.value.clone(),
            dir: self.is_dir(),
            expiration: self.expiration,
            ttl: self.expiration.map_or(0, |at| seconds_left(at, now)),
            nodes: Vec::new(),
            modified: self.modified,
            created: self.created,
        }
    }

    fn size(&self, key: &str) -> usize {
        size_of::<Self>() + key.len() + self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// What watchers must hear of.
#[derive(Clone, Debug)]
pub struct Notice {
    pub event: Arc<Event>,
    /// Keys that are gone, with what was below them.
    pub removed: Vec<String>,
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub action: Action,
    /// Whether it was allowed.
    pub done: bool,
    pub notices: Vec<Notice>,
}

/// The reply, what happened, and the rows that changed.
pub type Applied = (Result<Option<Arc<Event>>, Error>, Outcome, Vec<SideChange>);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// All but the root, which is always there and never changes.
    nodes: BTreeMap<String, Node>,
    expirations: BTreeSet<(i64, String)>,
    index: u64,
    history: History,
    bytes: usize,
}

impl Store {
    /// The index of the last change.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The last events.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// When the next node expires.
    pub fn next_expiration(&self) -> Option<i64> {
        self.expirations.first().map(|(at, _)| *at)
    }

    /// About the memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.history.bytes()
    }

    fn error(&self, code: Code, cause: &str) -> Error {
        Error::new(code, cause, self.index)
    }

    /// The node at `key`; the root is `None`. The error names the first part of the way that
    /// is missing or no directory.
    fn find(&self, key: &str) -> Result<Option<&Node>, Error> {
        if key.is_empty() {
            return Ok(None);
        }
        for above in path::parents(key) {
            match self.nodes.get(above) {
                Some(node) if node.is_dir() => {}
                Some(_) => return Err(self.error(Code::NotADirectory, above)),
                None => return Err(self.error(Code::KeyNotFound, above)),
            }
        }
        self.nodes.get(key).map(Some).ok_or_else(|| self.error(Code::KeyNotFound, key))
    }

    /// Like [`Store::find`], where the root may not be meant.
    fn find_changeable(&self, key: &str) -> Result<&Node, Error> {
        self.find(key)?.ok_or_else(|| self.error(Code::RootReadOnly, "/"))
    }

    /// What is directly in a directory.
    fn children<'a>(&'a self, dir: &'a str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let prefix = format!("{dir}/");
        let mut from = Bound::Excluded(prefix.clone());
        std::iter::from_fn(move || {
            loop {
                let (key, node) = self.nodes.range((from.clone(), Bound::Unbounded)).next()?;
                let name = key.strip_prefix(prefix.as_str())?;
                match name.split_once('/') {
                    // '0' is the character behind '/': on to behind the child's content.
                    Some((child, _)) => from = Bound::Included(format!("{prefix}{child}0")),
                    None => {
                        from = Bound::Excluded(key.clone());
                        return Some((key.as_str(), node));
                    }
                }
            }
        })
    }

    /// Reads a node, and what is in it if it is a directory.
    pub fn get(&self, key: &str, recursive: bool, now: i64) -> Result<Event, Error> {
        let mut view = match self.find(key)? {
            Some(node) => node.view(key, now),
            None => View { dir: true, ..View::default() },
        };
        if view.dir {
            self.fill(&mut view, recursive, now);
        }
        Ok(Event {
            action: Action::Get,
            node: view,
            prev_node: None,
            index: self.index,
            refresh: false,
        })
    }

    /// Lists a directory; what begins with an underscore is not listed.
    fn fill(&self, dir: &mut View, recursive: bool, now: i64) {
        let skip = dir.key.len() + 1;
        let mut nodes = Vec::new();
        for (key, node) in self.children(&dir.key).filter(|(key, _)| !key[skip..].starts_with('_'))
        {
            let mut view = node.view(key, now);
            if view.dir && recursive {
                self.fill(&mut view, true, now);
            }
            nodes.push(view);
        }
        dir.nodes = nodes;
    }

    /// Applies a command.
    pub fn apply(&mut self, request: &V2Request) -> Applied {
        let mut change = Change { store: self, now: request.time, notices: vec![], rows: vec![] };
        let action = action(request.kind());
        let result = change.make(request);
        let Change { notices, rows, .. } = change;
        let outcome = Outcome { action, done: result.is_ok(), notices };
        (result, outcome, rows)
    }

    /// Reads a node back from storage.
    pub(super) fn restore_node(&mut self, key: String, node: Node) {
        self.put(key, node);
    }

    /// Reads an event back from storage.
    pub(super) fn restore_event(&mut self, event: Event) {
        self.history.restore(Arc::new(event));
    }

    /// Reads the index back from storage.
    pub(super) fn restore_index(&mut self, index: u64) {
        self.index = index;
    }

    /// All nodes but the root.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter()
    }

    fn put(&mut self, key: String, node: Node) {
        self.take(&key);
        self.bytes += node.size(&key);
        if let Some(at) = node.expiration {
            self.expirations.insert((at, key.clone()));
        }
        self.nodes.insert(key, node);
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        let node = self.nodes.remove(key)?;
        self.bytes -= node.size(key);
        if let Some(at) = node.expiration {
            self.expirations.remove(&(at, key.to_owned()));
        }
        Some(node)
    }
}

fn action(kind: Kind) -> Action {
    match kind {
        Kind::Set => Action::Set,
        Kind::Create | Kind::CreateInOrder => Action::Create,
        Kind::Update => Action::Update,
        Kind::CompareAndSwap => Action::CompareAndSwap,
        Kind::Delete => Action::Delete,
        Kind::CompareAndDelete => Action::CompareAndDelete,
        Kind::Expire => Action::Expire,
    }
}

/// A command that is being applied.
struct Change<'a> {
    store: &'a mut Store,
    now: i64,
    notices: Vec<Notice>,
    rows: Vec<SideChange>,
}

impl Change<'_> {
    fn make(&mut self, request: &V2Request) -> Result<Option<Arc<Event>>, Error> {
        let event = match request.kind() {
            Kind::Set => self.set(request),
            Kind::Create => self.create(request, &request.key, Action::Create),
            Kind::CreateInOrder => {
                let key = format!("{}/{:020}", request.key, self.store.index + 1);
                self.create(request, &key, Action::Create)
            }
            Kind::Update => self.update(request),
            Kind::CompareAndSwap => self.compare_and_swap(request),
            Kind::Delete => self.delete(request),
            Kind::CompareAndDelete => self.compare_and_delete(request),
            Kind::Expire => {
                self.expire(request.time);
                return Ok(None);
            }
        };
        event.map(Some)
    }

    /// Makes a node, and the directories above it that are missing. Only [`Action::Set`]
    /// replaces a file, and nothing replaces a directory.
    fn create(
        &mut self,
        request: &V2Request,
        key: &str,
        action: Action,
    ) -> Result<Arc<Event>, Error> {
        let store = &*self.store;
        if key.is_empty() {
            return Err(store.error(Code::RootReadOnly, "/"));
        }
        let mut missing = Vec::new();
        for above in path::parents(key) {
            match store.nodes.get(above) {
                Some(node) if node.is_dir() => {}
                Some(_) => return Err(store.error(Code::NotADirectory, above)),
                None => missing.push(above.to_owned()),
            }
        }
        let replaced = match store.nodes.get(key) {
            Some(_) if action != Action::Set => return Err(store.error(Code::KeyExists, key)),
            Some(node) if node.is_dir() => return Err(store.error(Code::NotAFile, key)),
            Some(node) => Some(node.view(key, self.now)),
            None => None,
        };
        let value = match (&replaced, request.refresh) {
            (Some(View { value: Some(old), .. }), true) => old.clone(),
            _ => Arc::from(request.value.as_str()),
        };
        let index = store.index + 1;
        for above in missing {
            let dir = Node { created: index, modified: index, expiration: None, value: None };
            self.put(above, dir);
        }
        let node = Node {
            created: index,
            modified: index,
            expiration: expiration(request),
            value: (!request.dir).then_some(value),
        };
        let view = node.view(key, self.now);
        self.put(key.to_owned(), node);
        Ok(self.tell(action, view, replaced, request.refresh, Vec::new()))
    }

    fn set(&mut self, request: &V2Request) -> Result<Arc<Event>, Error> {
        if request.refresh {
            self.store.find(&request.key)?;
        }
        self.create(request, &request.key, Action::Set)
    }

    /// A file gets a new value and time to live, a directory only the latter: its indexes
    /// stay.
    fn update(&mut self, request: &V2Request) -> Result<Arc<Event>, Error> {
        let key = &request.key;
        let node = self.store.find_changeable(key)?.clone();
        if node.is_dir() && !request.value.is_empty() {
            return Err(self.store.error(Code::NotAFile, key));
        }
        Ok(self.rewrite(request, node, Action::Update))
    }

    fn compare_and_swap(&mut self, request: &V2Request) -> Result<Arc<Event>, Error> {
        if request.key.is_empty() {
            return Err(self.store.error(Code::RootReadOnly, "/"));
        }
        let node = self.compared(request)?.clone();
        Ok(self.rewrite(request, node, Action::CompareAndSwap))
    }

    fn rewrite(&mut self, request: &V2Request, mut node: Node, action: Action) -> Arc<Event> {
        let key = &request.key;
        let prev = node.view(key, self.now);
        node.expiration = expiration(request);
        let index = self.store.index + 1;
        if let Some(value) = &mut node.value {
            if !request.refresh {
                *value = Arc::from(request.value.as_str());
            }
            node.modified = index;
        }
        let view = View { modified: index, ..node.view(key, self.now) };
        self.put(key.clone(), node);
        self.tell(action, view, Some(prev), request.refresh, Vec::new())
    }

    /// The file at the request's key, if it is as the request expects.
    fn compared(&self, request: &V2Request) -> Result<&Node, Error> {
        let store = &*self.store;
        let key = &request.key;
        let file = store.find(key)?.and_then(|node| Some((node, node.value.as_ref()?)));
        let Some((node, value)) = file else { return Err(store.error(Code::NotAFile, key)) };
        let mut causes = Vec::new();
        if !request.prev_value.is_empty() && **value != *request.prev_value {
            causes.push(format!("[{} != {value}]", request.prev_value));
        }
        if request.prev_index != 0 && node.modified != request.prev_index {
            causes.push(format!("[{} != {}]", request.prev_index, node.modified));
        }
        if causes.is_empty() {
            return Ok(node);
        }
        Err(store.error(Code::CompareFailed, &causes.join(" ")))
    }

    fn delete(&mut self, request: &V2Request) -> Result<Arc<Event>, Error> {
        let key = &request.key;
        let store = &*self.store;
        let node = store.find_changeable(key)?;
        if node.is_dir() {
            if !request.dir && !request.recursive {
                return Err(store.error(Code::NotAFile, key));
            }
            if !request.recursive && store.children(key).next().is_some() {
                return Err(store.error(Code::DirectoryNotEmpty, key));
            }
        }
        Ok(self.remove(key, Action::Delete))
    }

    fn compare_and_delete(&mut self, request: &V2Request) -> Result<Arc<Event>, Error> {
        self.compared(request)?;
        Ok(self.remove(&request.key, Action::CompareAndDelete))
    }

    /// Removes what has expired by `time`, first what expired first. Each node is a change
    /// of its own; what is in a directory goes with it.
    fn expire(&mut self, time: i64) {
        for _ in 0..EXPIRIES_MAX {
            let Some((at, key)) = self.store.expirations.first().cloned() else { return };
            if at > time {
                return;
            }
            self.remove(&key, Action::Expire);
        }
    }

    /// Removes a node that is there, with all that is below it.
    fn remove(&mut self, key: &str, action: Action) -> Arc<Event> {
        let below = (Bound::Excluded(format!("{key}/")), Bound::Excluded(format!("{key}0")));
        let mut removed: Vec<String> =
            self.store.nodes.range(below).map(|(key, _)| key.clone()).collect();
        removed.push(key.to_owned());
        let prev = self.store.nodes.get(key).map(|node| node.view(key, self.now));
        let view = View {
            key: key.to_owned(),
            dir: prev.as_ref().is_some_and(|prev| prev.dir),
            created: prev.as_ref().map_or(0, |prev| prev.created),
            modified: self.store.index + 1,
            ..View::default()
        };
        for key in &removed {
            self.store.take(key);
            self.rows.push(rows::no_node(key));
        }
        self.tell(action, view, prev, false, removed)
    }

    fn put(&mut self, key: String, node: Node) {
        self.rows.push(rows::node(&key, &node));
        self.store.put(key, node);
    }

    /// Ends a change: the index moves, and the event goes to history and watchers.
    fn tell(
        &mut self,
        action: Action,
        node: View,
        prev_node: Option<View>,
        refresh: bool,
        removed: Vec<String>,
    ) -> Arc<Event> {
        self.store.index += 1;
        let index = self.store.index;
        let event = Arc::new(Event { action, node, prev_node, index, refresh });
        self.rows.push(rows::event(&event));
        self.rows.push(rows::index(index));
        let gone = self.store.history.push(event.clone());
        self.rows.extend(gone.into_iter().map(rows::no_event));
        self.notices.push(Notice { event: event.clone(), removed });
        event
    }
}

fn expiration(request: &V2Request) -> Option<i64> {
    Some(request.expiration).filter(|at| *at != 0)
}
