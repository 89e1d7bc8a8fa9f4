package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
	"cpns.example.net/pngw/cpns/server/sqlite"
)

// victimEnv makes the test binary a server that answers the requests that it reads
// until it is killed.
const victimEnv = "CPNS_SERVER_TEST_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(victimEnv); path != "" {
		if err := answerForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(clientsEnv) != "" {
		if err := beClients(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	pgtest.StopShared() // of benchmarks
	os.Exit(code)
}

// answerForEver reads the master key and then request bodies in hex, a line each,
// and writes the bodies of the answers.
func answerForEver(path string) error {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	key := new(server.MasterKey)
	if _, err := hex.Decode(key[:], in.Bytes()); err != nil {
		return err
	}
	s, err := server.New(ctx, server.Config{Store: store, MasterKey: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for in.Scan() {
		body, err := hex.DecodeString(in.Text())
		if err != nil {
			return err
		}
		req := httptest.NewRequest("POST", cpns.AssignmentPath, bytes.NewReader(body))
		req.Header.Set("Content-Type", cpns.ContentType)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		fmt.Printf("%x\n", w.Body.Bytes())
	}
	return in.Err()
}

// A victim is a server in a process of its own.
type victim struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func startVictim(r *rig) *victim {
	v := &victim{cmd: exec.Command(os.Args[0])}
	v.cmd.Env = append(os.Environ(), victimEnv+"="+r.path)
	v.cmd.Stderr = os.Stderr
	in, err := v.cmd.StdinPipe()
	must(r.t, err)
	out, err := v.cmd.StdoutPipe()
	must(r.t, err)
	if err := v.cmd.Start(); errors.Is(err, syscall.ENOEXEC) && os.Getenv("CI") == "" {
		r.t.Skipf("the test binary cannot run itself here: %v", err)
	} else {
		must(r.t, err)
	}
	v.in, v.out = in, bufio.NewScanner(out)
	fmt.Fprintf(v.in, "%x\n", r.key[:])
	return v
}

// ask says false where the server died before it answered.
func (v *victim) ask(r *rig, body []byte) (*cpns.EUKeyAssignmentResponse, bool) {
	r.t.Helper()
	fmt.Fprintf(v.in, "%x\n", body)
	if !v.out.Scan() {
		return nil, false
	}
	answer, err := hex.DecodeString(v.out.Text())
	must(r.t, err)
	got, err := cpns.OpenResponse(r.gateways["gw-1"], "gw-1", body, answer)
	if err != nil {
		r.t.Fatalf("%v: %s", err, answer)
	}
	return got, true
}

// A server that is killed at any moment has kept every assignment that it
// answered, and gives the one that was lost on the way to whoever asks again.
func TestKilled(t *testing.T) {
	const rounds, perRound = 12, 60 // fewer than the gateway's budget
	r := newRig(t)
	r.clock.now = time.Now()
	must(t, r.store.Close())

	type exchange struct {
		body []byte
		got  *cpns.EUKeyAssignmentResponse // nil where the answer was lost
	}
	var last exchange
	var epoch cpns.Epoch
	lost := 0
	for range rounds {
		v := startVictim(r)
		if last.body != nil {
			again, ok := v.ask(r, last.body)
			if !ok || again.Status != cpns.Success {
				t.Fatalf("the same request after the crash: %v", again)
			}
			if last.got != nil && (again.Epoch != last.got.Epoch || !slices.Equal(again.EUKeys, last.got.EUKeys)) {
				t.Fatalf("epoch %d was answered, epoch %d is kept", last.got.Epoch, again.Epoch)
			}
			if last.got == nil {
				lost++
				if again.Epoch <= epoch {
					t.Fatalf("the lost request: epoch %d after %d", again.Epoch, epoch)
				}
			}
			epoch = again.Epoch
		}
		timer := time.AfterFunc(time.Duration(rand.IntN(40_000))*time.Microsecond, func() { v.cmd.Process.Kill() })
		for range perRound {
			last = exchange{body: r.seal("gw-1", r.request("alice", "pne-1"))}
			got, ok := v.ask(r, last.body)
			if !ok {
				break
			}
			if got.Status != cpns.Success || got.Epoch <= epoch {
				t.Fatalf("got %v in epoch %d after %d", got.Status, got.Epoch, epoch)
			}
			last.got, epoch = got, got.Epoch
		}
		timer.Stop()
		v.cmd.Process.Kill()
		v.cmd.Wait()
	}
	t.Logf("%d rounds, %d answers lost", rounds, lost)
}
