//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// taken is a process's memory in kB, as Linux counts it.
type taken struct {
	now  int // with the program's file
	own  int // now, without
	most int // that now has ever been
}

var memoryField = regexp.MustCompile(`(?m)^(VmRSS|RssAnon|VmHWM):\s+(\d+) kB$`)

// memoryOf is not ok for a process that has ended.
func memoryOf(ts *testscript.TestScript, pid int) (m taken, ok bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	ts.Check(err)
	fields := memoryField.FindAllSubmatch(status, -1)
	for _, field := range fields {
		kB, err := strconv.Atoi(string(field[2]))
		ts.Check(err)
		switch string(field[1]) {
		case "VmRSS":
			m.now = kB
		case "RssAnon":
			m.own = kB
		case "VmHWM":
			m.most = kB
		}
	}
	return m, len(fields) == 3
}

func memory(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "memory NAME MB")
	most, err := strconv.Atoi(args[1])
	ts.Check(err)
	m, ok := memoryOf(ts, r.daemon(ts, args[0]).cmd.Process.Pid)
	if !ok {
		ts.Fatalf("%s has ended", args[0])
	}
	ts.Logf("%s: %.1f MB resident", args[0], float64(m.now)/1024)
	if m.now > most*1024 {
		ts.Fatalf("%s has %.1f MB resident, at most %d MB are allowed", args[0], float64(m.now)/1024, most)
	}
}

// crowdNames are the devices that crowd makes.
func crowdNames(ts *testscript.TestScript, n string) (names []string) {
	count, err := strconv.Atoi(n)
	ts.Check(err)
	for i := range count {
		names = append(names, fmt.Sprintf("urn:dev:crowd-%04d", i+1))
	}
	return names
}

func crowd(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "crowd N")
	factory(ts, r, crowdNames(ts, args[0]))
}

// What a command may take, in kB.
const (
	moreForMany = 1 << 10 // at its peak, over what it takes for one device
	waiting     = 7 << 10 // of its own, once Hash(Password) is there, which alone took that
)

func frugal(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "frugal N")
	names := crowdNames(ts, args[0])
	one, many := assignedTo(ts, r, names[:1]), assignedTo(ts, r, names)
	ts.Logf("one device: %+v kB; %d devices: %+v kB", one, len(names), many)
	if many.most > one.most+moreForMany {
		ts.Fatalf("%d devices take %d kB, one takes %d kB", len(names), many.most, one.most)
	}
	if many.own > waiting {
		ts.Fatalf("%d kB are still taken at the end", many.own)
	}
}

// assignedTo provisions devices that are not there, by one command, and gives
// the command's memory at its last line. It is looked at at each line: the
// counters of an ended process (getrusage) are no less than this test's own,
// which that process shared until its exec.
func assignedTo(ts *testscript.TestScript, r *rig, names []string) (m taken) {
	args := append(strings.Fields("--config pngw.conf provision --user alice --password-file alice.pw --wait 0s"), names...)
	cmd := command(ts, r, "pngw", args)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	assigned := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if strings.HasSuffix(lines.Text(), ": assigned, not yet delivered") {
			assigned++
		}
		if at, ok := memoryOf(ts, cmd.Process.Pid); ok {
			m = at
		}
	}
	exit := new(exec.ExitError)
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 3 || assigned != len(names) {
		ts.Fatalf("%v, %d of %d devices assigned\n%s", err, assigned, len(names), stderr.Bytes())
	}
	return m
}
