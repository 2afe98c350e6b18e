//! Rules one by one, and roles and requests drawn at random, judged by the walk and key by key.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use proto::authpb::Permission;
use proto::authpb::permission::Type;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

use super::*;
use crate::lease::Leases;

fn permission(kind: Type, key: &[u8], range_end: &[u8]) -> Permission {
    let (key, range_end) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(range_end));
    Permission { perm_type: kind as i32, key, range_end }
}

/// root with its role, alice with the role `r`, checks turned on.
fn on(permissions: &[Permission]) -> Auth {
    let mut auth = Auth::default();
    for name in [ROOT, "alice"] {
        auth.add_user(name, User::default()).unwrap();
    }
    auth.add_role("r").unwrap();
    for permission in permissions {
        auth.grant_permission("r", Some(permission)).unwrap();
    }
    auth.grant_role(ROOT, ROOT).unwrap();
    auth.grant_role("alice", "r").unwrap();
    auth.enable().unwrap();
    auth
}

fn caller(auth: &Auth, name: &str) -> Caller {
    Caller { name: name.into(), revision: auth.revision() }
}

fn may(auth: &Auth, name: &str, key: &[u8], range_end: &[u8], access: Access) -> bool {
    let span = Span::of(&crate::kv::KeyRange::copied(key, range_end));
    auth.may(&caller(auth, name), span.as_ref(), access).is_ok()
}

#[test]
fn enabling_needs_somebody_who_can_disable() {
    let mut auth = Auth::default();
    assert_eq!(auth.enable(), Err(AuthError::RootUserMissing));
    auth.add_user(ROOT, User::default()).unwrap();
    assert_eq!(auth.enable(), Err(AuthError::RootRoleMissing));
    assert_eq!(auth.grant_role(ROOT, ROOT), Ok(true), "the role needs not exist");
    let revision = auth.revision();
    assert_eq!(auth.enable(), Ok(()));
    assert_eq!(auth.revision(), revision, "enabling is no change of users");
    assert_eq!(auth.delete_user(ROOT), Err(AuthError::InvalidManagement));
    assert_eq!(auth.revoke_role(ROOT, ROOT), Err(AuthError::InvalidManagement));
    assert_eq!(auth.delete_role(ROOT), Err(AuthError::InvalidManagement));
    assert!(auth.disable() && !auth.disable());
    assert_eq!(auth.revision(), revision + 1);
    assert_eq!(auth.delete_user(ROOT), Ok(()));
}

#[test]
fn a_refused_change_changes_nothing() {
    let auth = on(&[permission(Type::Read, b"a", b"")]);
    let mut same = auth.clone();
    assert_eq!(same.add_user("", User::default()), Err(AuthError::UserEmpty));
    assert_eq!(same.add_user("alice", User::default()), Err(AuthError::UserExists));
    assert_eq!(same.add_role(""), Err(AuthError::RoleEmpty));
    assert_eq!(same.add_role("r"), Err(AuthError::RoleExists));
    assert_eq!(same.delete_user("bob"), Err(AuthError::UserNotFound));
    assert_eq!(same.delete_role("q"), Err(AuthError::RoleNotFound));
    assert_eq!(same.change_password("bob", vec![1]), Err(AuthError::UserNotFound));
    assert_eq!(same.grant_role("bob", "r"), Err(AuthError::UserNotFound));
    assert_eq!(same.grant_role("alice", "q"), Err(AuthError::RoleNotFound));
    assert_eq!(same.grant_role("alice", "r"), Ok(false));
    assert_eq!(same.revoke_role("alice", "q"), Err(AuthError::RoleNotGranted));
    assert_eq!(same.grant_permission("r", None), Err(AuthError::PermissionNotGiven));
    let given = permission(Type::Read, b"a", b"");
    assert_eq!(same.grant_permission("q", Some(&given)), Err(AuthError::RoleNotFound));
    assert_eq!(same.revoke_permission("r", b"a", b"b"), Err(AuthError::PermissionNotGranted));
    assert_eq!(same, auth);
}

