// Package hardening keeps a process's memory, which has keys in it, to itself.
package hardening

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Memory keeps the process's memory out of core files and from other processes
// of the same user.
func Memory() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("closing the process's memory to others: %w", err)
	}
	return nil
}
