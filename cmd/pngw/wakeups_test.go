package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sayWakeups is a program that does as the agent does at its start, and says what came
// of it: what it was given, and the slack of its first thread and of another one.
func sayWakeups() {
	fewerWakeups()
	slack := func() time.Duration {
		runtime.LockOSThread() // and not unlocked: the next one is another thread
		d, _ := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		return time.Duration(d)
	}
	other := make(chan time.Duration)
	first := slack()
	go func() { other <- slack() }()
	fmt.Printf("%d %q %s %v %v\n", os.Getpid(), os.Args[1:], os.Getenv("WAKEUPS"), first, <-other)
}

func TestFewerWakeups(t *testing.T) {
	for start, want := range map[time.Duration]time.Duration{
		usualSlack:           routerSlack,
		routerSlack:          routerSlack,
		3 * time.Millisecond: 3 * time.Millisecond, // somebody's choice
		time.Microsecond:     time.Microsecond,
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			// The thread is not unlocked, so that it ends with this function, slack and all.
			runtime.LockOSThread()
			if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(start), 0, 0, 0); err != nil {
				t.Error(err)
				return
			}
			c := exec.Command(os.Args[0])
			c.Args = []string{"wakeups", "run", "two words", ""}
			c.Env = append(os.Environ(), "WAKEUPS=here")
			out, err := c.Output()
			if err != nil {
				t.Error(err)
				return
			}
			if got, want := string(out), fmt.Sprintf("%d %q here %v %v\n", c.Process.Pid, c.Args[1:], want, want); got != want {
				t.Errorf("from a slack of %v: got %swant %s", start, got, want)
			}
		}()
		<-done
	}
}