#[test]
fn a_permission_for_no_key_is_refused() {
    let mut auth = on(&[]);
    for (key, end) in [("", ""), ("", "b"), ("", "\0"), ("b", "b"), ("b", "a")] {
        let given = permission(Type::Readwrite, key.as_bytes(), end.as_bytes());
        let refused = auth.grant_permission("r", Some(&given));
        assert_eq!(refused, Err(AuthError::InvalidManagement), "{key:?} {end:?}");
    }
    let unknown = Permission { perm_type: 3, ..permission(Type::Read, b"a", b"") };
    assert_eq!(auth.grant_permission("r", Some(&unknown)), Err(AuthError::InvalidManagement));
    for (key, end) in [("\0", "\0"), ("b", "\0"), ("a", "b"), ("a", "")] {
        let given = permission(Type::Readwrite, key.as_bytes(), end.as_bytes());
        assert_eq!(auth.grant_permission("r", Some(&given)), Ok(()), "{key:?} {end:?}");
    }
}

#[test]
fn rights_are_listed_by_key_and_then_as_they_were_granted() {
    let ends = [&b"z"[..], b"", b"\0", b"b"];
    let mut auth = on(&ends.map(|end| permission(Type::Read, b"a", end)));
    auth.grant_permission("r", Some(&permission(Type::Read, b"A", b""))).unwrap();
    // One that is granted again stays where it is.
    auth.grant_permission("r", Some(&permission(Type::Write, b"a", b""))).unwrap();
    let listed = auth.role("r").unwrap().permissions();
    let keys: Vec<_> = listed.iter().map(|one| (&one.key[..], &one.range_end[..])).collect();
    let mut expected = vec![(&b"A"[..], &b""[..])];
    expected.extend(ends.map(|end| (&b"a"[..], end)));
    assert_eq!(keys, expected);
}

#[test]
fn a_grant_for_the_same_range_replaces_the_first() {
    let mut auth = on(&[permission(Type::Readwrite, b"a", b"c")]);
    auth.grant_permission("r", Some(&permission(Type::Read, b"a", b"c"))).unwrap();
    assert_eq!(auth.role("r").unwrap().permissions().len(), 1);
    assert!(may(&auth, "alice", b"b", b"", Access::Read));
    assert!(!may(&auth, "alice", b"b", b"", Access::Write));
}

#[test]
fn adjacent_grants_are_one_range_even_across_roles() {
    let mut auth = on(&[
        permission(Type::Read, b"a", b"b"),
        permission(Type::Read, b"b", b"c"),
        permission(Type::Read, b"x", b""),
    ]);
    assert!(may(&auth, "alice", b"a", b"c", Access::Read));
    assert!(!may(&auth, "alice", b"a", b"c\0", Access::Read));
    assert!(may(&auth, "alice", b"x", b"x\0", Access::Read));
    assert!(!may(&auth, "alice", b"a", b"d", Access::Read));
    auth.add_role("s").unwrap();
    auth.grant_permission("s", Some(&permission(Type::Read, b"c", b"\0"))).unwrap();
    auth.grant_role("alice", "s").unwrap();
    assert!(may(&auth, "alice", b"a", b"\0", Access::Read));
    assert!(may(&auth, "alice", b"\xff\xff", b"", Access::Read));
    assert!(!may(&auth, "alice", b"\0", b"\0", Access::Read));
    assert_eq!(auth.delete_role("s"), Ok(vec!["alice".to_owned()]));
    assert!(!may(&auth, "alice", b"a", b"\0", Access::Read));
}

#[test]
fn an_empty_range_is_for_root_only() {
    let auth = on(&[permission(Type::Readwrite, b"a", b"z")]);
    assert!(!may(&auth, "alice", b"c", b"b", Access::Read));
    assert!(!may(&auth, "alice", b"c", b"c", Access::Read));
    assert!(may(&auth, ROOT, b"c", b"b", Access::Read));
}

