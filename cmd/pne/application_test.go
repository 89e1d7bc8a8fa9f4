package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// runsApplication runs a program until the test ends, or end is called. The program
// writes to $OUT.
func runsApplication(t *testing.T, command string, retries ...time.Duration) (p *application, out string, end func()) {
	t.Helper()
	out = filepath.Join(t.TempDir(), "out")
	t.Setenv("OUT", out)
	p = newApplication(command, cpns.ApplicationTLS13, os.Stderr, slog.New(slog.DiscardHandler))
	p.retries = retries
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx) })
	end = func() { cancel(); running.Wait() }
	t.Cleanup(end)
	return p, out, end
}

func says(t *testing.T, file, want string) {
	t.Helper()
	var got []byte
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if got, _ = os.ReadFile(file); strings.Contains(string(got), want) {
			return
		}
	}
	t.Fatalf("%s has %q, want %q", file, got, want)
}

// The program gets its identity and key, and neither its command line nor its environment
// has the key; the next key ends it and starts it anew; none ends it.
func TestApplicationRuns(t *testing.T) {
	p, out, _ := runsApplication(t, `read -r key <&3; env | grep -c "$key" >>"$OUT"; tr '\0' ' ' </proc/$$/cmdline | grep -c "$key" >>"$OUT"
trap 'echo ended >>"$OUT"; exit' TERM; echo "$PSK_IDENTITY $PSK_LABEL $key" >>"$OUT"; sleep 100 & wait`)
	p.give(&applicationKey{"meter%3A1", cpns.ApplicationKey{1, 2}})
	first := "0\n0\nmeter%3A1 tls13-psk 0102" + strings.Repeat("00", 30) + "\n"
	says(t, out, first)
	p.give(&applicationKey{"meter%3A1", cpns.ApplicationKey{9}})
	says(t, out, first+"ended\n0\n0\nmeter%3A1 tls13-psk 09"+strings.Repeat("00", 31)+"\n")
	p.give(nil)
	says(t, out, "00\nended\n")
}

// One that fails is tried again with its key, and then the device is told.
func TestApplicationFails(t *testing.T) {
	p, out, end := runsApplication(t, `read -r key <&3; echo "try $key" >>"$OUT"; exit 3`, time.Millisecond, time.Millisecond)
	p.give(&applicationKey{"x", cpns.ApplicationKey{7}})
	<-p.failed
	end()
	text, err := os.ReadFile(out)
	if want := strings.Repeat("try 07"+strings.Repeat("00", 31)+"\n", 3); err != nil || string(text) != want {
		t.Errorf("got %q, %v, want %q", text, err, want)
	}
}

// One that does not heed SIGTERM is killed with all that it has started.
func TestApplicationStubborn(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	p, out, end := runsApplication(t, `trap '' TERM; echo here >>"$OUT"; while :; do sleep 1; done`)
	p.give(&applicationKey{"x", cpns.ApplicationKey{7}})
	says(t, out, "here")
	begun := time.Now()
	end()
	if took := time.Since(begun); took < dying || took > 4*dying {
		t.Errorf("it ended after %v", took)
	}
}

func TestRefusals(t *testing.T) {
	var r refusals
	now := time.Unix(1e9, 0)
	r.since = now
	var got []time.Duration
	for range 9 {
		got = append(got, r.failed(now))
	}
	if got[0] != refusedFirst || got[1] != 2*refusedFirst || got[8] != refusedLast {
		t.Errorf("got %v", got)
	}
	if d := r.failed(now.Add(refusedWell)); d != refusedFirst {
		t.Errorf("after a good while: %v", d)
	}
}
