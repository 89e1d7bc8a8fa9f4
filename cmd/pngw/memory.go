package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/cpns"
)

// What a router of 64 MB has for the agent, and for a command beside it.
const (
	// The Go runtime aims to stay below this many bytes, in each of the two. It
	// makes the collector work harder, it does not make allocations fail.
	memoryLimit = 12 << 20
	// The heap may grow by this many percent between two collections, the
	// smallest one to that part of 4 MB. A command has little to collect.
	commandGC, agentGC = 25, 100
)

// boundMemory sets the memory limit and the collector's percentage, unless they are set
// in the environment.
func boundMemory(percent int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// memLimitTrial bounds the trial of a memory limit; a slow router starts a program
// in a second.
const memLimitTrial = 20 * time.Second

// tryMemLimit reports whether the Go runtime accepts limit as GOMEMLIMIT. If it does not, a
// program that is started with it dies before main. The runtime has no function to parse
// it, so this program is started a second time to find out.
func tryMemLimit(ctx context.Context, limit string) error {
	if limit == config.DefaultMemLimit || limit == os.Getenv("GOMEMLIMIT") {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("%q could not be tried: %v", limit, err)
	}
	ctx, cancel := context.WithTimeout(ctx, memLimitTrial)
	defer cancel()
	trial := exec.CommandContext(ctx, self, "version")
	trial.Env = []string{"GOMEMLIMIT=" + limit}
	trial.WaitDelay = time.Second
	said, err := trial.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case bytes.Contains(said, []byte("malformed GOMEMLIMIT")):
		return fmt.Errorf("%q: the Go runtime does not take it: want a number and its unit, such as 12MiB, or off", limit)
	}
	return fmt.Errorf("%q could not be tried: %v", limit, err)
}

// hashPassword gives Hash(Password), and to the system the 7 MiB back that it
// took. The collector would keep them for as long as the command waits for its
// devices, and let as much garbage grow beside them.
func hashPassword(user cpns.UserID, password []byte) cpns.PasswordHash {
	defer func() {
		debug.FreeOSMemory()
		// Once more a little later: what computes is a goroutine of its own, and it
		// holds them until it has ended, which may be after its result is here.
		time.AfterFunc(time.Second, debug.FreeOSMemory)
	}()
	return cpns.HashPassword(user, password)
}