#[test]
fn who_asks_is_judged_before_what_is_asked() {
    let auth = on(&[permission(Type::Readwrite, b"\0", b"\0")]);
    let key = Span::key(b"a");
    let judge = |name: &str, revision: u64| {
        let caller = Caller { name: name.into(), revision };
        (auth.may(&caller, key.as_ref(), Access::Read), auth.is_authenticated(&caller))
    };
    let now = auth.revision();
    let both = |error| (Err(error), Err(error));
    assert_eq!(judge("alice", now), (Ok(()), Ok(())));
    assert_eq!(judge("", 0), both(AuthError::UserEmpty));
    assert_eq!(judge("alice", now - 1), both(AuthError::OldRevision));
    assert_eq!(judge("root", now - 1), both(AuthError::OldRevision));
    assert_eq!(judge("bob", now), both(AuthError::PermissionDenied));
    let admin = |name: &str| auth.is_admin(&Caller { name: name.into(), revision: 0 });
    assert_eq!(admin("root"), Ok(()));
    assert_eq!(admin("alice"), Err(AuthError::PermissionDenied));
    assert_eq!(admin("bob"), Err(AuthError::UserNotFound));
    assert_eq!(admin(""), Err(AuthError::UserEmpty));
}

#[test]
fn a_user_without_a_password_gets_none() {
    let mut auth = Auth::default();
    auth.add_user("cn", User { no_password: true, ..User::default() }).unwrap();
    auth.change_password("cn", vec![1]).unwrap();
    assert_eq!(auth.user("cn").unwrap().password_hash, Vec::<u8>::new());
}

#[test]
fn rows_bring_everything_back() {
    let mut auth = on(&[permission(Type::Write, b"a", b"c"), permission(Type::Read, b"b", b"")]);
    auth.add_user("cn", User { no_password: true, ..User::default() }).unwrap();
    auth.change_password("alice", b"$2a$10$hash".to_vec()).unwrap();
    let mut restored = Auth::default();
    for (table, key, value) in dump(&auth) {
        load(&mut restored, table, &key, &value.unwrap()).unwrap();
    }
    assert_eq!(restored, auth);
    assert_eq!(dump(&Auth::default()), []);
    assert_eq!(load(&mut restored, 20, b"auth", b"\x01"), Err(BadAuthRow));
    assert_eq!(load(&mut restored, 22, b"\xff", b""), Err(BadAuthRow));
    assert_eq!(load(&mut restored, 23, b"x", b""), Err(BadAuthRow));
}

// ---- at random

type Bits = (Vec<u8>, Vec<u8>);

/// Every boundary that a drawn range or point can have is a key of this universe, so what
/// holds for all of its keys holds for all keys.
fn universe() -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = vec![Vec::new()];
    let mut all = Vec::new();
    for _ in 0..3 {
        let longer = |key: &Vec<u8>| (0..3u8).map(|last| [&key[..], &[last]].concat()).collect();
        keys = keys.iter().flat_map(longer as fn(&Vec<u8>) -> Vec<Vec<u8>>).collect();
        all.extend(keys.clone());
    }
    all
}

fn holds((key, end): &Bits, probe: &[u8]) -> bool {
    match end.as_slice() {
        [] => probe == key,
        [0] => probe >= key.as_slice(),
        end => probe >= key.as_slice() && probe < end,
    }
}

fn bits() -> impl Strategy<Value = Bits> {
    let part = |least| prop::collection::vec(0..3u8, least..3);
    (part(1), prop_oneof![Just(Vec::new()), Just(vec![0]), part(0)])
}

#[derive(Clone, Debug)]
enum Ask {
    Range(Bits),
    Put { key: Vec<u8>, lease: i64, prev_kv: bool },
    Delete { range: Bits, prev_kv: bool },
    Txn { compares: Vec<Bits>, success: Vec<Ask>, failure: Vec<Ask> },
}

fn ask() -> impl Strategy<Value = Ask> {
    let leaf = prop_oneof![
        bits().prop_map(Ask::Range),
        (bits(), 0..4i64, any::<bool>()).prop_map(|((key, _), lease, prev_kv)| Ask::Put {
            key,
            lease,
            prev_kv
        }),
        (bits(), any::<bool>()).prop_map(|(range, prev_kv)| Ask::Delete { range, prev_kv }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..3);
        (prop::collection::vec(bits(), 0..2), list(), list())
            .prop_map(|(compares, success, failure)| Ask::Txn { compares, success, failure })
    })
}

