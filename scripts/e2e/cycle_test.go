//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cycle switches a device on whose power cpns-conform takes away and gives back: by
// NAME.cycle, a program as --power-cycle wants it, and as a lab's relay comes with one.
// Such a device does not end cleanly, ever, so it is no daemon. What it prints is in
// log/NAME.
func cycle(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "cycle NAME PROGRAM ARGS… (board KIND LINE: a Cortex-M3; posix-PORT: the PNE in C)")
	name, program, rest := args[0], args[1], args[2:]
	refresh := ""
	switch port, posix := strings.CutPrefix(program, "posix-"); {
	case posix:
		program = r.posixProgram(ts, port)
	case program == "board":
		usage(ts, rest, 2, "cycle NAME board KIND LINE")
		program, rest = "qemu-system-arm", r.qemu(ts, name, rest[0], rest[1])
		refresh = fmt.Sprintf("dd if=/dev/urandom of=%s bs=1 seek=%d count=48 conv=notrunc 2>/dev/null\n", quote(r.path(name+".state")), entropyAt)
	default:
		found, err := lookIn(ts.Getenv("PATH"), program)
		ts.Check(err)
		program = found
	}
	var words []string
	for _, word := range append([]string{program}, rest...) {
		words = append(words, quote(word))
	}
	pid, script := quote(r.path(name+".pid")), r.path(name+".cycle")
	text := "#!/bin/sh\nset -eu\ncd " + quote(r.work) + "\n" +
		"if [ -s " + pid + " ]; then\n\tread -r pid <" + pid + "\n\tkill -KILL \"$pid\" 2>/dev/null || true\n" +
		"\twhile [ -d \"/proc/$pid\" ] && ! grep -q '^State:.Z' \"/proc/$pid/status\" 2>/dev/null; do sleep 0.01; done\nfi\n" +
		"[ \"${1:-on}\" = on ] || exit 0\n" + refresh +
		"setsid " + strings.Join(words, " ") + " >>log/" + quote(name) + " 2>&1 </dev/null &\necho $! >" + pid + "\n"
	ts.Check(os.WriteFile(script, []byte(text), 0o755))
	r.cycled = append(r.cycled, script)
	if out, err := exec.Command(script).CombinedOutput(); err != nil {
		ts.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// switchOff takes the power of all of them away for good.
func (r *rig) switchOff() {
	for _, script := range r.cycled {
		if out, err := exec.Command(script, "off").CombinedOutput(); err != nil {
			r.tb.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// quote is a word as a shell takes it.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// lookIn finds a program in a script's PATH.
func lookIn(path, program string) (string, error) {
	for _, folder := range filepath.SplitList(path) {
		if info, err := os.Stat(filepath.Join(folder, program)); err == nil && !info.IsDir() {
			return filepath.Join(folder, program), nil
		}
	}
	return "", fmt.Errorf("%s: not in %s", program, path)
}
