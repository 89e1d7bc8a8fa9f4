package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
	"cpns.example.net/pngw/cpns/server/servertest"
	"cpns.example.net/pngw/internal/sleep"
)

var (
	failoverRounds = flag.Int("failover.rounds", 1, "rounds of TestFailover")
	failoverTime   = flag.Duration("failover.time", 6*time.Second, "how long one of them loads the servers")
	failoverLoad   = flag.Int("failover.gateways", 40, "gateways that load them")
)

// Three servers on PostgreSQL with a synchronous standby, under load: the primary is
// killed and the standby promoted, servers are killed and started, connections are cut
// in the middle of COMMIT. Afterwards every set that a gateway was told is the one that
// the same request gets again, the epochs of a PNE never went back, and no PNE has two
// owners. make failover runs it longer, with 200 gateways.
func TestFailover(t *testing.T) {
	for round := range *failoverRounds {
		t.Run(fmt.Sprint("round ", round+1), testFailover)
	}
}

func testFailover(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Settings{"max_connections": "100", "wal_level": "replica"})
	standby := pgtest.New(t)
	standby.CopyOf(primary, "standby")
	standby.Configure(nil)
	standby.Run()
	// Not before there is a standby: the first commit would wait for it.
	primary.Exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
	primary.Exec("SELECT pg_reload_conf()")

	var cuts cutting
	dirs := []string{cuts.inFrontOf(t, primary), cuts.inFrontOf(t, standby)}
	url := fmt.Sprintf("postgres://cpns@/postgres?host=%s,%s&port=5432,5432&connect_timeout=2", dirs[0], dirs[1])
	store, err := postgres.Create(t.Context(), postgres.Config{URL: primary.URL("postgres")})
	if err != nil {
		t.Fatal(err)
	}
	const contested = 20
	fleet := servertest.Fill(t, store, *failoverLoad, *failoverLoad+contested)
	store.Close()

	var replicas []*replica
	for range 3 {
		r := &replica{t: t, data: filepath.Join(t.TempDir(), "data"), store: url}
		output(t, exec.Command("cpns-server", "init", "--data", r.data), false, "")
		key := filepath.Join(r.data, "master.key")
		os.Remove(key)
		write(t, key, hex.EncodeToString(fleet.Key[:])+"\n", 0o400)
		r.start()
		defer r.kill()
		replicas = append(replicas, r)
	}

	ctx, stop := context.WithTimeout(t.Context(), *failoverTime)
	defer stop()
	l := &load{t: t, fleet: fleet, replicas: replicas, until: ctx}
	l.client = &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 32, // what is told is verified under PSK1
	}}
	cuts.on.Store(true)
	var wg sync.WaitGroup
	for g := range fleet.Gateways {
		wg.Go(func() { l.gateway(g, fleet.PNEs[g], fleet.PNEs[len(fleet.Gateways)+rand.N(contested)]) })
	}
	kills := 0
	killing := make(chan struct{})
	go func() {
		defer close(killing)
		for sleep.For(ctx, 500*time.Millisecond+rand.N(time.Second)) == nil {
			r := replicas[rand.N(len(replicas))]
			r.kill()
			kills++
			if sleep.For(ctx, rand.N(300*time.Millisecond)) != nil {
				r.start()
				return
			}
			r.start()
		}
	}()
	sleep.For(ctx, *failoverTime/3)
	primary.Kill()
	lost := time.Now()
	standby.Promote()
	<-killing
	wg.Wait()
	cuts.on.Store(false)

	l.verify()
	t.Logf("%d sets told to %d gateways, %d requests sent again, %d refused for another owner; %d servers killed, %d connections cut in COMMIT; first answer %v after the primary's end",
		len(l.told), len(fleet.Gateways), l.again.Load(), l.refused.Load(), kills, cuts.cut.Load(), l.firstAfter(lost).Round(time.Millisecond))
	if len(l.told) < len(fleet.Gateways) || cuts.cut.Load() == 0 || l.again.Load() == 0 {
		t.Error("too little has happened to show anything")
	}
	oneOwner(t, standby.URL("postgres"), l)
	auditHolds(t, standby.URL("postgres"), l)
}

