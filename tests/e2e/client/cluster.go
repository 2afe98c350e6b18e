package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Members of a cluster, each a process of the program that is checked.
type cluster struct {
	program   string
	directory string
	members   []*member
	extra     []string
}

type member struct {
	name, client, peer string
	process            *exec.Cmd
}

// A port that nobody has at the moment.
func freePort() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func start(program string, count int, scheme string, extra ...string) *cluster {
	directory, err := os.MkdirTemp("", "check-client")
	must(err)
	found := &cluster{program: program, directory: directory, extra: extra}
	for number := range count {
		found.members = append(found.members, &member{
			name:   fmt.Sprintf("n%d", number+1),
			client: fmt.Sprintf("%s://127.0.0.1:%d", scheme, freePort()),
			peer:   fmt.Sprintf("http://127.0.0.1:%d", freePort()),
		})
	}
	for _, one := range found.members {
		found.spawn(one)
	}
	return found
}

func (c *cluster) spawn(one *member) {
	var founders []string
	for _, other := range c.members {
		founders = append(founders, other.name+"="+other.peer)
	}
	log, err := os.OpenFile(filepath.Join(c.directory, one.name+".log"),
		os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(err)
	defer log.Close()
	one.process = exec.Command(c.program, append([]string{
		"--name", one.name, "--data-dir", filepath.Join(c.directory, one.name),
		"--listen-client-urls", one.client, "--advertise-client-urls", one.client,
		"--listen-peer-urls", one.peer, "--initial-advertise-peer-urls", one.peer,
		"--initial-cluster", strings.Join(founders, ","),
	}, c.extra...)...)
	one.process.Stdout, one.process.Stderr = log, log
	// No member outlives this program.
	one.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(one.process.Start())
}

func (c *cluster) kill(one *member) {
	must(one.process.Process.Kill())
	_ = one.process.Wait()
}

func (c *cluster) end() {
	for _, one := range c.members {
		c.kill(one)
	}
	must(os.RemoveAll(c.directory))
}

func (c *cluster) endpoints() []string {
	var urls []string
	for _, one := range c.members {
		urls = append(urls, one.client)
	}
	return urls
}

func (c *cluster) connect(change func(*clientv3.Config)) *clientv3.Client {
	config := clientv3.Config{Endpoints: c.endpoints(), DialTimeout: 20 * time.Second}
	if change != nil {
		change(&config)
	}
	client, err := clientv3.New(config)
	must(err)
	return client
}

// Waits until requests are answered.
func ready(client *clientv3.Client) {
	eventually("an answer", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err := client.Get(ctx, "anything")
		return err == nil
	})
}

func eventually(what string, holds func() bool) {
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
	}
	panic("no " + what + " within a minute")
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, what string, values ...any) {
	if !holds {
		panic(fmt.Sprintf(what, values...))
	}
}
