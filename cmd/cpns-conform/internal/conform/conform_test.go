package conform

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/internal/command"
)

// fake is the party of these tests.
type fake struct{ stop func() }

var suite = Suite[*fake]{Name: "fake", Cases: []Case[*fake]{
	{Name: "good", Clause: "1", Says: "it is good", Run: func(_ context.Context, t *T, _ *fake) {
		t.Sent("question", []byte{1, 2})
		t.Heard("answer", bytes.Repeat([]byte{0xab}, 40))
		t.Note("the end of %s", "it")
	}},
	{Name: "bad-one", Clause: "2", Says: "it is not bad", Run: func(_ context.Context, t *T, _ *fake) {
		t.Fail("good\nness", "\x1b[31mbad<ness>")
	}},
	{Name: "bad-late", Clause: "3", Says: "it ends", Limit: time.Minute, Run: func(ctx context.Context, t *T, _ *fake) {
		<-ctx.Done()
	}},
	{Name: "foreign", Clause: "4", Says: "it is a fish", Run: func(_ context.Context, t *T, _ *fake) {
		t.NotApplicable("no %s", "fish")
	}},
	{Name: "open", Clause: "5", Says: "it is decided", Run: func(_ context.Context, t *T, _ *fake) {
		t.Undecided("the relay does not answer")
	}},
	{Name: "stop", Clause: "6", Says: "it is stopped", Run: func(ctx context.Context, t *T, f *fake) {
		f.stop()
		<-ctx.Done()
		t.Fail("nothing", "what comes after the end")
	}},
	{Name: "flood", Clause: "7", Says: "it holds its tongue", Run: func(_ context.Context, t *T, _ *fake) {
		for range 10000 {
			t.Heard("noise", make([]byte, 512))
		}
	}},
}}

// runFake runs the suite as a command would.
func runFake(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var o Options
	f := flag.NewFlagSet("", flag.ContinueOnError)
	o.Declare(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	left := false
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err = suite.Run(ctx, &o, &command.Console{Stdout: &out, Stderr: &out}, Party[*fake]{
		Name: "a fake",
		Reach: func(ctx context.Context) (*fake, func(), error) {
			return &fake{stop}, func() { left = true }, nil
		},
	})
	if strings.Contains(out.String(), "passed") && !left {
		t.Error("the party was not left")
	}
	return out.String(), err
}

// code is the exit code that err stands for.
func code(err error) int {
	var exit *command.Exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	}
	return command.Failed
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		only string
		code int
		want []string // in the text
	}{
		{"good", 0, []string{"pass  good", "1 passed, 0 failed, 0 not applicable, in"}},
		{"good,foreign", 0, []string{"n/a   foreign", "no fish", "1 passed, 0 failed, 1 not applicable"}},
		{"bad-one,good", NotConforming, []string{
			"FAIL  bad-one", "says:     it is not bad (2)", `expected: good\x0aness`, `seen:     \x1b[31mbad<ness>`, "1 passed, 1 failed",
		}},
		{"open,good", command.Failed, []string{"????  open", "the relay does not answer", "1 passed, 0 failed, 0 not applicable, 1 undecided"}},
		{"open,bad-one", NotConforming, []string{"0 passed, 1 failed, 0 not applicable, 1 undecided"}},
		{"foreign", command.Failed, []string{"0 passed, 0 failed, 1 not applicable"}},
		{"good,stop,flood", command.Failed, []string{"pass  good", "1 passed, 0 failed, 0 not applicable, stopped before 2 more"}},
		{"bad-one,stop", NotConforming, []string{"0 passed, 1 failed, 0 not applicable, stopped before 1 more"}},
	} {
		t.Run(tt.only, func(t *testing.T) {
			got, err := runFake(t, "--only", tt.only)
			if code(err) != tt.code {
				t.Errorf("exit code %d (%v), want %d", code(err), err, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}

// A case that does not end of itself has failed at its deadline.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r, whole := try(t.Context(), &suite.Cases[2], &fake{}, true)
		if !whole || r.Verdict != Fail || r.Seen != "no end of it within 1m0s" || r.Seconds != 60 || time.Since(begun) != time.Minute {
			t.Errorf("%+v after %v", r, time.Since(begun))
		}
	})
}

// A fault of the kit's own is no verdict.
func TestPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a panic became a verdict")
		}
	}()
	try(t.Context(), &Case[*fake]{Run: func(context.Context, *T, *fake) { panic("a fault") }}, nil, false)
}