// auditHolds checks that the audit log is whole after all of it, and has every set that
// was told.
func auditHolds(t *testing.T, url string, l *load) {
	store, err := postgres.New(postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	op, err := server.NewOperator(t.Context(), store, l.fleet.Key, "tester")
	if err != nil {
		t.Fatal(err)
	}
	found, err := op.VerifyAudit(t.Context(), server.Head{}, func(seq int64, what string) { t.Errorf("audit log, event %d: %s", seq, what) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("audit log: %d events under %d seals, %d not sealed yet", found.Events, found.Seals, found.Unsealed)
	if found.Unsigned > 0 || found.Seals == 0 {
		t.Errorf("audit log: %+v", found)
	}
	logged := make(map[string]bool)
	if err := op.Audit(t.Context(), time.Time{}, func(e server.Event) error {
		logged[fmt.Sprint(e.Entity, " ", e.Epoch)] = true
		return nil
	}); err != nil {
		t.Error(err)
	}
	for _, s := range l.told {
		if set := fmt.Sprint(s.req.PNE, " ", s.epoch); !logged[set] {
			t.Errorf("the audit log does not have %s, which was told", set)
		}
	}
}

// A replica is a cpns-server that is killed and started.
type replica struct {
	t           *testing.T
	data, store string // "" for the folder's own

	mu  sync.Mutex
	cmd *exec.Cmd
	url string // "" while it does not listen
}

func (r *replica) start() {
	args := []string{"run", "--data", r.data, "--listen", "127.0.0.1:0"}
	if r.store != "" {
		args = append(args, "--store", r.store)
	}
	cmd := exec.Command("cpns-server", args...)
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.t.Error(err)
		return
	}
	line := make([]byte, 100)
	n, _ := out.Read(line)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cmd = cmd
	r.url, _ = strings.CutPrefix(strings.TrimSpace(string(line[:n])), "listening on ")
}

func (r *replica) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd != nil {
		r.cmd.Process.Kill()
		r.cmd.Wait()
		r.cmd, r.url = nil, ""
	}
}

func (r *replica) address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.url
}

// A set is one that a gateway was told.
type set struct {
	req   *servertest.Request
	user  cpns.UserID
	epoch cpns.Epoch
	keys  []cpns.EUKey
	at    time.Time
}

type load struct {
	t              *testing.T
	fleet          *servertest.Fleet
	replicas       []*replica
	client         *http.Client
	until          context.Context
	again, refused atomic.Int64

	mu   sync.Mutex
	told []set
}

// gateway asks for keys of a PNE of its own and of one that others want too, and sends
// each request again until it is answered, as a gateway does.
func (l *load) gateway(g int, own, contested cpns.EntityID) {
	user := []cpns.UserID{l.fleet.User, l.fleet.Other}[g%2]
	last := map[cpns.EntityID]cpns.Epoch{}
	for n := 0; l.until.Err() == nil; n++ {
		e := []cpns.EntityID{own, own, contested}[n%3]
		req, err := l.fleet.RequestOf(user, g, e, time.Now())
		if err != nil {
			l.t.Error(err)
			return
		}
		got := l.send(req)
		switch {
		case got == nil:
			l.t.Errorf("gateway %d: no answer", g)
			return
		case got.Status == cpns.PNEOwnedByAnotherUser:
			l.refused.Add(1)
		case got.Status != cpns.Success:
			l.t.Errorf("gateway %d: %v", g, got.Status)
		default:
			if got.Epoch <= last[e] {
				l.t.Errorf("PNE %s: epoch %d after %d", e, got.Epoch, last[e])
			}
			last[e] = got.Epoch
			l.mu.Lock()
			l.told = append(l.told, set{req, user, got.Epoch, got.EUKeys, time.Now()})
			l.mu.Unlock()
		}
		sleep.For(l.until, rand.N(300*time.Millisecond))
	}
}

