package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// A few tests of many thousands may fail because the machine was busy elsewhere. They
// are run again, alone, and must pass times in a row; they are then counted as passed,
// and named, with what they wrote when they failed: such a test is unsteady, and wants
// mending. More than most of them at once is no accident.
const (
	most  = 3
	times = 3
)

// What is never an accident: a data race, and a program that died.
var final = regexp.MustCompile(`(?m)DATA RACE|^panic: |^fatal error: |^SIG[A-Z]+: `)

// settle gives the failures their second chance and then reports all of them. rerun
// runs the tests of a package, and returns what they wrote if they do not all pass.
func (t *tally) settle(rerun func(pkg string, tests []string) ([]byte, error)) {
	count := 0
	chance := true
	for _, f := range t.failures {
		count += len(f.whole())
		if len(f.tests) == 0 || final.Match(f.output.Bytes()) {
			chance = false
		}
	}
	for _, f := range t.failures {
		var output []byte
		var err error
		if chance && count <= most {
			if output, err = rerun(f.pkg, f.whole()); err == nil {
				t.unsteady(f)
				continue
			}
		}
		t.out.Write(f.output.Bytes())
		if err != nil {
			fmt.Fprintf(t.out, "Run again by themselves: %v\n%s", err, output)
		}
		fmt.Fprint(t.out, f.line)
		t.packages.WriteString(f.line)
	}
}

// unsteady counts a failure as passed, and says so.
func (t *tally) unsteady(f *failure) {
	t.failed -= len(f.tests)
	t.passed += len(f.tests)
	line := fmt.Sprintf("ok  \t%s\tUNSTEADY: %s failed once and then passed %d times\n", f.pkg, strings.Join(f.whole(), ", "), times)
	t.packages.WriteString(line)
	fmt.Fprint(t.out, line)
	for l := range bytes.Lines(f.output.Bytes()) {
		fmt.Fprintf(t.out, "  | %s", l)
	}
}

// whole are the failed tests without the subtests, each once.
func (f *failure) whole() (names []string) {
	for _, test := range f.tests {
		name, _, _ := strings.Cut(test, "/")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// again runs tests of a package by themselves, with the flags of the first time.
func again(flags []string, pkg string, tests []string) ([]byte, error) {
	args := slices.Concat([]string{"test"}, flags,
		[]string{"-count", fmt.Sprint(times), "-failfast", "-run", "^(" + strings.Join(tests, "|") + ")$", pkg})
	return exec.Command("go", args...).CombinedOutput()
}
