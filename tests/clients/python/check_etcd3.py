"""The Python client `etcd3`: gRPC, synchronous, one endpoint a client."""

import io
import queue
import threading

import etcd3
import grpc

from harness import Settings, equal, eventually, finish, holds, refused, run

settings = Settings()
prefix = settings.prefix


def connect(index, user=settings.user):
    place = settings.endpoints[index % len(settings.endpoints)]
    name, password = user or (None, None)
    client = etcd3.client(
        host=place.hostname, port=place.port, timeout=30, user=name, password=password,
        ca_cert=settings.cacert, cert_cert=settings.cert, cert_key=settings.key)
    if user and not client.uses_secure_channel:
        # It sends the token twice; one of the ways gRPC has since refused without TLS.
        client.call_credentials = client.watcher._credentials = None
    return client


# Two members, so that what is written to one is read from another.
one, two = connect(0), connect(1)


def put_get():
    one.put(prefix + "a", "1")
    value, meta = two.get(prefix + "a")
    equal((value, meta.key, meta.version), (b"1", (prefix + "a").encode(), 1))
    holds(meta.create_revision == meta.mod_revision == meta.response_header.revision, "revisions")
    answer = one.put(prefix + "a", "2", prev_kv=True)
    equal(answer.prev_kv.value, b"1")
    equal(two.get(prefix + "a")[1].version, 2)
    equal(two.get(prefix + "nothing"), (None, None))
    one.put(prefix + "bytes", bytes(range(256)))
    equal(two.get(prefix + "bytes", serializable=False)[0], bytes(range(256)))
    one.put(prefix + "empty", "")
    equal(two.get(prefix + "empty")[0], b"")


def prefix_and_range():
    for number in range(25):
        one.put("%slist/%02d" % (prefix, number), str(number))
    found = [value for value, _ in two.get_prefix(prefix + "list/")]
    equal(found, [b"%d" % number for number in range(25)])
    down = two.get_prefix(prefix + "list/", sort_order="descend", sort_target="key")
    equal([value for value, _ in down], found[::-1])
    some = two.get_range(prefix + "list/05", prefix + "list/08")
    equal([value for value, _ in some], [b"5", b"6", b"7"])
    keys = [(value, meta.key) for value, meta in two.get_prefix(prefix + "list/0", keys_only=True)]
    equal(keys[0], (b"", (prefix + "list/00").encode()))
    equal(len(keys), 10)
    holds(any(meta.key.startswith(prefix.encode()) for _, meta in two.get_all()), "get_all")


def delete():
    one.put(prefix + "gone", "x")
    answer = two.delete(prefix + "gone", prev_kv=True, return_response=True)
    equal((answer.deleted, answer.prev_kvs[0].value), (1, b"x"))
    equal(one.delete(prefix + "gone"), False)
    equal(one.delete_prefix(prefix + "list/").deleted, 25)
    equal(list(two.get_prefix(prefix + "list/")), [])


def transactions():
    t = one.transactions
    key = prefix + "txn"
    one.put(key, "old")
    done, answers = one.transaction(
        compare=[t.value(key) == "old", t.version(key) > 0, t.create(key) != 0, t.mod(key) < 2**40],
        success=[t.put(key, "new"), t.get(key), t.delete(prefix + "nothing")],
        failure=[t.put(key, "never")])
    equal(done, True)
    equal(answers[1][0][0], b"new")
    done, answers = two.transaction(
        compare=[t.value(key) == "old"], success=[t.put(key, "never")], failure=[t.get(key)])
    equal((done, answers[0][0][0]), (False, b"new"))
    inner = t.txn(compare=[t.version(key) == 2], success=[t.put(key, "inner")], failure=[])
    done, answers = two.transaction(compare=[], success=[inner], failure=[])
    equal((done, answers[0].response_txn.succeeded), (True, True))
    equal(one.get(key)[0], b"inner")


def compare_and_swap():
    key = prefix + "cas"
    equal(one.put_if_not_exists(key, "1"), True)
    equal(two.put_if_not_exists(key, "2"), False)
    equal(two.replace(key, "1", "3"), True)
    equal(one.replace(key, "1", "4"), False)
    equal(one.get(key)[0], b"3")


def watch():
    events, cancel = two.watch_prefix(prefix + "watch/", prev_kv=True)
    one.put(prefix + "watch/a", "1")
    one.put(prefix + "watch/a", "2")
    one.delete(prefix + "watch/a")
    seen = [next(events) for _ in range(3)]
    cancel()
    equal([type(event).__name__ for event in seen], ["PutEvent", "PutEvent", "DeleteEvent"])
    equal([event.value for event in seen], [b"1", b"2", b""])
    equal([event.prev_value for event in seen[1:]], [b"1", b"2"])
    past, cancel = one.watch(prefix + "watch/a", start_revision=seen[0].mod_revision)
    equal([next(past).mod_revision for _ in range(3)], [event.mod_revision for event in seen])
    cancel()
    heard = queue.Queue()
    number = two.add_watch_callback(prefix + "watch/b", heard.put)
    one.put(prefix + "watch/b", "x")
    equal(heard.get(timeout=30).events[0].value, b"x")
    two.cancel_watch(number)
    refused(etcd3.exceptions.WatchTimedOut,
            lambda: two.watch_once(prefix + "watch/never", timeout=0.3))


