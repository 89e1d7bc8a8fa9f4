package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// protectProcess keeps the keys in memory out of core dumps, and the process out
// of the reach of other processes of the same user.
func protectProcess() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("making the process not dumpable: %w", err)
	}
	return nil
}
