//! Random requests about users and rights, and by users.
//!
//! What etcd let through that it should not have (holes closed in releases after the ones that
//! are compared with) would leave other data behind, so it is not asked: see [`harmless`].

use proto::authpb::permission::Type;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::request_op::Request;
use rand::Rng as _;

use crate::ask::Ask;
use crate::generate::Generator;
use crate::users::{Users, Who, right, user};

const USERS: &[&str] = &["root", "alice", "bob", "carol"];
const ROLES: &[&str] = &["root", "r1", "r2", "r3"];
const PASSWORDS: &[&str] = &["pw", "other"];
const NONSENSE: &[&str] = &["nonsense", "x.1", ".", "nonsense.notanumber", "Bearer nonsense"];

impl Generator {
    /// The next request of a run with users.
    pub fn next_with_users(&mut self) -> Ask {
        if self.planned.is_empty() && (self.one_in(60) || std::mem::take(&mut self.fresh)) {
            self.plan_rights();
        }
        if let Some(ask) = self.planned.pop_front() {
            return ask;
        }
        let who = match self.random.random_range(0..12) {
            0 => Who::Nobody,
            1 => Who::Nonsense(self.pick(NONSENSE)),
            2..5 => Who::User("root"),
            5..8 => Who::User("alice"),
            _ => Who::User(self.pick(USERS)),
        };
        let is_root = who == Who::User("root");
        let ask = match self.random.random_range(0..100) {
            0..35 => Ask::Users(self.about_users(is_root)),
            35..55 => Ask::Range(self.range()),
            55..65 => Ask::Put(self.put()),
            65..72 => Ask::Delete(self.delete()),
            72..86 => Ask::Txn(self.txn(if is_root { 0 } else { 9 })),
            86..92 => self.watch_for_users(),
            _ => self.others_with_rights(is_root),
        };
        if let Ask::Users(Users::Grant(..) | Users::Revoke(..) | Users::DeleteRole(_)) = &ask {
            // Here, other than in etcd, a change of somebody's roles ends his tokens.
            self.plan_log_ins();
        }
        Ask::As(who, Box::new(harmless(ask, is_root)))
    }

    /// Everybody logs in again, whatever his password is.
    fn plan_log_ins(&mut self) {
        for name in USERS {
            for password in PASSWORDS {
                let log_in = Ask::Users(Users::LogIn(name, password));
                self.planned.push_back(Ask::As(Who::Nobody, Box::new(log_in)));
            }
        }
    }

    /// Users, roles and rights as they should be, and everybody logged in.
    fn plan_rights(&mut self) {
        let root = |users| Ask::As(Who::User("root"), Box::new(Ask::Users(users)));
        let mut plan: Vec<Ask> = Vec::new();
        for name in USERS {
            plan.push(root(user(name, Some("pw"))));
        }
        plan.extend(ROLES.iter().map(|role| root(Users::AddRole(role))));
        plan.push(root(Users::Grant("root", "root")));
        plan.push(root(Users::Grant("alice", "r1")));
        plan.push(root(Users::Grant("bob", "r2")));
        plan.push(Ask::As(Who::Nobody, Box::new(Ask::Users(Users::Enable))));
        self.planned.extend(plan);
        self.plan_log_ins();
        for _ in 0..4 {
            let granted = root(self.grant_permission());
            self.planned.push_back(granted);
        }
    }

    fn grant_permission(&mut self) -> Users {
        let role = self.pick(ROLES);
        let kind = self.pick(&[Type::Read, Type::Write, Type::Readwrite]);
        let (key, end) = (self.key(), self.end());
        // etcd does not find a right that it is to replace behind another one of the same key.
        let end = self.ends.entry((role, key.clone())).or_insert(end).clone();
        // An empty range, and an empty key, etcd 3.5.1 takes for a right.
        let wrong = key.is_empty() || !end.is_empty() && end[..] != [0] && end <= key;
        if wrong && !self.reference.refuses_empty_rights {
            return Users::Roles;
        }
        if self.one_in(30) {
            return Users::GrantPermission(role, None);
        }
        Users::GrantPermission(role, Some(right(kind, key, end)))
    }

