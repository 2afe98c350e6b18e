package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

var ctx = context.Background()

func put(kv clientv3.KV, key, value string) int64 {
	answer, err := kv.Put(ctx, key, value)
	must(err)
	return answer.Header.Revision
}

func value(kv clientv3.KV, key string) string {
	answer, err := kv.Get(ctx, key)
	must(err)
	if len(answer.Kvs) == 0 {
		return ""
	}
	return string(answer.Kvs[0].Value)
}

func transactions(w world) {
	absent := clientv3.Compare(clientv3.CreateRevision("txn/a"), "=", 0)
	take := func() bool {
		answer, err := w.Txn(ctx).If(absent).Then(clientv3.OpPut("txn/a", "1")).
			Else(clientv3.OpGet("txn/a")).Commit()
		must(err)
		return answer.Succeeded
	}
	check(take() && !take(), "a key is made once")
	_, err := w.Txn(ctx).Then(clientv3.OpPut("x", "1"), clientv3.OpPut("x", "2")).Commit()
	check(err == rpctypes.ErrDuplicateKey, "twice the same key: %v", err)
}

func ranges(w world) {
	for number := range 25 {
		put(w, fmt.Sprintf("range/%02d", number), fmt.Sprint(number))
	}
	page, err := w.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithLimit(10),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend))
	must(err)
	check(len(page.Kvs) == 10 && page.More && page.Count == 25, "a page: %v", page)
	check(string(page.Kvs[0].Key) == "range/24", "the newest is first")
	before := page.Header.Revision
	_, err = w.Delete(ctx, "range/", clientv3.WithPrefix())
	must(err)
	past, err := w.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithRev(before), clientv3.WithCountOnly())
	must(err)
	check(past.Count == 25, "the past: %v", past)
	// A client of its own that refuses to see time go back.
	ordered := ordering.NewKV(w.KV, func(clientv3.Op, clientv3.OpResponse, int64) error {
		return fmt.Errorf("an older revision")
	})
	for range 20 {
		_, err = ordered.Get(ctx, "range/00")
		must(err)
	}
	cached, stop, err := leasing.NewKV(w.Client, "leasing/")
	must(err)
	defer stop()
	put(cached, "cached", "1")
	check(value(cached, "cached") == "1" && value(cached, "cached") == "1", "a leased key")
}

func leases(w world) {
	kept, err := w.Grant(ctx, 2)
	must(err)
	_, err = w.Put(ctx, "lease/kept", "1", clientv3.WithLease(kept.ID))
	must(err)
	alive, cancel := context.WithCancel(ctx)
	answers, err := w.KeepAlive(alive, kept.ID)
	must(err)
	for range 6 {
		answer, open := <-answers
		check(open && answer.TTL == 2, "kept alive: %v %v", answer, open)
	}
	left, err := w.TimeToLive(ctx, kept.ID, clientv3.WithAttachedKeys())
	must(err)
	check(left.GrantedTTL == 2 && len(left.Keys) == 1, "what is left: %v", left)
	cancel()
	gone := w.Watch(ctx, "lease/kept")
	for answer := range gone {
		if len(answer.Events) > 0 {
			check(answer.Events[0].Type == clientv3.EventTypeDelete, "%v", answer.Events[0])
			break
		}
	}
	_, err = w.KeepAliveOnce(ctx, kept.ID)
	check(err == rpctypes.ErrLeaseNotFound, "a lease that ended: %v", err)
}

func session(w world, ttl int) *concurrency.Session {
	made, err := concurrency.NewSession(w.Client, concurrency.WithTTL(ttl))
	must(err)
	return made
}

func mutexes(w world) {
	first, second := session(w, 10), session(w, 10)
	defer second.Close()
	held, wanted := concurrency.NewMutex(first, "mutex"), concurrency.NewMutex(second, "mutex")
	must(held.Lock(ctx))
	check(wanted.TryLock(ctx) == concurrency.ErrLocked, "it is locked")
	locked := make(chan error, 1)
	go func() { locked <- wanted.Lock(ctx) }()
	// The lease of who holds it ends.
	must(first.Close())
	must(<-locked)
	must(wanted.Unlock(ctx))
}

func elections(w world) {
	first, second := session(w, 10), session(w, 10)
	defer first.Close()
	defer second.Close()
	a, b := concurrency.NewElection(first, "election"), concurrency.NewElection(second, "election")
	must(a.Campaign(ctx, "a"))
	won := make(chan error, 1)
	go func() { won <- b.Campaign(ctx, "b") }()
	seen := b.Observe(ctx)
	check(string((<-seen).Kvs[0].Value) == "a", "a leads")
	must(a.Proclaim(ctx, "a2"))
	check(string((<-seen).Kvs[0].Value) == "a2", "a leads with another word")
	must(a.Resign(ctx))
	must(<-won)
	leader, err := b.Leader(ctx)
	must(err)
	check(string(leader.Kvs[0].Value) == "b", "b leads")
}

func memory(w world) {
	done := make(chan error)
	put(w, "stm", "0")
	for range 4 {
		go func() {
			for range 5 {
				_, err := concurrency.NewSTM(w.Client, func(stm concurrency.STM) error {
					var count int
					fmt.Sscan(stm.Get("stm"), &count)
					stm.Put("stm", fmt.Sprint(count+1))
					return nil
				})
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		must(<-done)
	}
	check(value(w, "stm") == "20", "no addition is lost: %s", value(w, "stm"))
}

func namespaces(w world) {
	within := namespace.NewKV(w.KV, "space/")
	put(within, "a", "1")
	check(value(w, "space/a") == "1", "the key has the prefix")
	answer, err := within.Get(ctx, "", clientv3.WithPrefix())
	must(err)
	check(len(answer.Kvs) == 1 && string(answer.Kvs[0].Key) == "a", "%v", answer.Kvs)
}

func mirrors(w world) {
	for number := range 30 {
		put(w, fmt.Sprintf("mirror/%d", number), "x")
	}
	syncer := mirror.NewSyncer(w.Client, "mirror/", 0)
	base, errors := syncer.SyncBase(ctx)
	count := 0
	for answer := range base {
		count += len(answer.Kvs)
	}
	must(<-errors)
	check(count == 30, "%d keys", count)
	updates := syncer.SyncUpdates(ctx)
	put(w, "mirror/new", "y")
	answer := <-updates
	check(string(answer.Events[0].Kv.Key) == "mirror/new", "%v", answer.Events[0])
}

func snapshots(w world) {
	file, err := w.Snapshot(ctx)
	must(err)
	bytes, err := io.ReadAll(file)
	must(err)
	check(len(bytes)%512 == 32, "%d bytes: pages and a checksum", len(bytes))
}

func members(w world) {
	list, err := w.MemberList(ctx)
	must(err)
	check(len(list.Members) == 3, "%v", list.Members)
	leaders := 0
	for _, endpoint := range w.Endpoints() {
		status, err := w.Status(ctx, endpoint)
		must(err)
		if status.Leader == status.Header.MemberId {
			leaders++
		}
	}
	check(leaders == 1, "%d leaders", leaders)
	must(w.Sync(ctx))
	check(len(w.Endpoints()) == 3, "%v", w.Endpoints())
	next, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = w.MemberAdd(next, []string{"http://127.0.0.1:1"})
	check(err == nil || err == rpctypes.ErrUnhealthy, "%v", err)
	if err == nil {
		list, err = w.MemberList(ctx)
		must(err)
		for _, one := range list.Members {
			if one.Name == "" {
				_, err = w.MemberRemove(ctx, one.ID)
				must(err)
			}
		}
	}
}
