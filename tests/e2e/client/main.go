// What users of etcd's Go client do with it, on three members of the program that is named, and on
// one with TLS and users. Prints a line for each check and ends with 1 if one of them fails.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type world struct {
	*cluster
	*clientv3.Client
}

func main() {
	program, err := filepath.Abs(os.Args[1])
	must(err)
	plain := start(program, 3, "http", "--watch-progress-notify-interval=200ms")
	client := plain.connect(nil)
	ready(client)
	all := world{plain, client}
	run("a transaction is taken or not", func() { transactions(all) })
	run("a prefix in pages, sorted, of the past", func() { ranges(all) })
	run("a lease is kept alive and ends", func() { leases(all) })
	run("a mutex", func() { mutexes(all) })
	run("an election", func() { elections(all) })
	run("software transactional memory", func() { memory(all) })
	run("a namespace", func() { namespaces(all) })
	run("a mirror", func() { mirrors(all) })
	run("a snapshot", func() { snapshots(all) })
	run("members and their status", func() { members(all) })
	run("a compacted watch", func() { compacted(all) })
	run("progress of a watch", func() { progress(all) })
	run("a watch goes on when its member is killed", func() { resumed(all) })
	must(client.Close())
	plain.end()

	run("TLS, users and tokens", func() { secured(program) })
}

func run(name string, act func()) {
	began := time.Now()
	defer func() {
		if why := recover(); why != nil {
			fmt.Printf("FAIL %s: %v\n", name, why)
			os.Exit(1)
		}
		fmt.Printf("ok   %s (%.1fs)\n", name, time.Since(began).Seconds())
	}()
	act()
}