func TestSelection(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // the names
	}{
		{[]string{"--list"}, "good bad-one bad-late foreign open stop flood"},
		{[]string{"--list", "--only", "bad-*, good"}, "good bad-one bad-late"},
		{[]string{"--list", "--skip", "bad-*,stop"}, "good foreign open flood"},
		{[]string{"--list", "--only", "*o*", "--skip", "g*"}, "bad-one foreign open stop flood"},
	} {
		got, err := runFake(t, tt.args...)
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
		}
		var names []string
		for line := range strings.Lines(got) {
			names = append(names, strings.Fields(line)[0])
		}
		if names = names[1 : len(names)-1]; strings.Join(names, " ") != tt.want {
			t.Errorf("%q: %q, want %q", tt.args, names, tt.want)
		}
	}
	for _, args := range [][]string{
		{"--only", "godo"}, {"--skip", "good,none"}, {"--only", "good", "--skip", "good"}, {"--only", "["},
		{"--only", "good,"}, {"--json", "-", "--junit", "-"},
	} {
		got, err := runFake(t, args...)
		if code(err) == 0 || got != "" {
			t.Errorf("%q: %v, %q", args, err, got)
		}
	}
}

// The trace is there on demand, and bounded.
func TestTrace(t *testing.T) {
	got, _ := runFake(t, "--only", "good")
	if strings.Contains(got, "question") {
		t.Errorf("a trace that nobody asked for:\n%s", got)
	}
	got, _ = runFake(t, "--only", "good", "--bytes")
	for _, want := range []string{
		"sent   question, 2 bytes\n", "    0102\n", "heard  answer, 40 bytes\n",
		"    " + strings.Repeat("ab", 32) + "\n", "    " + strings.Repeat("ab", 8) + "\n", "note   the end of it\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	r, _ := try(t.Context(), &suite.Cases[6], &fake{}, true)
	if n := len(r.Trace); n == 0 || n*(512*2+entryOverhead) > maxTrace || n+r.TraceLost != 10000 {
		t.Errorf("%d entries kept, %d lost", n, r.TraceLost)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	jsonFile, junitFile := filepath.Join(dir, "report.json"), filepath.Join(dir, "report.xml")
	text, err := runFake(t, "--only", "good,bad-one,foreign,open", "--bytes", "--json", jsonFile, "--junit", junitFile)
	if code(err) != NotConforming || !strings.Contains(text, "1 passed") {
		t.Fatalf("%v\n%s", err, text)
	}
	var report struct {
		Kit, Party                string
		Passed, Failed, Undecided int
		Not_applicable            int
		Conforms                  bool
		Cases                     []struct {
			Name, Clause, Verdict, Expected, Seen, Reason string
			Trace                                         []Entry
		}
	}
	raw, _ := os.ReadFile(jsonFile)
	if err := json.Unmarshal(raw, &report); err != nil {
		t.Fatal(err)
	}
	if report.Kit != "cpns-conform fake" || report.Party != "a fake" || report.Passed != 1 || report.Failed != 1 || report.Undecided != 1 ||
		report.Not_applicable != 1 || report.Conforms || len(report.Cases) != 4 {
		t.Errorf("%+v", report)
	}
	if c := report.Cases[1]; c.Verdict != "fail" || c.Expected != "good\nness" || c.Seen != "\x1b[31mbad<ness>" || c.Clause != "2" {
		t.Errorf("%+v", c)
	}
	if c := report.Cases[0]; c.Verdict != "pass" || len(c.Trace) != 3 || c.Trace[0].Bytes != "0102" {
		t.Errorf("%+v", c)
	}
	if bytes.Contains(raw, []byte{0x1b}) {
		t.Error("the JSON acts on a terminal")
	}
	raw, _ = os.ReadFile(junitFile)
	var junit struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(raw, &junit); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	if junit.Tests != 4 || junit.Failures != 1 || junit.Errors != 1 || junit.Skipped != 1 || len(junit.Cases) != 4 ||
		junit.Cases[0].Failure != nil || junit.Cases[1].Failure == nil || junit.Cases[2].Skipped == nil || junit.Cases[3].Error == nil {
		t.Errorf("%+v", junit)
	}

	if text, err = runFake(t, "--only", "good", "--json", "-"); err != nil || json.Unmarshal([]byte(text), &report) != nil || !report.Conforms {
		t.Errorf("%v\n%s", err, text)
	}
	if text, err = runFake(t, "--only", "good", "--json", filepath.Join(dir, "none", "report.json")); err == nil || strings.Contains(text, "pass") {
		t.Errorf("%v\n%s", err, text)
	}
}
