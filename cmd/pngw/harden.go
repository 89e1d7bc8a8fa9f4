package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// keepSecrets keeps the process's memory out of core dumps and from other
// processes of the same user.
func keepSecrets() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("closing the process's memory to others: %w", err)
	}
	return nil
}
