package device

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/internal/command"
)

// The faults are named like the cases that find them. These are found by others too,
// which cannot be made otherwise.
var inevitable = map[string]struct {
	others []string
	why    string
}{
	"hello-at-once": {[]string{"line-spoken-to"}, "who is always late is late beside others, too"},
	"notification-after-refusal": {
		[]string{"notification-bound", "notification-chain", "notification-key-size", "notification-stale-index", "refusal-changes-nothing"},
		"they have one hello, and more than one refusal",
	},
	"challenge-answered": {
		[]string{"power-cut", "power-stored", "refusal-changes-nothing", "update-moves", "update-stay"},
		"they have the device prove what it holds",
	},
	"update-moves": {
		[]string{"power-stored", "update-replay", "update-unasked"},
		"they go on from a key that was acknowledged",
	},
	"update-after-refusal": {
		[]string{"update-chain", "update-key-size", "update-stale", "update-wrong-gateway", "update-wrong-key"},
		"they have one challenge, and more than one refusal",
	},
	"stream-half-frame": {[]string{"stream-noise"}, "half a frame is noise"},
}

// report is what the tests read of one.
type report struct {
	Passed, Failed, Undecided int
	Cases                     []struct{ Name, Verdict, Expected, Seen, Reason string }
}

// names are the cases with that verdict.
func (r *report) names(verdict string) (names []string) {
	for _, c := range r.Cases {
		if c.Verdict == verdict {
			names = append(names, c.Name)
		}
	}
	return names
}

// try runs cases on a device, in a time of its own.
func try(t *testing.T, s *sloppy, args ...string) report {
	t.Helper()
	return tryOver(t, s, func(c Carrier) (Carrier, func(on bool)) { return c, func(bool) {} }, args...)
}

// tryOver is try with another carrier around the line's, which is told when the power goes
// and comes back.
func tryOver(t *testing.T, s *sloppy, around func(Carrier) (Carrier, func(on bool)), args ...string) (r report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.e, s.tk, s.power = "urn:dev:meter-0001", random(16), make(chan chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ours, theirs := newLine()
		ended := make(chan struct{})
		go func() { defer close(ended); s.live(ctx, theirs) }()
		carrier, powered := around(OverPort(func() (Port, error) { return ours, nil }, 500*time.Millisecond))
		r = tryOn(t, Config{
			Entity: s.e, Gateway: "cpns-conform", TK: s.tk,
			Carrier: carrier,
			PowerCycle: func(ctx context.Context) error {
				back := make(chan struct{})
				time.Sleep(30 * time.Millisecond) // a relay
				s.power <- back
				powered(false)
				time.Sleep(100 * time.Millisecond)
				powered(true)
				close(back)
				return nil
			},
		}, true, args...)
		cancel()
		<-ended
	})
	return r
}

// tryOn runs the suite as the command does; look says whether it looks first.
func tryOn(t *testing.T, c Config, look bool, args ...string) (r report) {
	t.Helper()
	var o conform.Options
	f := flag.NewFlagSet("", flag.ContinueOnError)
	o.Declare(f)
	if err := f.Parse(append(args, "--json", "-")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := Suite.Run(t.Context(), &o, &command.Console{Stdout: &out, Stderr: &out}, conform.Party[*Bench]{
		Name: c.Entity,
		Reach: func(ctx context.Context) (*Bench, func(), error) {
			b := New(ctx, c)
			if err := b.WaitUp(ctx, time.Second); err != nil || !look {
				return b, b.Close, err
			}
			_, err := b.Look(ctx)
			return b, b.Close, err
		},
	})
	var exit *command.Exit
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	return r
}

// TestGood: a device that does everything right fails nothing, and whatever it is, most
// cases apply to it.
func TestGood(t *testing.T) {
	for _, tt := range []struct {
		name             string
		x25519, volatile bool
		most             int // not applicable
	}{{"stored", false, false, 7}, {"volatile", false, true, 7}, {"x25519", true, false, 3}} {
		t.Run(tt.name, func(t *testing.T) {
			r := try(t, &sloppy{x25519: tt.x25519, volatile: tt.volatile})
			for _, c := range r.Cases {
				if c.Verdict == "fail" || c.Verdict == "undecided" {
					t.Errorf("%s: %s: expected %s, seen %s%s", c.Name, c.Verdict, c.Expected, c.Seen, c.Reason)
				}
			}
			if n := len(r.names("not applicable")); n > tt.most || len(r.Cases) != len(Suite.Cases) {
				t.Errorf("%d of %d cases are not applicable: %q", n, len(r.Cases), r.names("not applicable"))
			}
		})
	}
}

// TestKnownEpoch: a device that has lost its key, and knows a higher epoch than the kit
// begins with, is not taken for one that refuses.
func TestKnownEpoch(t *testing.T) {
	for _, epoch := range []uint64{1, 50, 1000, 2800} {
		r := try(t, &sloppy{volatile: true, flash: flash{epoch: epoch}}, "--only", "notification-taken,power-volatile")
		if r.Passed != 2 {
			t.Errorf("epoch %d: %+v", epoch, r.Cases)
		}
	}
}

// TestMutants: each case finds a device that does wrong what it is about, and no other
// case does. Under the race detector each device is tried on some of the others only.
func TestMutants(t *testing.T) {
	for name := range inevitable {
		if !slices.ContainsFunc(Suite.Cases, func(c conform.Case[*Bench]) bool { return c.Name == name }) {
			t.Errorf("%s: there is no such case", name)
		}
	}
	for i, c := range Suite.Cases {
		t.Run(c.Name, func(t *testing.T) {
			s := &sloppy{fault: c.Name}
			switch c.Name {
			case "x25519-missing", "x25519-zero", "x25519-high-bit", "x25519-wiped", "power-x25519":
				s.x25519 = true
			case "power-volatile", "power-no-key":
				s.volatile = true
			}
			var args []string
			if raceDetector {
				some := append([]string{c.Name}, inevitable[c.Name].others...)
				for k := i % 16; k < len(Suite.Cases); k += 16 {
					some = append(some, Suite.Cases[k].Name)
				}
				args = []string{"--only", strings.Join(some, ",")}
			}
			r := try(t, s, args...)
			want := append([]string{c.Name}, inevitable[c.Name].others...)
			got := r.names("fail")
			slices.Sort(got)
			slices.Sort(want)
			if slices.Equal(got, want) && r.Undecided == 0 {
				return
			}
			for _, c := range r.Cases {
				if (c.Verdict == "fail" || c.Verdict == "undecided") && !slices.Contains(want, c.Name) {
					t.Logf("%s: %s: expected %s, seen %s%s", c.Name, c.Verdict, c.Expected, c.Seen, c.Reason)
				}
			}
			t.Errorf("found by %q, want %q", got, want)
		})
	}
}