fn wire((key, end): &Bits) -> (Bytes, Bytes) {
    (key.clone().into(), end.clone().into())
}

fn to_op(ask: &Ask) -> Request {
    match ask {
        Ask::Range(range) => {
            let (key, range_end) = wire(range);
            Request::RequestRange(RangeRequest { key, range_end, ..Default::default() })
        }
        Ask::Put { key, lease, prev_kv } => Request::RequestPut(PutRequest {
            key: key.clone().into(),
            lease: *lease,
            prev_kv: *prev_kv,
            ..Default::default()
        }),
        Ask::Delete { range, prev_kv } => {
            let (key, range_end) = wire(range);
            let prev_kv = *prev_kv;
            Request::RequestDeleteRange(DeleteRangeRequest { key, range_end, prev_kv })
        }
        Ask::Txn { compares, success, failure } => {
            let ops = |asks: &[Ask]| {
                asks.iter().map(|ask| RequestOp { request: Some(to_op(ask)) }).collect()
            };
            let compare = |range: &Bits| {
                let (key, range_end) = wire(range);
                Compare { key, range_end, ..Default::default() }
            };
            Request::RequestTxn(TxnRequest {
                compare: compares.iter().map(compare).collect(),
                success: ops(success),
                failure: ops(failure),
            })
        }
    }
}

/// Everything the request touches, written down flat.
fn needs(ask: &Ask, leases: &Leases, out: &mut Vec<(Bits, Access)>) {
    match ask {
        Ask::Range(range) => out.push((range.clone(), Access::Read)),
        Ask::Put { key, lease, prev_kv } => {
            let range = (key.clone(), Vec::new());
            out.push((range.clone(), Access::Write));
            if *prev_kv {
                out.push((range, Access::Read));
            }
            for key in leases.keys(*lease).into_iter().flatten() {
                out.push(((key.to_vec(), Vec::new()), Access::Write));
            }
        }
        Ask::Delete { range, prev_kv } => {
            out.push((range.clone(), Access::Write));
            if *prev_kv {
                out.push((range.clone(), Access::Read));
            }
        }
        Ask::Txn { compares, success, failure } => {
            out.extend(compares.iter().map(|range| (range.clone(), Access::Read)));
            success.iter().chain(failure).for_each(|ask| needs(ask, leases, out));
        }
    }
}

fn judged(walk: Walk<'_>, request: &Request) -> Result<(), AuthError> {
    match request {
        Request::RequestRange(request) => walk.range(request),
        Request::RequestPut(request) => walk.put(request),
        Request::RequestDeleteRange(request) => walk.delete_range(request),
        Request::RequestTxn(request) => walk.txn(request),
    }
}

