"""The Python client `python-etcd`: the v2 keys, members and statistics over HTTP."""

import threading

import etcd

from harness import Settings, equal, eventually, finish, holds, refused, run

settings = Settings()
prefix = "/" + settings.prefix.rstrip("/")


def connect(index):
    places = settings.endpoints[index:] + settings.endpoints[:index]
    return etcd.Client(
        host=tuple((place.hostname, place.port) for place in places), protocol=places[0].scheme,
        allow_reconnect=True, read_timeout=30, ca_cert=settings.cacert,
        cert=settings.cert and (settings.cert, settings.key))


one, two = connect(0), connect(1)


def read(client, key, **options):
    return client.read(prefix + key, quorum=True, **options)


def write_read():
    written = one.write(prefix + "/a", "1")
    equal((written.action, written.newKey), ("set", True))
    found = read(two, "/a")
    equal((found.value, found.modifiedIndex), ("1", written.modifiedIndex))
    equal(one.set(prefix + "/a", "2")._prev_node.value, "1")
    holds(prefix + "/a" in two, "the key is not found")
    refused(etcd.EtcdKeyNotFound, lambda: read(two, "/nothing"))
    found.value = "3"
    refused(etcd.EtcdCompareFailed, lambda: two.update(found))
    fresh = read(two, "/a")
    fresh.value = "3"
    equal(two.update(fresh).value, "3")


def directories():
    one.write(prefix + "/dir", None, dir=True)
    for name in ("b", "a", "deep/er"):
        one.write(prefix + "/dir/" + name, name)
    one.write(prefix + "/dir/_hidden", "x")
    listed = [child.key for child in read(two, "/dir", sorted=True).children]
    equal(listed, [prefix + "/dir/" + name for name in ("a", "b", "deep")])
    leaves = [leaf.value for leaf in read(two, "/dir", sorted=True, recursive=True).leaves]
    equal(leaves, ["a", "b", "deep/er"])
    refused(etcd.EtcdNotFile, lambda: one.write(prefix + "/dir", "x"))
    refused(etcd.EtcdNotDir, lambda: one.write(prefix + "/dir/a/x", "x"))
    refused(etcd.EtcdDirNotEmpty, lambda: one.delete(prefix + "/dir", dir=True))
    equal(one.delete(prefix + "/dir", recursive=True).action, "delete")
    refused(etcd.EtcdRootReadOnly, lambda: one.delete("/", recursive=True))
    first = one.write(prefix + "/queue", "1", append=True)
    second = two.write(prefix + "/queue", "2", append=True)
    holds(first.key < second.key, (first.key, second.key))


def compare_and_swap():
    key = prefix + "/cas"
    one.write(key, "1", prevExist=False)
    refused(etcd.EtcdAlreadyExist, lambda: two.write(key, "2", prevExist=False))
    swapped = two.test_and_set(key, "2", "1")
    equal(swapped.action, "compareAndSwap")
    refused(etcd.EtcdCompareFailed, lambda: one.test_and_set(key, "3", "1"))
    one.write(key, "4", prevIndex=swapped.modifiedIndex)
    refused(etcd.EtcdCompareFailed, lambda: one.delete(key, prevValue="2"))
    equal(one.delete(key, prevValue="4").action, "compareAndDelete")
    refused(etcd.EtcdKeyNotFound, lambda: one.write(key, "x", prevExist=True))


def times_to_live():
    one.write(prefix + "/ttl", "x", ttl=60)
    holds(0 < read(two, "/ttl").ttl <= 60, "time to live")
    equal(one.refresh(prefix + "/ttl", 90).ttl, 90)
    equal(read(two, "/ttl").value, "x")
    written = one.write(prefix + "/short", "x", ttl=1)
    gone = two.watch(prefix + "/short", index=written.modifiedIndex + 1, timeout=30)
    equal(gone.action, "expire")
    refused(etcd.EtcdKeyNotFound, lambda: read(one, "/short"))


def watch():
    written = one.write(prefix + "/watch/a", "1")
    heard = two.watch(prefix + "/watch", index=written.modifiedIndex, recursive=True, timeout=30)
    equal((heard.action, heard.value), ("set", "1"))
    got = []
    waiting = threading.Thread(
        target=lambda: got.append(two.watch(prefix + "/watch/later", timeout=30)))
    waiting.start()

    def told():
        # The watch begins at an unknown moment, so there may have to be another write.
        one.write(prefix + "/watch/later", "x")
        waiting.join(timeout=0.1)
        return not waiting.is_alive()
    eventually("a watch", told)
    equal((got[0].action, got[0].value), ("set", "x"))
    refused(etcd.EtcdWatchTimedOut, lambda: two.watch(prefix + "/watch/never", timeout=0.3))
    events = one.eternal_watch(prefix + "/watch/a", index=written.modifiedIndex)
    one.delete(prefix + "/watch/a")
    equal([next(events).action for _ in range(2)], ["set", "delete"])


def locks():
    first, second = etcd.Lock(one, prefix[1:]), etcd.Lock(two, prefix[1:])
    equal(first.acquire(blocking=True, lock_ttl=60), True)
    equal(second.acquire(blocking=False, lock_ttl=60), False)
    equal((first.is_acquired, second.is_acquired), (True, False))
    got = []
    waiting = threading.Thread(target=lambda: got.append(second.acquire(lock_ttl=60, timeout=30)))
    waiting.start()
    first.release()
    waiting.join()
    equal(got, [True])
    second.release()


def members_and_statistics():
    equal(len(one.machines), len(settings.endpoints))
    members = two.members
    equal(len(members), len(settings.endpoints))
    holds(one.leader["id"] in members, one.leader)
    holds(two.stats["state"] in ("StateLeader", "StateFollower"), two.stats)
    holds(one.store_stats["setsSuccess"] > 0, one.store_stats)
    holds(one.version.startswith("3.") and one.cluster_version.startswith("3."), one.version)


run(write_read, directories, compare_and_swap, times_to_live, watch, locks,
    members_and_statistics)
finish()