    fn about_users(&mut self, is_root: bool) -> Users {
        let name = self.pick(USERS);
        let role = self.pick(ROLES);
        match self.random.random_range(0..40) {
            0 => Users::Enable,
            1 if self.reference.asks_for_rights && self.one_in(4) => Users::Disable,
            1 | 2 => Users::Status,
            3..11 => {
                let name = if self.one_in(20) { self.pick(&["nobody", ""]) } else { name };
                let password = if self.one_in(4) { self.pick(PASSWORDS) } else { "pw" };
                Users::LogIn(name, password)
            }
            11 => user(self.pick(&["carol", "bob", ""]), Some("pw")),
            12 => user(self.pick(&["carol", "dave"]), None),
            13 | 14 => Users::Get(name),
            15 => Users::List,
            16 => Users::Delete(self.pick(&["carol", "dave", "nobody"])),
            17 if is_root && self.one_in(3) => Users::Delete("root"),
            17 => Users::Get("nobody"),
            18 | 19 => {
                let name = self.pick(&["carol", "bob", "nobody"]);
                Users::ChangePassword(name, self.pick(PASSWORDS))
            }
            20 | 21 => Users::Grant(name, role),
            22 => Users::Grant(self.pick(&["nobody", "bob"]), self.pick(&["nosuch", "r3"])),
            23 | 24 => Users::Revoke(name, role),
            25 => Users::AddRole(self.pick(&["r3", "r2", ""])),
            // Before etcd 3.6 that one had only what it was given.
            26 if self.reference.asks_for_rights => Users::GetRole("root"),
            26..28 => Users::GetRole(self.pick(&["r1", "r2", "r3", "nosuch"])),
            28 => Users::Roles,
            29 => Users::DeleteRole(self.pick(&["r3", "nosuch", "root"])),
            30..32 => Users::RevokePermission(role, self.key(), self.end()),
            _ => self.grant_permission(),
        }
    }

    fn watch_for_users(&mut self) -> Ask {
        let mut request = self.new_watch();
        request.watch_id = 0;
        request.filters.retain(|filter| *filter >= 0);
        Ask::WatchOnce(request)
    }

    fn others_with_rights(&mut self, is_root: bool) -> Ask {
        let all = is_root || self.reference.asks_for_rights;
        match self.random.random_range(0..8) {
            0 if self.reference.has_hashkv_path => Ask::HashKv(0),
            1 if all => Ask::Defragment,
            2 if all => Ask::MoveLeader(7),
            3 => Ask::MemberRemove(7),
            4 if is_root => Ask::MemberList,
            5 if is_root => Ask::Alarms,
            6 if is_root => Ask::Compact(self.compact()),
            _ if all => self.lease(),
            _ => Ask::Users(Users::Get("alice")),
        }
    }
}

/// A request without what the releases that are compared with let through for others than root.
fn harmless(mut ask: Ask, is_root: bool) -> Ask {
    if is_root {
        return ask;
    }
    match &mut ask {
        Ask::Txn(txn) => {
            for op in txn.success.iter_mut().chain(&mut txn.failure) {
                without_hole(op);
            }
            for compare in &mut txn.compare {
                forwards(&compare.key, &mut compare.range_end);
            }
        }
        Ask::Range(range) => forwards(&range.key, &mut range.range_end),
        Ask::Delete(delete) => forwards(&delete.key, &mut delete.range_end),
        // Leases ask for no rights there.
        Ask::Grant(_)
        | Ask::GrantAndRevoke(_)
        | Ask::Revoke(_)
        | Ask::Leases
        | Ask::KeepAlive(_) => return Ask::Status,
        // Looked at as a range that ends before everything.
        Ask::WatchOnce(request) if request.range_end == b"\0"[..] => request.range_end.clear(),
        _ => {}
    }
    ask
}

/// A range that ends before it begins holds nothing, and etcd lets everybody ask for it.
fn forwards(key: &[u8], range_end: &mut bytes::Bytes) {
    if range_end[..] != [0] && range_end[..] <= *key {
        range_end.clear();
    }
}

fn without_hole(op: &mut pb::RequestOp) {
    match &mut op.request {
        // The previous value and the lease of a put were nobody's business.
        Some(Request::RequestPut(put)) => (put.prev_kv, put.lease) = (false, 0),
        Some(Request::RequestRange(range)) => forwards(&range.key, &mut range.range_end),
        Some(Request::RequestDeleteRange(delete)) => forwards(&delete.key, &mut delete.range_end),
        Some(Request::RequestTxn(_)) => op.request = None,
        None => {}
    }
}