// send sends a request to one server after the other until it is answered.
func (l *load) send(req *servertest.Request) *cpns.EUKeyAssignmentResponse {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if url := l.replicas[rand.N(len(l.replicas))].address(); url != "" {
			got, err := l.fleet.Send(context.Background(), l.client, url, req)
			if err == nil {
				return got
			}
			if s := servertest.Status(err); s != 0 && s != http.StatusServiceUnavailable && s != http.StatusTooManyRequests {
				l.t.Errorf("refused: %v", err)
				return nil
			}
		}
		l.again.Add(1)
		time.Sleep(rand.N(100 * time.Millisecond))
	}
	return nil
}

// verify asks again for every set that was told.
func (l *load) verify() {
	epochs := map[string][]cpns.EUKey{}
	for _, s := range l.told {
		again := l.send(s.req)
		if again == nil || again.Status != cpns.Success || again.Epoch != s.epoch || !slices.Equal(again.EUKeys, s.keys) {
			l.t.Errorf("PNE %s, epoch %d: the same request gets %+v", s.req.PNE, s.epoch, again)
		}
		key := fmt.Sprint(s.req.PNE, " ", s.epoch)
		if other, twice := epochs[key]; twice && !slices.Equal(other, s.keys) {
			l.t.Errorf("PNE %s: epoch %d was given twice", s.req.PNE, s.epoch)
		}
		epochs[key] = s.keys
	}
}

// firstAfter is how long after a time the first set was told that was asked for later.
func (l *load) firstAfter(at time.Time) time.Duration {
	for _, s := range l.told { // in the order of the answers
		if s.at.After(at.Add(50 * time.Millisecond)) {
			return s.at.Sub(at)
		}
	}
	return -1
}

// oneOwner fails where sets of one PNE were told to two users, or where the database
// has another owner.
func oneOwner(t *testing.T, url string, l *load) {
	store, err := postgres.New(postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	owners := map[cpns.EntityID]cpns.UserID{}
	for _, s := range l.told {
		if owner, known := owners[s.req.PNE]; known && owner != s.user {
			t.Errorf("PNE %s is %s's and %s's", s.req.PNE, owner, s.user)
		}
		owners[s.req.PNE] = s.user
	}
	if err := store.View(t.Context(), func(tx server.Tx) error {
		for e, owner := range owners {
			if p, err := tx.PNE(e); err != nil || p.Owner != owner {
				t.Errorf("PNE %s: the database says %s, %v, and %s was told", e, p.Owner, err, owner)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// cutting are the connections to databases that are cut in the middle of COMMIT: before
// it has arrived, or before the answer has.
type cutting struct {
	on  atomic.Bool
	cut atomic.Int64
}

// inFrontOf listens in place of a server and gives the folder of the socket.
func (c *cutting) inFrontOf(t *testing.T, db *pgtest.Server) string {
	dir, err := os.MkdirTemp("/tmp", "cut-")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ln.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go c.pass(conn, filepath.Join(db.Folder, fmt.Sprintf(".s.PGSQL.%d", db.Port)))
		}
	}()
	return dir
}

// commits reports whether a COMMIT is in what is sent: by its name, or, where it was prepared
// and is sent with what a group of assignments writes, with their events.
func commits(b []byte) bool {
	return bytes.Contains(b, []byte("COMMIT")) || bytes.Contains(b, []byte(server.EventAssigned))
}

func (c *cutting) pass(client net.Conn, socket string) {
	defer client.Close()
	db, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer db.Close()
	go func() {
		defer client.Close()
		defer db.Close()
		io.Copy(client, db)
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if c.on.Load() && commits(buf[:n]) && rand.N(15) == 0 {
			c.cut.Add(1)
			switch rand.N(3) {
			case 0:
				db.Write(buf[:n])
				client.Close() // the answer is lost
				time.Sleep(10 * time.Millisecond)
			case 1:
				db.Write(buf[:n/2])
			}
			return
		}
		if _, err := db.Write(buf[:n]); err != nil {
			return
		}
	}
}