fn kind() -> impl Strategy<Value = Type> {
    prop_oneof![Just(Type::Read), Just(Type::Write), Just(Type::Readwrite)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// The walk allows a request exactly if each key of each range it names, in any branch,
    /// is in some permission of some role of the caller.
    #[test]
    fn the_walk_agrees_with_a_look_at_every_key(
        grants in prop::collection::vec((0..3usize, kind(), bits()), 0..8),
        has in prop::collection::vec(any::<bool>(), 3),
        lease_keys in prop::collection::vec(prop::collection::vec(0..3u8, 1..3), 0..3),
        ask in ask(),
    ) {
        let universe = universe();
        let mut auth = on(&[]);
        for role in 0..3 {
            auth.add_role(&format!("r{role}")).unwrap();
        }
        let mut granted: Vec<(usize, Type, Bits)> = Vec::new();
        for (role, kind, range) in grants {
            let given = permission(kind, &range.0, &range.1);
            if auth.grant_permission(&format!("r{role}"), Some(&given)).is_ok() {
                granted.retain(|(other, _, same)| *other != role || *same != range);
                granted.push((role, kind, range));
            }
        }
        for (role, _) in has.iter().enumerate().filter(|(_, has)| **has) {
            auth.grant_role("alice", &format!("r{role}")).unwrap();
        }
        let mut leases = Leases::new();
        leases.grant(1, 60).unwrap();
        leases.grant(2, 60).unwrap();
        for key in lease_keys {
            leases.attach(1, &Arc::from(key));
        }
        let allowed = |key: &[u8], access: Access| granted.iter().any(|(role, kind, range)| {
            let fits = *kind == Type::Readwrite || (*kind == Type::Read) == (access == Access::Read);
            has[*role] && fits && holds(range, key)
        });
        let mut needs_of_it = Vec::new();
        needs(&ask, &leases, &mut needs_of_it);
        let expected = needs_of_it.iter().all(|(range, access)| {
            let mut keys = universe.iter().filter(|key| holds(range, key)).peekable();
            keys.peek().is_some() && keys.all(|key| allowed(key, *access))
        });
        let request = to_op(&ask);
        let alice = caller(&auth, "alice");
        let verdict = judged(Walk { auth: &auth, leases: &leases, caller: &alice }, &request);
        prop_assert_eq!(verdict.is_ok(), expected, "{:?}", needs_of_it);
        prop_assert!(verdict.is_ok() || verdict == Err(AuthError::PermissionDenied));
        let root = caller(&auth, ROOT);
        let verdict = judged(Walk { auth: &auth, leases: &leases, caller: &root }, &request);
        prop_assert_eq!(verdict, Ok(()));
        let nobody = Caller::default();
        let verdict = judged(Walk { auth: &auth, leases: &leases, caller: &nobody }, &request);
        prop_assert_eq!(verdict, Err(AuthError::UserEmpty));
        auth.disable();
        let verdict = judged(Walk { auth: &auth, leases: &leases, caller: &nobody }, &request);
        prop_assert_eq!(verdict, Ok(()));
    }
}

#[test]
fn leases_are_as_secret_and_as_safe_as_their_keys() {
    let auth = on(&[permission(Type::Readwrite, b"a", b"b"), permission(Type::Read, b"b", b"c")]);
    let mut leases = Leases::new();
    for (id, keys) in [(1, &["a1", "a2"][..]), (2, &["a1x", "b1"]), (3, &["z"]), (4, &[])] {
        leases.grant(id, 60).unwrap();
        keys.iter().for_each(|key| leases.attach(id, &Arc::from(key.as_bytes())));
    }
    let alice = caller(&auth, "alice");
    let walk = Walk { auth: &auth, leases: &leases, caller: &alice };
    let denied = Err(AuthError::PermissionDenied);
    assert_eq!((walk.lease_keys(1), walk.lease_revoke(1)), (Ok(()), Ok(())));
    assert_eq!((walk.lease_keys(2), walk.lease_revoke(2)), (Ok(()), denied));
    assert_eq!((walk.lease_keys(3), walk.lease_revoke(3)), (denied, denied));
    assert_eq!((walk.lease_keys(4), walk.lease_revoke(9)), (Ok(()), Ok(())));
    assert_eq!(walk.all_leases(), denied);
    let root = caller(&auth, ROOT);
    assert_eq!(Walk { caller: &root, ..walk }.all_leases(), Ok(()));
    let nobody = Caller::default();
    let nobody = Walk { caller: &nobody, ..walk };
    assert_eq!(nobody.all_leases(), Err(AuthError::UserEmpty));
    assert_eq!(nobody.lease_keys(4), Err(AuthError::UserEmpty));
}

#[test]
fn a_tree_deeper_than_any_that_comes_in_is_refused() {
    let auth = on(&[permission(Type::Readwrite, b"\0", b"\0")]);
    let alice = caller(&auth, "alice");
    let walk = Walk { auth: &auth, leases: &Leases::new(), caller: &alice };
    let mut request = TxnRequest::default();
    for _ in 1..crate::kv::check::MAX_TXN_DEPTH {
        let request_op = RequestOp { request: Some(Request::RequestTxn(request)) };
        request = TxnRequest { success: vec![request_op], ..TxnRequest::default() };
    }
    assert_eq!(walk.txn(&request), Ok(()));
    let request_op = RequestOp { request: Some(Request::RequestTxn(request)) };
    let request = TxnRequest { failure: vec![request_op], ..TxnRequest::default() };
    assert_eq!(walk.txn(&request), Err(AuthError::PermissionDenied));
}
