//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

const page = 4096 // bytes; what a file on a tmpfs takes at least

// disk mounts a small file system, for which one must be root.
func disk(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "disk FOLDER PAGES")
	pages, err := strconv.Atoi(args[1])
	ts.Check(err)
	folder := r.path(args[0])
	ts.Check(os.Mkdir(folder, 0o700))
	err = unix.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", pages*page))
	if errors.Is(err, unix.EPERM) {
		r.missing("mounting a tmpfs")
	}
	ts.Check(err)
	r.disks = append(r.disks, folder)
}

// fill makes the file FOLDER/ballast as large as the disk lets it be.
func fill(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "fill FOLDER PAGES")
	spare, err := strconv.Atoi(args[1])
	ts.Check(err)
	ballast := r.path(args[0], "ballast")
	ts.Check(os.WriteFile(ballast, nil, 0o600))
	var fs unix.Statfs_t
	ts.Check(unix.Statfs(r.path(args[0]), &fs))
	size := int64(fs.Bavail)*int64(fs.Bsize) - int64(spare)*page
	ts.Check(os.WriteFile(ballast, make([]byte, size), 0o600))
}
