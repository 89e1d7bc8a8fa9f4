package main

import (
	"os"
	"runtime/debug"
	"time"

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

// boundMemory sets the limit, and the collector's percentage, where the
// environment does not say otherwise.
func boundMemory(percent int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
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
