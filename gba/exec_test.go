package gba

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func program(t *testing.T, script string) *Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sim")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Program{path}
}

// TestProgram: RAND and AUTN go in, and what comes out is a vector.
func TestProgram(t *testing.T) {
	p := program(t, `case $1 in
identity) echo '{"imsi": "001010123456789", "mnc_length": 2}' ;;
authenticate)
	read -r rand
	read -r autn
	echo "{\"res\": \"$autn\", \"ck\": \"$rand\", \"ik\": \"$autn\"}" ;;
esac`)
	if s, err := p.Subscriber(t.Context()); err != nil || s != (Subscriber{"001010123456789", 2}) {
		t.Errorf("%+v, %v", s, err)
	}
	rand, autn := [16]byte{1, 2}, [16]byte{3, 4}
	v, err := p.Authenticate(t.Context(), rand, autn)
	if err != nil || v.CK != rand || v.IK != autn || hex.EncodeToString(v.RES) != hex.EncodeToString(autn[:]) {
		t.Errorf("%x, %v", v.RES, err)
	}
}

func TestProgramRefuses(t *testing.T) {
	secret := strings.Repeat("5a", 16)
	var sync *SyncError
	for script, want := range map[string]string{
		`echo '{"error": "mac"}'`:                                                  ErrMAC.Error(),
		`echo '{"error": "no card"}'`:                                              ErrNoCard.Error(),
		`printf %s '{"error": "reader\n gone"}'`:                                   "sim: reader? gone",
		`echo no reader >&2; exit 3`:                                               "exit status 3: no reader",
		`echo '{"res": "aabbcc", "ck": "` + secret + `"}'`:                         "ck and ik are not 16 bytes in hex",
		`echo '{"res": "aa", "ck": "x` + secret + `"}'`:                            "its answer is no JSON as expected",
		`echo '{"auts": "00"}'`:                                                    "auts is not 14 bytes in hex",
		`echo '{}{}'`:                                                              "its answer is no JSON as expected",
		`while :; do echo 0123456789abcdef; done`:                                  "it says more than 4096 bytes",
		`echo '{"auts": "` + strings.Repeat("00", 14) + `"}'`:                      "synchronisation failure",
		`echo '{"res": "aabbcc", "ck": "` + secret + `", "ik": "` + secret + `"}'`: "RES has 3 bytes",
	} {
		v, err := program(t, script).Authenticate(t.Context(), [16]byte{}, [16]byte{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "5a5a") {
			t.Errorf("%s: %v, %v, want %q", script, v, err, want)
		}
		if strings.Contains(script, "auts\": \"0000") != errors.As(err, &sync) {
			t.Errorf("%s: %T", script, err)
		}
	}
	if _, err := (&Program{"/nonexistent/sim"}).Subscriber(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

// TestProgramEnds: a stop ends the program and what it has started.
func TestProgramEnds(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	p := program(t, "sleep 3600 & echo $! >"+started+".new; mv "+started+".new "+started+"; wait")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { _, err := p.Subscriber(ctx); ended <- err }()
	for {
		if _, err := os.Stat(started); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	pid, err := os.ReadFile(started)
	if err != nil {
		t.Fatal(err)
	}
	state := func() string {
		stat, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		_, after, _ := strings.Cut(string(stat), ") ")
		return strings.SplitN(after+" ", " ", 2)[0]
	}
	// Nobody may have collected it yet: a zombie has ended.
	for deadline := time.Now().Add(10 * time.Second); state() != "" && state() != "Z"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the program's child goes on, state %s", state())
		}
	}
}
