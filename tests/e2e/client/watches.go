package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func compacted(w world) {
	put(w, "old", "1")
	last := put(w, "old", "2")
	_, err := w.Compact(ctx, last, clientv3.WithCompactPhysical())
	must(err)
	answer := <-w.Watch(ctx, "old", clientv3.WithRev(last-1))
	check(answer.Err() == rpctypes.ErrCompacted, "%v", answer.Err())
	check(answer.CompactRevision == last, "compacted at %d", answer.CompactRevision)
}

func progress(w world) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := w.Watch(watching, "idle", clientv3.WithProgressNotify(), clientv3.WithCreatedNotify())
	check((<-idle).Created, "it is told of its creation")
	last := put(w, "other", "1")
	for answer := range idle {
		if answer.IsProgressNotify() && answer.Header.Revision >= last {
			break
		}
	}
	// Asked for, on a stream of its own.
	asking, end := context.WithCancel(context.WithValue(ctx, world{}, "own"))
	defer end()
	asked := w.Watch(clientv3.WithRequireLeader(asking), "idle")
	must(w.RequestProgress(clientv3.WithRequireLeader(asking)))
	eventually("progress", func() bool {
		must(w.RequestProgress(clientv3.WithRequireLeader(asking)))
		answer := <-asked
		return answer.IsProgressNotify() && answer.Header.Revision >= last
	})
}

func resumed(w world) {
	const writes = 60
	first := w.members[0]
	near, err := clientv3.New(clientv3.Config{Endpoints: w.endpoints()})
	must(err)
	defer near.Close()
	near.SetEndpoints(first.client)
	watching := near.Watch(ctx, "resume/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	check((<-watching).Created, "it is told of its creation")
	near.SetEndpoints(w.endpoints()...)
	far, err := clientv3.New(clientv3.Config{Endpoints: w.endpoints()[1:]})
	must(err)
	defer far.Close()
	for number := range writes {
		if number == writes/3 {
			w.kill(first)
		}
		eventually("a write", func() bool {
			// In doubt whether it was done it is not done twice: the value is the number.
			absent := clientv3.Compare(clientv3.CreateRevision(fmt.Sprintf("resume/%02d", number)), "=", 0)
			_, err := far.Txn(ctx).If(absent).Then(clientv3.OpPut(fmt.Sprintf("resume/%02d", number), "x")).Commit()
			return err == nil
		})
		if number == 2*writes/3 {
			w.spawn(first)
		}
	}
	next := 0
	for next < writes {
		answer, open := <-watching
		check(open && answer.Err() == nil, "the watch ended: %v", answer.Err())
		for _, event := range answer.Events {
			wanted := fmt.Sprintf("resume/%02d", next)
			check(string(event.Kv.Key) == wanted, "%s instead of %s", event.Kv.Key, wanted)
			next++
		}
	}
}

// A server's pair that it also shows as a client, by openssl.
func pair(directory string) (string, string) {
	cert, key := filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem")
	output, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=root", "-addext",
		"subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert).CombinedOutput()
	check(err == nil, "openssl: %s", output)
	return cert, key
}

func secured(program string) {
	directory, err := os.MkdirTemp("", "check-client-tls")
	must(err)
	defer os.RemoveAll(directory)
	cert, key := pair(directory)
	one := start(program, 1, "https", "--cert-file", cert, "--key-file", key,
		"--trusted-ca-file", cert, "--client-cert-auth", "--auth-token-ttl=1")
	defer one.end()
	files := transport.TLSInfo{CertFile: cert, KeyFile: key, TrustedCAFile: cert}
	config, err := files.ClientConfig()
	must(err)
	with := func(user, password string) func(*clientv3.Config) {
		return func(settings *clientv3.Config) {
			settings.TLS, settings.Username, settings.Password = config, user, password
		}
	}
	root := one.connect(with("", ""))
	defer root.Close()
	ready(root)
	for _, name := range []string{"root", "alice"} {
		_, err = root.UserAdd(ctx, name, "pw-"+name)
		must(err)
		_, err = root.RoleAdd(ctx, name)
		must(err)
		_, err = root.UserGrantRole(ctx, name, name)
		must(err)
	}
	_, err = root.RoleGrantPermission(ctx, "alice", "a/", clientv3.GetPrefixRangeEnd("a/"),
		clientv3.PermissionType(clientv3.PermReadWrite))
	must(err)
	_, err = root.AuthEnable(ctx)
	must(err)

	// The certificate says who asks.
	put(root, "other", "1")
	alice := one.connect(with("alice", "pw-alice"))
	defer alice.Close()
	put(alice, "a/1", "1")
	_, err = alice.Get(ctx, "other")
	check(err == rpctypes.ErrPermissionDenied, "%v", err)
	denied := <-alice.Watch(ctx, "other")
	check(denied.Err() != nil, "a watch of what may not be read")
	// Its token ends within a second if it is not used; the client gets another one.
	eventually("an answer after the token's end", func() bool {
		status, err := root.AuthStatus(ctx)
		must(err)
		return status.Enabled
	})
	_, err = root.UserChangePassword(ctx, "alice", "new")
	must(err)
	_, err = clientv3.New(clientv3.Config{
		Endpoints: one.endpoints(), TLS: config, Username: "alice", Password: "pw-alice",
	})
	check(err == rpctypes.ErrAuthFailed, "the old password: %v", err)
	_, err = root.AuthDisable(ctx)
	must(err)

	// Without a certificate nobody is let in.
	bare, err := clientv3.New(clientv3.Config{
		Endpoints: one.endpoints(),
		TLS:       &tls.Config{RootCAs: config.RootCAs},
	})
	must(err)
	defer bare.Close()
	short, cancel := context.WithTimeout(ctx, 2e9)
	defer cancel()
	_, err = bare.Get(short, "a/1")
	check(err != nil, "a client without a certificate is served")
}
