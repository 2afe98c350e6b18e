"""The Python client `aetcd`: gRPC by asyncio, one endpoint a client, no TLS."""

import asyncio
import io

import aetcd

from harness import Settings, equal, finish, holds, run_async

settings = Settings()
prefix = settings.prefix.encode()


def connect(index, user=settings.user):
    place = settings.endpoints[index % len(settings.endpoints)]
    name, password = user or (None, None)
    return aetcd.Client(
        host=place.hostname, port=place.port, timeout=30, username=name, password=password,
        connect_wait_timeout=20)


async def refused(error, action, text):
    try:
        await action
    except error as caught:
        holds(text in str(caught), "%r is not in %s" % (text, caught))
        return caught
    raise AssertionError("%s was not raised" % (error,))


async def main():
    one, two = connect(0), connect(1)

    async def put_get():
        await one.put(prefix + b"a", b"1")
        got = await two.get(prefix + b"a")
        equal((got.value, got.version, got.key), (b"1", 1, prefix + b"a"))
        equal((await one.put(prefix + b"a", b"2", prev_kv=True)).prev_kv.value, b"1")
        equal(await two.get(prefix + b"nothing"), None)
        await one.put(prefix + b"bytes", bytes(range(256)))
        equal((await two.get(prefix + b"bytes")).value, bytes(range(256)))

    async def prefix_and_range():
        await asyncio.gather(*[
            one.put(b"%slist/%02d" % (prefix, number), b"%d" % number) for number in range(25)])
        found = [kv.value for kv in await two.get_prefix(prefix + b"list/")]
        equal(sorted(found, key=int), [b"%d" % number for number in range(25)])
        down = await two.get_prefix(prefix + b"list/", sort_order="descend", sort_target="key")
        equal([kv.value for kv in down], [b"%d" % number for number in range(24, -1, -1)])
        some = await two.get_range(prefix + b"list/05", prefix + b"list/08", sort_order="ascend")
        equal([kv.value for kv in some], [b"5", b"6", b"7"])

    async def delete():
        await one.put(prefix + b"gone", b"x")
        equal((await two.delete(prefix + b"gone", prev_kv=True)).prev_kv.value, b"x")
        equal(await one.delete(prefix + b"gone"), None)
        equal((await one.delete_prefix(prefix + b"list/")).deleted, 25)
        equal((await two.delete_range(prefix + b"list/", prefix + b"list0")).deleted, 0)

    async def transactions():
        t, key = one.transactions, prefix + b"txn"
        await one.put(key, b"old")
        done, answers = await two.transaction(
            compare=[t.value(key) == b"old", t.version(key) > 0],
            success=[t.put(key, b"new"), t.get(key)], failure=[t.put(key, b"never")])
        equal((done, answers[1][0][0]), (True, b"new"))
        done, answers = await one.transaction(
            compare=[t.mod(key) == 1], success=[t.delete(key)], failure=[t.get(key)])
        equal((done, answers[0][0][0]), (False, b"new"))
        equal(await one.replace(key, b"new", b"newer"), True)
        equal(await two.replace(key, b"new", b"never"), False)

    async def watch():
        watching = await two.watch_prefix(prefix + b"watch/", prev_kv=True)
        await one.put(prefix + b"watch/a", b"1")
        await one.put(prefix + b"watch/a", b"2")
        await one.delete(prefix + b"watch/a")
        seen = []
        async for event in watching:
            seen.append(event)
            if len(seen) == 3:
                break
        await watching.cancel()
        kinds = [event.kind for event in seen]
        equal(kinds, [aetcd.EventKind.PUT, aetcd.EventKind.PUT, aetcd.EventKind.DELETE])
        equal([event.kv.value for event in seen], [b"1", b"2", b""])
        equal(seen[2].prev_kv.value, b"2")
        only = await one.watch_once(
            prefix + b"watch/a", timeout=30, start_revision=seen[0].kv.mod_revision,
            kind=aetcd.EventKind.DELETE)
        equal(only.kv.mod_revision, seen[2].kv.mod_revision)
        await refused(aetcd.exceptions.WatchTimeoutError,
                      two.watch_once(prefix + b"watch/never", timeout=0.3), "")

    async def leases():
        lease = await one.lease(60)
        await one.put(prefix + b"leased", b"x", lease=lease)
        equal(list(await lease.keys()), [prefix + b"leased"])
        equal(await lease.granted_ttl(), 60)
        equal((await lease.refresh()).TTL, 60)
        await two.revoke_lease(lease.id)
        equal(await two.get(prefix + b"leased"), None)
        equal((await two.get_lease_info(lease.id)).TTL, -1)
        taken = await one.lease(30, lease_id=lease.id + 1)
        await refused(aetcd.exceptions.DuplicateLeaseError, two.lease(30, lease_id=taken.id), "")
        await taken.revoke()
        short = await one.lease(5)
        await one.put(prefix + b"short", b"x", lease=short)
        gone = await two.watch_once(
            prefix + b"short", timeout=30, kind=aetcd.EventKind.DELETE)
        equal(gone.kv.key, prefix + b"short")

    async def locks():
        first, second = one.lock(prefix + b"lock", ttl=30), two.lock(prefix + b"lock", ttl=30)
        equal(await first.acquire(), True)
        equal(await second.acquire(timeout=0.3), False)
        equal((await first.is_acquired(), await second.is_acquired()), (True, False))
        waiting = asyncio.create_task(second.acquire(timeout=30))
        equal(await first.release(), True)
        equal(await waiting, True)
        await second.release()

    async def members_and_maintenance():
        members = [member async for member in one.members()]
        equal(len(members), len(settings.endpoints))
        status = await two.status()
        holds(status.leader.id in [member.id for member in members], "the leader is no member")
        await one.create_alarm(members[0].id)
        equal([alarm.member_id async for alarm in two.list_alarms()], [members[0].id])
        await refused(aetcd.exceptions.ClientError, one.put(prefix + b"full", b"x"),
                      "etcdserver: mvcc: database space exceeded")
        await two.disarm_alarm(members[0].id)
        equal([alarm async for alarm in two.list_alarms()], [])
        backup = io.BytesIO()
        await one.snapshot(backup)
        holds(len(backup.getvalue()) > 4096, "a small snapshot")
        await two.defragment()

    async def compaction():
        await one.put(prefix + b"old", b"1")
        before = (await two.get(prefix + b"old")).mod_revision
        await one.put(prefix + b"old", b"2")
        now = (await one.get(prefix + b"old")).mod_revision
        await two.compact(now, physical=True)
        await refused(aetcd.exceptions.ClientError, one.compact(before),
                      "etcdserver: mvcc: required revision has been compacted")
        watching = await one.watch(prefix + b"old", start_revision=before)
        error = await refused(
            aetcd.exceptions.RevisionCompactedError, anext(aiter(watching)), "")
        equal(error.compacted_revision, now)

    async def permissions():
        await refused(aetcd.exceptions.InvalidArgumentError,
                      connect(0, (settings.user[0], "wrong")).connect(),
                      "etcdserver: authentication failed, invalid user ID or password")
        limited = connect(2, settings.limited)
        await limited.put(b"limited/a", b"mine")
        equal((await limited.get(b"limited/a")).value, b"mine")
        for action in (limited.put(prefix + b"a", b"x"), limited.get(prefix + b"a"),
                       limited.delete_prefix(b"limite")):
            await refused(aetcd.exceptions.ClientError, action, "etcdserver: permission denied")
        nobody = connect(1, None)
        await refused(aetcd.exceptions.InvalidArgumentError, nobody.get(prefix + b"a"),
                      "etcdserver: user name is empty")
        await limited.close()
        await nobody.close()

    await run_async(put_get, prefix_and_range, delete, transactions, watch, leases, locks,
                    members_and_maintenance, compaction)
    if settings.limited:
        await run_async(permissions)
    await one.close()
    await two.close()


asyncio.run(main())
finish()
