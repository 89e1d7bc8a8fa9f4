package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// failed is what go test says of a package with those failing tests.
func failed(output string, tests ...string) string {
	var s strings.Builder
	for _, test := range tests {
		s.WriteString(`{"Action":"output","Package":"p","Test":"` + test + `","Output":"` + output + `\n"}` + "\n")
		s.WriteString(`{"Action":"fail","Package":"p","Test":"` + test + `"}` + "\n")
	}
	return s.String() + `{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}` + "\n" + `{"Action":"fail","Package":"p"}`
}

func TestSecondChance(t *testing.T) {
	for _, tt := range []struct {
		name           string
		events         string
		passes         bool // when run again
		again          []string
		passed, failed int
		packages       string
	}{
		{"an accident", failed("got 1, want 2", "TestA/b", "TestA"), true, []string{"TestA"}, 2, 0, "UNSTEADY: TestA failed once"},
		{"a fault", failed("got 1, want 2", "TestA"), false, []string{"TestA"}, 0, 1, "FAIL\tp"},
		{"too many", failed("got 1, want 2", "TestA", "TestB", "TestC", "TestD"), true, nil, 0, 4, "FAIL\tp"},
		{"a race", failed("WARNING: DATA RACE", "TestA"), true, nil, 0, 1, "FAIL\tp"},
		{"a panic", failed("panic: nil map", "TestA"), true, nil, 0, 1, "FAIL\tp"},
		{"no test is named", failed(""), true, nil, 0, 1, "FAIL\tp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			tally := newTally(&out)
			if err := tally.read(strings.NewReader(tt.events)); err != nil {
				t.Fatal(err)
			}
			var again []string
			tally.settle(func(pkg string, tests []string) ([]byte, error) {
				if again = tests; tt.passes {
					return nil, nil
				}
				return []byte("as before"), errors.New("exit status 1")
			})
			if !slices.Equal(again, tt.again) || tally.passed != tt.passed || tally.failed != tt.failed || !strings.Contains(tally.packages.String(), tt.packages) {
				t.Errorf("ran %q again, %d passed, %d failed, packages %q", again, tally.passed, tally.failed, tally.packages.String())
			}
			if tt.failed > 0 && tt.again != nil && !strings.Contains(out.String(), "as before") {
				t.Errorf("the second failure is not shown: %q", out.String())
			}
		})
	}
}

// TestAgain: the real go test, on a test that passes from the second time on, from the
// third time on, and never.
func TestAgain(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for name, text := range map[string]string{
		"go.mod": "module unsteady\n\ngo 1.24\n",
		"x_test.go": `package unsteady

import (
	"os"
	"testing"
)

func late(t *testing.T, n int) {
	tries, _ := os.ReadFile(t.Name())
	os.WriteFile(t.Name(), append(tries, '.'), 0o600)
	if len(tries) < n {
		t.Fatal("not yet")
	}
}

func TestSecond(t *testing.T) { late(t, 1) }
func TestThird(t *testing.T)  { late(t, 2) }
func TestNever(t *testing.T)  { late(t, 1000) }
`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for test, want := range map[string]bool{"TestSecond": true, "TestThird": false, "TestNever": false} {
		ok, err := run(folder, []string{"./..."}, []string{"-count", "1", "-run", "^" + test + "$"})
		counts, _ := os.ReadFile("counts")
		wantCounts := "0 1 0\n"
		if want {
			wantCounts = "1 0 0\n"
		}
		if err != nil || ok != want || string(counts) != wantCounts {
			t.Errorf("%s: %v %v, counts %q", test, ok, err, counts)
		}
	}
}
