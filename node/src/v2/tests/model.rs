//! A naive model of the tree: nodes that own their children, every rule as etcd's
//! documentation tells it, nothing shared with the store.

use std::collections::BTreeMap;

use proto::v2::{V2Request, v2_request::Kind};

use crate::v2::{Action, Code};

/// A node with all that is in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// `None` for a directory.
    pub value: Option<String>,
    pub children: BTreeMap<String, Tree>,
    pub created: u64,
    pub modified: u64,
    pub expiration: i64,
}

/// The model.
#[derive(Default)]
pub struct Model {
    pub root: Tree,
    pub index: u64,
}

/// What a request did: the action, the key, whether something was there before.
pub type Done = (Action, String, bool);

fn parts(key: &str) -> Vec<String> {
    key.split('/').skip(1).map(str::to_owned).collect()
}

fn join(parts: &[String]) -> String {
    parts.iter().map(|part| format!("/{part}")).collect()
}

impl Tree {
    fn is_dir(&self) -> bool {
        self.value.is_none()
    }

    /// Walks down; the error is the part of the way where it ends.
    fn find(&self, parts: &[String]) -> Result<&Tree, (Code, String)> {
        let mut at = self;
        for (depth, part) in parts.iter().enumerate() {
            if !at.is_dir() {
                return Err((Code::NotADirectory, join(&parts[..depth])));
            }
            let missing = || (Code::KeyNotFound, join(&parts[..=depth]));
            at = at.children.get(part).ok_or_else(missing)?;
        }
        Ok(at)
    }

    fn find_mut(&mut self, parts: &[String]) -> &mut Tree {
        parts.iter().fold(self, |at, part| at.children.get_mut(part).expect("it was found"))
    }

    /// All nodes that expire, with their keys.
    fn expiring(&self, key: &str, out: &mut Vec<(i64, String)>) {
        for (name, child) in &self.children {
            let key = format!("{key}/{name}");
            if child.expiration != 0 {
                out.push((child.expiration, key.clone()));
            }
            child.expiring(&key, out);
        }
    }
}

impl Model {
    pub fn apply(&mut self, request: &V2Request) -> Result<Vec<Done>, (Code, String)> {
        let key = parts(&request.key);
        match request.kind() {
            Kind::Set => self.set(request, &key),
            Kind::Create => self.create(request, &key),
            Kind::CreateInOrder => {
                let name = format!("{:020}", self.index + 1);
                self.create(request, &[key, vec![name]].concat())
            }
            Kind::Update => {
                let node = self.changeable(&key)?;
                if node.is_dir() && !request.value.is_empty() {
                    return Err((Code::NotAFile, join(&key)));
                }
                self.rewrite(request, &key);
                Ok(vec![(Action::Update, join(&key), true)])
            }
            Kind::CompareAndSwap => {
                self.changeable(&key)?;
                self.compare(request, &key)?;
                self.rewrite(request, &key);
                Ok(vec![(Action::CompareAndSwap, join(&key), true)])
            }
            Kind::Delete => {
                let node = self.changeable(&key)?;
                if node.is_dir() && !request.dir && !request.recursive {
                    return Err((Code::NotAFile, join(&key)));
                }
                if !node.children.is_empty() && !request.recursive {
                    return Err((Code::DirectoryNotEmpty, join(&key)));
                }
                self.remove(&key);
                Ok(vec![(Action::Delete, join(&key), true)])
            }
            Kind::CompareAndDelete => {
                self.compare(request, &key)?;
                self.remove(&key);
                Ok(vec![(Action::CompareAndDelete, join(&key), true)])
            }
            Kind::Expire => Ok(self.expire(request.time)),
        }
    }

    fn changeable(&self, key: &[String]) -> Result<&Tree, (Code, String)> {
        if key.is_empty() {
            return Err((Code::RootReadOnly, "/".into()));
        }
        self.root.find(key)
    }

    fn compare(&self, request: &V2Request, key: &[String]) -> Result<(), (Code, String)> {
        let node = self.root.find(key)?;
        let Some(value) = &node.value else { return Err((Code::NotAFile, join(key))) };
        let same_value = request.prev_value.is_empty() || request.prev_value == *value;
        let same_index = request.prev_index == 0 || request.prev_index == node.modified;
        let value_cause = format!("[{} != {value}]", request.prev_value);
        let index_cause = format!("[{} != {}]", request.prev_index, node.modified);
        match (same_value, same_index) {
            (true, true) => Ok(()),
            (false, true) => Err((Code::CompareFailed, value_cause)),
            (true, false) => Err((Code::CompareFailed, index_cause)),
            (false, false) => Err((Code::CompareFailed, format!("{value_cause} {index_cause}"))),
        }
    }

    fn set(&mut self, request: &V2Request, key: &[String]) -> Result<Vec<Done>, (Code, String)> {
        let old = match self.root.find(key) {
            Ok(node) => Some(node.clone()),
            Err(error) if request.refresh => return Err(error),
            Err(_) => None,
        };
        if let Some(old) = old.as_ref().filter(|_| !key.is_empty()) {
            if old.is_dir() {
                return Err((Code::NotAFile, join(key)));
            }
            let (last, dir) = key.split_last().expect("not the root");
            self.root.find_mut(dir).children.remove(last);
        }
        let mut request = request.clone();
        if request.refresh {
            request.value = old.as_ref().and_then(|old| old.value.clone()).unwrap_or_default();
        }
        let mut done = self.create(&request, key)?;
        done[0].0 = Action::Set;
        done[0].2 = old.is_some();
        Ok(done)
    }

    fn create(&mut self, request: &V2Request, key: &[String]) -> Result<Vec<Done>, (Code, String)> {
        let Some((name, above)) = key.split_last() else {
            return Err((Code::RootReadOnly, "/".into()));
        };
        for depth in 1..=above.len() {
            if self.root.find(&above[..depth]).is_ok_and(|node| !node.is_dir()) {
                return Err((Code::NotADirectory, join(&above[..depth])));
            }
        }
        if self.root.find(key).is_ok() {
            return Err((Code::KeyExists, join(key)));
        }
        self.index += 1;
        let index = self.index;
        let dir = Tree { created: index, modified: index, ..Tree::default() };
        let mut at = &mut self.root;
        for part in above {
            at = at.children.entry(part.clone()).or_insert_with(|| dir.clone());
        }
        let value = (!request.dir).then(|| request.value.clone());
        let node = Tree { value, expiration: request.expiration, ..dir };
        at.children.insert(name.clone(), node);
        Ok(vec![(Action::Create, join(key), false)])
    }

    fn rewrite(&mut self, request: &V2Request, key: &[String]) {
        self.index += 1;
        let index = self.index;
        let node = self.root.find_mut(key);
        node.expiration = request.expiration;
        if let Some(value) = &mut node.value {
            node.modified = index;
            if !request.refresh {
                *value = request.value.clone();
            }
        }
    }

    fn remove(&mut self, key: &[String]) {
        self.index += 1;
        let (last, dir) = key.split_last().expect("not the root");
        self.root.find_mut(dir).children.remove(last);
    }

    fn expire(&mut self, time: i64) -> Vec<Done> {
        let mut done = Vec::new();
        loop {
            let mut all = Vec::new();
            self.root.expiring("", &mut all);
            all.sort();
            match all.first() {
                Some((at, key)) if *at <= time => {
                    self.remove(&parts(key));
                    done.push((Action::Expire, key.clone(), true));
                }
                _ => return done,
            }
        }
    }
}
