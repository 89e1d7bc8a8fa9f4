// Tally runs go test and counts what it reports, test by test.
//
//	tally -o FOLDER PACKAGES -- [go test flags]
//
// It prints go test's own line for each package as the package ends, and at the
// end all that a failing test wrote; a passing test prints nothing. A failing
// test may get a second chance, see again.go. FOLDER then holds packages, go
// test's lines, and counts, "PASSED FAILED SKIPPED". The exit code says whether
// everything passed. A package that fails without naming a test, because it did
// not build, timed out or died, is one failure.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	folder := flag.String("o", "", "`folder` for packages and counts")
	flag.Parse()
	split := slices.Index(flag.Args(), "--")
	if *folder == "" || split < 1 {
		fmt.Fprintln(os.Stderr, "usage: tally -o FOLDER PACKAGES -- [go test flags]")
		os.Exit(2)
	}
	ok, err := run(*folder, flag.Args()[:split], flag.Args()[split+1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(folder string, packages, flags []string) (ok bool, err error) {
	test := exec.Command("go", slices.Concat([]string{"test", "-json"}, flags, packages)...)
	test.Stderr = os.Stderr
	stdout, err := test.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := test.Start(); err != nil {
		return false, err
	}
	t := newTally(os.Stdout)
	readErr := t.read(stdout)
	waitErr := test.Wait()
	if readErr != nil {
		return false, readErr
	}
	// go test may fail without an event, on a flag that it does not know say.
	if waitErr != nil && t.failed == 0 {
		t.failed++
	}
	t.settle(func(pkg string, tests []string) ([]byte, error) { return again(flags, pkg, tests) })
	if err := os.WriteFile(filepath.Join(folder, "packages"), t.packages.Bytes(), 0o644); err != nil {
		return false, err
	}
	counts := fmt.Sprintf("%d %d %d\n", t.passed, t.failed, t.skipped)
	if err := os.WriteFile(filepath.Join(folder, "counts"), []byte(counts), 0o644); err != nil {
		return false, err
	}
	return t.failed == 0, nil
}

// event is a line of go test -json: see go doc test2json, and go help buildjson
// for the two that have an ImportPath.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
}

type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	packages                bytes.Buffer
	// What is not yet decided about: output by package and test. A test's is
	// kept if it fails, or if its package does before the test has ended.
	pending  map[string]map[string]*strings.Builder
	failures []*failure // in the order in which they began
}

// failure is a package in which something failed.
type failure struct {
	pkg    string
	tests  []string // that failed, each after its subtests; none if the package failed as a whole
	output bytes.Buffer
	line   string // go test's own line for the package
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, pending: make(map[string]map[string]*strings.Builder)}
}

// failure is the one of that package.
func (t *tally) failure(pkg string) *failure {
	for _, f := range t.failures {
		if f.pkg == pkg {
			return f
		}
	}
	f := &failure{pkg: pkg}
	t.failures = append(t.failures, f)
	return f
}

func (t *tally) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				t.add(e)
			} else {
				t.out.Write(line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading go test: %w", err)
		}
	}
}

func (t *tally) add(e event) {
	switch {
	case e.Action == "build-output":
		io.WriteString(t.out, e.Output)
	case e.Action == "output" && e.Test == "" && strings.HasPrefix(e.Output, "ok  \t"):
		io.WriteString(t.out, e.Output)
		t.packages.WriteString(e.Output)
	case e.Action == "output" && e.Test == "" && strings.HasPrefix(e.Output, "FAIL\t"):
		t.failure(e.Package).line = e.Output
	case e.Action == "output":
		t.buffer(e.Package, e.Test).WriteString(e.Output)
	case e.Test == "" && e.Action == "fail":
		f := t.failure(e.Package)
		if len(f.tests) == 0 {
			t.failed++
		}
		for _, output := range t.pending[e.Package] {
			f.output.WriteString(output.String())
		}
		delete(t.pending, e.Package)
	case e.Test == "" && (e.Action == "pass" || e.Action == "skip"):
		delete(t.pending, e.Package)
	case e.Test != "":
		t.ended(e)
	}
}

func (t *tally) ended(e event) {
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		f := t.failure(e.Package)
		f.tests = append(f.tests, e.Test)
		f.output.WriteString(t.buffer(e.Package, e.Test).String())
	case "skip":
		t.skipped++
		io.WriteString(t.out, t.buffer(e.Package, e.Test).String())
	default: // run, pause, cont, bench, start
		return
	}
	delete(t.pending[e.Package], e.Test)
}

func (t *tally) buffer(pkg, test string) *strings.Builder {
	tests := t.pending[pkg]
	if tests == nil {
		tests = make(map[string]*strings.Builder)
		t.pending[pkg] = tests
	}
	if tests[test] == nil {
		tests[test] = new(strings.Builder)
	}
	return tests[test]
}
