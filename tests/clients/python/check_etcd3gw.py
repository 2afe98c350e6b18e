"""The Python client `etcd3gw`: the JSON gateway over HTTP."""

import base64

import etcd3gw

from harness import Settings, equal, eventually, finish, holds, refused, run

settings = Settings()
prefix = settings.prefix


def connect(index, user=settings.user):
    place = settings.endpoints[index % len(settings.endpoints)]
    client = etcd3gw.client(
        host=place.hostname, port=place.port, protocol=place.scheme, timeout=30,
        ca_cert=settings.cacert, cert_cert=settings.cert, cert_key=settings.key)
    if user:
        # The library has no word for users; its session carries the token.
        answer = client.post(client.get_url("/auth/authenticate"),
                             json={"name": user[0], "password": user[1]})
        client.session.headers["Authorization"] = answer["token"]
    return client


one, two = connect(0), connect(1)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def put_get():
    equal(one.put(prefix + "a", "1"), True)
    equal(two.get(prefix + "a"), [b"1"])
    one.put(prefix + "a", "2")
    value, meta = two.get(prefix + "a", metadata=True)[0]
    equal((value, meta["version"], meta["key"]), (b"2", "2", (prefix + "a").encode()))
    holds(int(meta["create_revision"]) < int(meta["mod_revision"]), meta)
    equal(two.get(prefix + "nothing"), [])
    one.put(prefix + "bytes", bytes(range(256)))
    equal(two.get(prefix + "bytes"), [bytes(range(256))])
    equal(one.create(prefix + "created", "x"), True)
    equal(two.create(prefix + "created", "y"), False)
    equal(one.replace(prefix + "created", "x", "z"), True)
    equal(two.replace(prefix + "created", "x", "w"), False)


def prefix_and_range():
    for number in range(12):
        one.put("%slist/%02d" % (prefix, number), str(number))
    found = two.get_prefix(prefix + "list/", sort_order="descend", sort_target="key")
    equal([value for value, _ in found], [b"%d" % number for number in range(11, -1, -1)])
    holds(len(one.get_all()) >= 12, "get_all")
    equal(one.delete(prefix + "list/00"), True)
    equal(one.delete(prefix + "list/00"), False)
    equal(one.delete_prefix(prefix + "list/"), True)
    equal(two.get_prefix(prefix + "list/"), [])


def transactions():
    key = encoded(prefix + "txn")
    one.put(prefix + "txn", "old")
    answer = two.transaction({
        "compare": [{"key": key, "result": "EQUAL", "target": "VALUE", "value": encoded("old")},
                    {"key": key, "result": "GREATER", "target": "VERSION", "version": 0}],
        "success": [{"request_put": {"key": key, "value": encoded("new"), "prev_kv": True}},
                    {"request_range": {"key": key}}],
        "failure": [{"request_delete_range": {"key": key}}]})
    equal(answer["succeeded"], True)
    equal(answer["responses"][0]["response_put"]["prev_kv"]["value"], encoded("old"))
    equal(answer["responses"][1]["response_range"]["kvs"][0]["value"], encoded("new"))
    refused(etcd3gw.exceptions.Etcd3Exception, lambda: one.transaction(
        {"success": [{"request_put": {"key": key}}, {"request_put": {"key": key}}]}),
        "etcdserver: duplicate key given in txn request")


def watch():
    events, cancel = two.watch_prefix(prefix + "watch/", prev_kv=True)
    one.put(prefix + "watch/a", "1")
    one.put(prefix + "watch/a", "2")
    one.delete(prefix + "watch/a")
    seen = [next(events) for _ in range(3)]
    cancel()
    equal([event["kv"].get("value") for event in seen], [b"1", b"2", None])
    equal([event.get("type") for event in seen], [None, None, "DELETE"])
    again = two.watch_once(
        prefix + "watch/a", timeout=30, start_revision=int(seen[1]["kv"]["mod_revision"]))
    equal(again["kv"]["value"], b"2")
    refused(etcd3gw.exceptions.WatchTimedOut,
            lambda: two.watch_once(prefix + "watch/never", timeout=0.5))


def leases():
    lease = one.lease(60)
    one.put(prefix + "leased", "x", lease=lease)
    equal(lease.keys(), [(prefix + "leased").encode()])
    holds(0 < lease.ttl() <= 60, "remaining")
    equal(lease.refresh(), 60)
    equal(lease.revoke(), True)
    equal(two.get(prefix + "leased"), [])
    equal(lease.ttl(), -1)
    equal(lease.refresh(), -1)
    short = one.lease(5)
    one.put(prefix + "short", "x", lease=short)
    eventually("the end of a lease", lambda: not two.get(prefix + "short"))


def locks():
    first, second = one.lock(prefix + "lock", ttl=30), two.lock(prefix + "lock", ttl=30)
    equal(first.acquire(), True)
    equal(second.acquire(), False)
    equal((first.is_acquired(), second.is_acquired()), (True, False))
    equal(first.refresh(), 30)
    equal(first.release(), True)
    equal(first.release(), False)
    with two.lock(prefix + "lock", ttl=30) as held:
        equal(held.is_acquired(), True)


def members_and_status():
    members = one.members()
    equal(len(members), len(settings.endpoints))
    holds(all(member["peerURLs"] and member["clientURLs"] for member in members), members)
    status = two.status()
    holds(status["leader"] in [member["ID"] for member in members], status)
    holds(status["version"].startswith("3."), status)


def compaction():
    one.put(prefix + "old", "1")
    before = two.get(prefix + "old", metadata=True)[0][1]["mod_revision"]
    one.put(prefix + "old", "2")
    now = one.get(prefix + "old", metadata=True)[0][1]["mod_revision"]
    two.post(two.get_url("/kv/compaction"), json={"revision": now, "physical": True})
    refused(etcd3gw.exceptions.Etcd3Exception,
            lambda: one.get(prefix + "old", revision=int(before)),
            "etcdserver: mvcc: required revision has been compacted")


def bad_requests():
    error = etcd3gw.exceptions.Etcd3Exception
    refused(error, lambda: one.put("", "x"), "etcdserver: key is not provided")
    refused(error, lambda: one.post(one.get_url("/kv/put"), json={"key": 7}))
    refused(error, lambda: one.post(one.get_url("/kv/nothing"), json={}), "Not Found")


def permissions():
    error = etcd3gw.exceptions.Etcd3Exception
    refused(error, lambda: connect(0, (settings.user[0], "wrong")),
            "etcdserver: authentication failed, invalid user ID or password")
    limited = connect(2, settings.limited)
    limited.put("limited/a", "mine")
    equal(limited.get("limited/a"), [b"mine"])
    refused(error, lambda: limited.put(prefix + "a", "x"), "etcdserver: permission denied")
    refused(error, lambda: limited.get_prefix("limite"), "etcdserver: permission denied")
    if not settings.cert:
        refused(error, lambda: connect(1, None).get(prefix + "a"), "etcdserver: user name is empty")
    stranger = connect(1, None)
    stranger.session.headers["Authorization"] = "nonsense"
    refused(error, lambda: stranger.get(prefix + "a"), "etcdserver: invalid auth token")


run(put_get, prefix_and_range, transactions, watch, leases, locks, members_and_status, compaction,
    bad_requests)
if settings.limited:
    run(permissions)
finish()
