// Package tmpfstest gives a test a file system of its own, which may be as small as a
// router's or become read-only while it is in use.
package tmpfstest

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

// Run calls test with an empty tmpfs, mounted at dir with the mount options that are
// given, such as "size=64k". remount changes the mount's flags, such as syscall.MS_RDONLY.
//
// Only the thread that test runs on, and the programs that it starts, see the mount. That
// thread is not the one of t: test must return to end, and may not call t.Fatal. Where
// nothing can be mounted (it takes root), t is skipped, or fails if CI is set in the
// environment.
func Run(t *testing.T, options string, test func(t *testing.T, dir string, remount func(flags uintptr))) {
	t.Helper()
	dir := t.TempDir()
	mounted := make(chan error)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread and its mounts end with the goroutine
		err := syscall.Unshare(syscall.CLONE_NEWNS)
		if err == nil {
			err = syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		}
		if err == nil {
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,"+options)
		}
		mounted <- err
		if err != nil {
			return
		}
		test(t, dir, func(flags uintptr) {
			if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, options); err != nil {
				t.Errorf("remounting: %v", err)
			}
		})
	}()
	err := <-mounted
	<-done
	switch {
	case err != nil && os.Getenv("CI") == "":
		t.Skipf("no file system can be mounted here: %v", err)
	case err != nil:
		t.Fatalf("mounting a file system: %v", err)
	}
}
