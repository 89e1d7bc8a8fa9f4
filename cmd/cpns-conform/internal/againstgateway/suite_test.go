package againstgateway

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var matrix = flag.Bool("matrix", false, "try every case on every faulty gateway, and not only the case that is there for it")

// TestToy: a gateway without a fault passes every case, on a line and at a broker.
func TestToy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config, *toy)
		none   string // the case that is not applicable
	}{"line": {nil, "link-topic"}, "broker": {atBroker, "link-noise"}} {
		t.Run(name, func(t *testing.T) {
			tryToy(t, "", c.change, func(t *testing.T, r *report) {
				for _, k := range r.Cases {
					want := "pass"
					if k.Name == c.none {
						want = "not applicable"
					}
					if k.Verdict != want {
						t.Errorf("%s: %s; expected %s, seen %s%s", k.Name, k.Verdict, k.Expected, k.Seen, k.Reason)
					}
				}
				t.Logf("%d cases in %.0f s", len(r.Cases), r.Seconds)
			})
		})
	}
}

// also are faults that other cases find too, and why.
var also = map[string]struct {
	cases []string
	why   string
}{
	"notification-key": {[]string{"notification-x25519", "hello-another"}, "they open what they get, too"},
	"hello-another":    {[]string{"link-noise"}, "it waits for the answer to its own hello, too"},
	"ack-mac":          {[]string{"ack-hello", "ack-gateway", "ack-type"}, "without its MAC an acknowledgement is bound to nothing"},
}

// TestFaults: for each case there is a gateway that it alone finds fault with.
func TestFaults(t *testing.T) {
	for _, of := range Suite.Cases {
		inPage(t, of.Name, also[of.Name].cases, also[of.Name].why)
		t.Run(of.Name, func(t *testing.T) {
			var args []string
			if !*matrix {
				args = []string{"--only", of.Name}
			}
			var where func(*Config, *toy)
			if of.Name == "link-topic" {
				where = atBroker
			}
			tryToy(t, of.Name, where, func(t *testing.T, r *report) {
				caught := false
				for _, c := range r.Cases {
					switch {
					case c.Name == of.Name:
						caught = c.Verdict == "fail"
						t.Logf("%s: %s; expected %s, seen %s%s", c.Name, c.Verdict, c.Expected, c.Seen, c.Reason)
					case c.Verdict == "fail" && !slices.Contains(also[of.Name].cases, c.Name):
						t.Errorf("is caught by %s too: %s; expected %s, seen %s%s", c.Name, c.Verdict, c.Expected, c.Seen, c.Reason)
					}
				}
				if !caught {
					t.Error("is not caught")
				}
			}, args...)
		})
	}
}

// inPage wants the page to say that a fault is found by other cases too, and why.
func inPage(t *testing.T, of string, also []string, why string) {
	t.Helper()
	if len(also) == 0 {
		return
	}
	page, err := os.ReadFile("../../../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	if row := fmt.Sprintf("| `%s` | `%s` | %s |\n", of, strings.Join(also, "`, `"), why); !strings.Contains(string(page), row) {
		t.Errorf("docs/conformance.md has no row %s", row)
	}
}
