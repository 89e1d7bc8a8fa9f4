package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The Go runtime has a thread that looks every 20 µs whether something blocks, and on a
// router's one slow processor that looking took a third of what a hundred devices cost
// (docs/decisions/0043). The kernel may let such short waits last longer, by the thread's
// timer slack: 50 µs unless somebody has set another. Other waits are of milliseconds.
const (
	usualSlack  = 50 * time.Microsecond
	routerSlack = time.Millisecond
)

// fewerWakeups has the program begin anew with routerSlack, under the same process id,
// where it was started with the usual slack: a thread can set only its own, others have
// theirs from who started them, and the runtime's threads are there before main. Where
// the kernel, or whatever the program is shut into, does not let it, it goes on as it is.
func fewerWakeups() {
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || time.Duration(slack) != usualSlack {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread() // this one becomes the new program's first
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(routerSlack), 0, 0, 0) != nil {
		return
	}
	syscall.Exec(self, os.Args, os.Environ())
	unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(usualSlack), 0, 0, 0)
}
