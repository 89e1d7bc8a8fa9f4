//go:build linux

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A board is a Cortex-M3 in QEMU, with the PNE in C as its firmware and a serial
// line. Its flash is a file, NAME.state, and outlives the board: 16 blocks of 4096
// bytes, the first the factory's, then the record's two slots; what is fresh at each
// start is in the last.
const (
	flashBlock = 4096
	flashSize  = 16 * flashBlock
	slotsAt    = flashBlock
	slotsEnd   = 3 * flashBlock
	entropyAt  = flashSize - flashBlock
	boardRAM   = 16 << 20 // what QEMU wants the file to be
)

// firmware builds the firmware, once for all scripts.
var firmware = sync.OnceValues(func() (folder string, err error) {
	folder = filepath.Join(filepath.Dir(plainBin), "firmware")
	out, err := exec.Command("../firmware.sh", folder).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the firmware: %w\n%s", err, out)
	}
	return folder, nil
})

// makeBoard makes a board with the Entity ID and the TK of ENTITY in its flash.
func makeBoard(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "board NAME ENTITY")
	text, err := os.ReadFile(r.path(args[1] + ".tk"))
	ts.Check(err)
	tk, err := hex.DecodeString(strings.TrimSpace(string(text)))
	ts.Check(err)
	flash := bytes.Repeat([]byte{0xff}, flashSize)
	copy(flash, "CPNSFACT")
	copy(flash[8:16], []byte{byte(len(args[1])), byte(len(tk)), 0, 0, 0, 0, 0, 0})
	copy(flash[16:80], append([]byte(args[1]), make([]byte, 64)...))
	copy(flash[80:144], append(tk, make([]byte, 64)...))
	state := r.path(args[0] + ".state")
	ts.Check(os.WriteFile(state, flash, 0o600))
	ts.Check(os.Truncate(state, boardRAM))
}

// power gives a board its power. KIND is counter, without a random generator and
// without X25519, or x25519.
func power(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 3, "power NAME KIND LINE")
	r.start(ts, args[0], "qemu-system-arm", r.qemu(ts, args[0], args[1], args[2])...)
}

// qemu is what QEMU is called with for a board, whose flash has entropy then.
func (r *rig) qemu(ts *testscript.TestScript, name, kind, line string) []string {
	for _, program := range []string{"arm-none-eabi-gcc", "qemu-system-arm"} {
		if _, err := exec.LookPath(program); err != nil {
			r.missing(program)
		}
	}
	folder, err := firmware()
	ts.Check(err)
	entropy := make([]byte, 48)
	rand.Read(entropy)
	r.inFlash(ts, name, func(f *os.File) {
		_, err := f.WriteAt(entropy, entropyAt)
		ts.Check(err)
	})
	return []string{
		"-M", "mps2-an385,memory-backend=flash",
		"-object", fmt.Sprintf("memory-backend-file,id=flash,mem-path=%s,size=%d,share=on", r.path(name+".state"), boardRAM),
		"-chardev", "serial,id=line,path=" + r.path(line+".pne"), "-serial", "chardev:line",
		"-chardev", "stdio,id=console", "-serial", "chardev:console",
		"-kernel", filepath.Join(folder, "pne-"+kind+".elf"),
		"-display", "none", "-monitor", "none", "-nic", "none",
	}
}

func (r *rig) inFlash(ts *testscript.TestScript, name string, do func(*os.File)) {
	f, err := os.OpenFile(r.path(name+".state"), os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	do(f)
}

// cut takes a board's power away in the middle of storing: after BYTES of its slots
// have changed.
func cut(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "cut NAME BYTES")
	p := r.daemon(ts, args[0])
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	r.inFlash(ts, args[0], func(f *os.File) {
		before, now := r.slots(ts, f), []byte(nil)
		for deadline := time.Now().Add(patience); ; {
			now = r.slots(ts, f)
			if changed(before, now) >= want {
				break
			}
			if time.Now().After(deadline) || !p.running() {
				ts.Fatalf("%s stored nothing in %v", args[0], patience)
			}
		}
		p.kill()
		fmt.Fprintf(ts.Stdout(), "cut when %d bytes had changed\n", changed(before, r.slots(ts, f)))
	})
}

func (r *rig) slots(ts *testscript.TestScript, f *os.File) []byte {
	slots := make([]byte, slotsEnd-slotsAt)
	if _, err := f.ReadAt(slots, slotsAt); err != nil && !errors.Is(err, io.EOF) {
		ts.Fatalf("%v", err)
	}
	return slots
}

func changed(a, b []byte) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// cloneBoard copies a board's flash, as whoever has it in hand for an hour could.
func cloneBoard(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "clone NAME OTHER")
	r.inFlash(ts, args[0], func(from *os.File) {
		flash := make([]byte, flashSize)
		_, err := from.ReadAt(flash, 0)
		ts.Check(err)
		ts.Check(os.WriteFile(r.path(args[1]+".state"), flash, 0o600))
		ts.Check(os.Truncate(r.path(args[1]+".state"), boardRAM))
	})
}

// posix starts the PNE in C as a program of this machine, built with that port of
// cryptography, under the sanitizers.
func posix(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 3, "posix NAME PORT ARGS…")
	port := args[1]
	r.start(ts, args[0], r.posixProgram(ts, port), args[2:]...)
}

// posixProgram builds it, once for all scripts.
func (r *rig) posixProgram(ts *testscript.TestScript, port string) string {
	for _, header := range []string{"/usr/include/mosquitto.h", "/usr/include/bearssl.h", "/usr/include/psa/crypto.h"} {
		if _, err := os.Stat(header); err != nil {
			r.missing(header)
		}
	}
	if _, err := exec.LookPath("cc"); err != nil {
		r.missing("cc")
	}
	program := filepath.Join(raceBin, "pne-posix-"+port)
	if _, err := os.Stat(program); err != nil {
		build := exec.Command("../pne-posix.sh", port, raceBin)
		build.Env = append(os.Environ(), "CFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all")
		if out, err := build.CombinedOutput(); err != nil {
			ts.Fatalf("building: %v\n%s", err, out)
		}
	}
	return program
}