def leases():
    lease = one.lease(60)
    equal(lease.granted_ttl, 60)
    one.put(prefix + "leased", "x", lease=lease)
    equal(lease.keys, [(prefix + "leased").encode()])
    holds(0 < lease.remaining_ttl <= 60, "remaining")
    equal(lease.refresh()[0].TTL, 60)
    equal(two.get(prefix + "leased")[1].lease_id, lease.id)
    two.revoke_lease(lease.id)
    equal(two.get(prefix + "leased"), (None, None))
    equal(two.get_lease_info(lease.id).TTL, -1)
    equal(next(one.refresh_lease(lease.id)).TTL, 0)
    named = one.lease(30, lease_id=lease.id + 1)
    equal(named.id, lease.id + 1)
    refused(etcd3.exceptions.PreconditionFailedError, lambda: two.lease(30, lease_id=named.id))
    named.revoke()
    refused(grpc.RpcError, lambda: one.put(prefix + "x", "x", lease=lease.id),
            "etcdserver: requested lease not found")
    short = one.lease(5)
    one.put(prefix + "short", "x", lease=short)
    eventually("the end of a lease", lambda: two.get(prefix + "short")[0] is None)


def locks():
    first, second = one.lock(prefix + "lock", ttl=30), two.lock(prefix + "lock", ttl=30)
    equal(first.acquire(timeout=20), True)
    equal(second.acquire(timeout=0.3), False)
    equal((first.is_acquired(), second.is_acquired()), (True, False))
    equal(first.refresh()[0].TTL, 30)
    got = []
    waiting = threading.Thread(target=lambda: got.append(second.acquire(timeout=30)))
    waiting.start()
    equal(first.release(), True)
    waiting.join()
    equal((got, second.is_acquired()), ([True], True))
    with two.lock(prefix + "other") as held:
        equal(held.is_acquired(), True)
    second.release()


def members_and_maintenance():
    members = list(one.members)
    equal(len(members), len(settings.endpoints))
    holds(all(member.id and member.peer_urls and member.client_urls for member in members), members)
    status = two.status()
    holds(status.leader.id in [member.id for member in members], "the leader is no member")
    holds(status.version.startswith("3.") and status.raft_term and status.db_size, vars(status))
    # The client forgets its credentials here.
    if not settings.user:
        holds(isinstance(one.hash(), int), "hash")
    equal(list(one.list_alarms()), [])
    one.create_alarm(members[0].id)
    equal([alarm.member_id for alarm in two.list_alarms()], [members[0].id])
    refused(grpc.RpcError, lambda: one.put(prefix + "full", "x"),
            "etcdserver: mvcc: database space exceeded")
    two.disarm_alarm(members[0].id)
    eventually("a lowered alarm", lambda: not list(one.list_alarms()))
    backup = io.BytesIO()
    one.snapshot(backup)
    holds(len(backup.getvalue()) > 4096, "a small snapshot")
    two.defragment()


def compaction():
    one.put(prefix + "old", "1")
    revision = two.get(prefix + "old")[1].mod_revision
    one.put(prefix + "old", "2")
    now = one.get(prefix + "old")[1].mod_revision
    two.compact(now, physical=True)
    refused(grpc.RpcError, lambda: one.compact(revision),
            "etcdserver: mvcc: required revision has been compacted")
    events, cancel = one.watch(prefix + "old", start_revision=revision)
    error = refused(etcd3.exceptions.RevisionCompactedError, lambda: next(events))
    equal(error.compacted_revision, now)
    cancel()


def many_at_once():
    def work(client, number):
        for turn in range(20):
            client.put("%smany/%d" % (prefix, number), str(turn))
    threads = [threading.Thread(target=work, args=([one, two][n % 2], n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal([value for value, _ in one.get_prefix(prefix + "many/")], [b"19"] * 8)


def bad_requests():
    refused(grpc.RpcError, lambda: one.put("", "x"), "etcdserver: key is not provided")
    refused(grpc.RpcError, lambda: one.put(prefix + "big", "x" * 1600000),
            "etcdserver: request is too large")
    t = one.transactions
    refused(grpc.RpcError, lambda: one.transaction(
        compare=[], success=[t.put(prefix + "a", "1"), t.put(prefix + "a", "2")], failure=[]),
        "etcdserver: duplicate key given in txn request")


def permissions():
    refused(grpc.RpcError, lambda: connect(0, (settings.user[0], "wrong")),
            "etcdserver: authentication failed, invalid user ID or password")
    limited = connect(2, settings.limited)
    limited.put("limited/a", "mine")
    equal(limited.get("limited/a")[0], b"mine")
    denied = "etcdserver: permission denied"
    refused(grpc.RpcError, lambda: limited.put(prefix + "a", "x"), denied)
    refused(grpc.RpcError, lambda: limited.get(prefix + "a"), denied)
    refused(grpc.RpcError, lambda: limited.delete_prefix("limite"), denied)
    refused(grpc.RpcError, limited.defragment, denied)
    events, cancel = limited.watch_prefix("limited/")
    one.put("limited/a", "changed")
    equal(next(events).value, b"changed")
    cancel()
    if not settings.cert:
        nobody = connect(1, None)
        refused(grpc.RpcError, lambda: nobody.get(prefix + "a"), "etcdserver: user name is empty")


run(put_get, prefix_and_range, delete, transactions, compare_and_swap, watch, leases, locks,
    members_and_maintenance, compaction, many_at_once, bad_requests)
if settings.limited:
    run(permissions)
finish()
