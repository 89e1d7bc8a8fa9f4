//go:build linux

// Package e2e drives the real programs, end to end, by the scripts in testdata.
// A script is one story: what is typed, what must be printed, what must hold
// afterwards. After each, every file and every output of every program is
// searched for secrets, and every program must have ended cleanly. Beside the programs
// there is gbalab, a mobile operator and a SIM; $BSF is free for it.
//
// Besides testscript's own, scripts have these commands:
//
//	factory ENTITY…              make devices: ENTITY.tk, and a line in tks.csv
//	server OPTIONS…              a CPNS Server of user alice, gateway gw-0001 and tks.csv
//	gateway LINK…                a gateway with these links of: rs232, broker
//	router NAME ARGS…            another, not enrolled: NAME.conf, with OPTION=VALUE and links
//	broker                       mosquitto, the same port each time
//	plug, unplug LINE            a serial cable, LINE.gw and LINE.pne being its ends
//	noise LINE BYTES             random bytes towards the gateway and the device
//	daemon NAME PROGRAM ARGS…    run in the background, again after it has ended
//	await NAME REGEXP            wait until NAME prints it, after what was awaited before
//	listens ADDRESS              wait until something takes TCP there
//	end NAME, crash NAME         by SIGTERM, with exit code 0; by SIGKILL
//	ok PROGRAM ARGS…             run, exit code 0; <FILE as last argument is its input
//	typed PAGE COMMAND IS=HERE…  run a command of docs/PAGE; all of them have to be
//	fenced PAGE WORD FILE        write the block of docs/PAGE that is fenced with WORD
//	exits CODE PROGRAM ARGS…     the same with another exit code
//	until REGEXP PROGRAM ARGS…   run again and again until it prints that
//	plain                        programs without the race detector from here on
//	tap, replay                  record what devices publish; publish it all again
//	flood FROM TO                publish hellos of invented Entity IDs
//	memory NAME MB               NAME's resident memory is at most that
//	crowd N                      make N devices, as factory does
//	relay                        relay TCP from $RELAY to $SERVER; $FRONT is free for a proxy
//	lose N, lost N               it loses the next N answers; wait until it has lost N
//	frugal N                     provision N of them at once; it takes as much memory as for one
//	disk FOLDER PAGES            a file system of that size; needs root
//	fill FOLDER PAGES            leave that many pages free, of 4096 bytes
//	board NAME ENTITY            make a microcontroller with the PNE in C: a Cortex-M3 in QEMU
//	power NAME KIND LINE         switch it on, firmware counter or x25519, its UART on LINE
//	cut NAME BYTES               take its power away after so many bytes of a key were written
//	clone NAME OTHER             copy its flash
//	posix NAME PORT ARGS…        run the PNE in C as a program, cryptography by bearssl or psa
//	cycle NAME PROGRAM ARGS…     switch a device on; NAME.cycle takes its power away and gives it back
//	pad BYTES                    leave that many bytes in the last page of the gateway's log
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Where the programs are: built with the race detector, and as shipped.
var raceBin, plainBin string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "pngw-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	raceBin, plainBin = filepath.Join(folder, "race"), filepath.Join(folder, "plain")
	if err := build(plainBin, "CGO_ENABLED=0"); err != nil {
		return 0, err
	}
	if err := build(raceBin, "CGO_ENABLED=1", "-race"); err != nil {
		if os.Getenv("CI") == "true" {
			return 0, err
		}
		fmt.Fprintln(os.Stderr, "e2e: without the race detector, which needs a C compiler:", err)
		raceBin = plainBin
	}
	return m.Run(), nil
}

func build(folder, cgo string, flags ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-tags=nethttpomithttp2"}, flags...)
	cmd := exec.Command("go", append(args, "-o", folder+"/", "../../cmd/...", "../../scripts/gbalab")...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(cmd.Args[1:], " "), err, out)
	}
	return nil
}

func TestScripts(t *testing.T) { runScripts(t, "testdata") }

func runScripts(t *testing.T, folder string) {
	testscript.Run(t, testscript.Params{
		Dir:                folder,
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			r, err := newRig(env)
			if err != nil {
				return err
			}
			env.Values[rigKey{}] = r
			env.Defer(r.finish)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"factory": positive(factory),
			"server":  positive(server),
			"gateway": positive(gateway),
			"router":  positive(router),
			"broker":  positive(broker),
			"plug":    positive(plug),
			"unplug":  positive(unplug),
			"noise":   positive(noise),
			"daemon":  positive(startDaemon),
			"await":   positive(await),
			"listens": positive(listens),
			"end":     positive(end),
			"crash":   positive(crash),
			"ok":      positive(ok),
			"typed":   positive(typed),
			"fenced":  positive(fenced),
			"exits":   positive(exits),
			"until":   positive(until),
			"plain":   positive(plain),
			"tap":     positive(tap),
			"replay":  positive(replay),
			"flood":   positive(flood),
			"memory":  positive(memory),
			"relay":   positive(relay),
			"lose":    positive(lose),
			"lost":    positive(lost),
			"crowd":   positive(crowd),
			"frugal":  positive(frugal),
			"disk":    positive(disk),
			"fill":    positive(fill),
			"board":   positive(makeBoard),
			"power":   positive(power),
			"cut":     positive(cut),
			"clone":   positive(cloneBoard),
			"posix":   positive(posix),
			"cycle":   positive(cycle),
			"pad":     positive(pad),
		},
	})
}

type scriptCommand func(ts *testscript.TestScript, r *rig, args []string)

// positive refuses "! command": what must not happen is said by exits.
func positive(f scriptCommand) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command cannot be negated")
		}
		f(ts, ts.Value(rigKey{}).(*rig), args)
	}
}

func usage(ts *testscript.TestScript, args []string, min int, text string) {
	if len(args) < min {
		ts.Fatalf("usage: %s", text)
	}
}
