package main

import (
	"errors"
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	tests := []struct {
		name                    string
		events                  string
		passed, failed, skipped int
		shows, hides            []string
		packages                string
	}{
		{
			name: "a pass says nothing",
			events: `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}`,
			passed: 1, shows: []string{"ok  \tp\t0.1s"}, hides: []string{"chatter"}, packages: "ok  \tp\t0.1s\n",
		},
		{
			name: "a failure and a skip say all",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"no broker\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}`,
			failed: 1, skipped: 1, shows: []string{"got 1, want 2", "no broker"}, packages: "FAIL\tp\t0.1s\n",
		},
		{
			name: "a package that did not build is a failure",
			events: `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			failed: 1, shows: []string{"undefined: x", "[build failed]"}, packages: "FAIL\tp [build failed]\n",
		},
		{
			name: "a test that never ended is shown, and its package is a failure",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t600s\n"}
{"Action":"fail","Package":"p"}`,
			failed: 1, shows: []string{"timed out"}, packages: "FAIL\tp\t600s\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			tally := newTally(&out)
			if err := tally.read(strings.NewReader(test.events)); err != nil {
				t.Fatal(err)
			}
			tally.settle(func(string, []string) ([]byte, error) { return nil, errors.New("fails again") })
			if tally.passed != test.passed || tally.failed != test.failed || tally.skipped != test.skipped {
				t.Errorf("got %d passed, %d failed, %d skipped, want %d, %d, %d",
					tally.passed, tally.failed, tally.skipped, test.passed, test.failed, test.skipped)
			}
			for _, want := range test.shows {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not shown in:\n%s", want, out.String())
				}
			}
			for _, secret := range test.hides {
				if strings.Contains(out.String(), secret) {
					t.Errorf("%q is shown in:\n%s", secret, out.String())
				}
			}
			if got := tally.packages.String(); got != test.packages {
				t.Errorf("packages: got %q, want %q", got, test.packages)
			}
		})
	}
}
