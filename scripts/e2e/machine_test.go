//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/keystore"
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

// pad leaves that many bytes in the last page of the gateway's log, which take no
// more of the disk.
func pad(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "pad BYTES")
	room, err := strconv.Atoi(args[0])
	ts.Check(err)
	secret, err := board.New("/").DeviceSecret(r.path("root.key"))
	ts.Check(err)
	store, err := keystore.Open(r.path("keys", "store"), (*keystore.Secret)(&secret))
	ts.Check(err)
	defer store.Close()
	const name = "a filler" // no Entity ID: nobody's record
	for range 2 {
		ts.Check(store.Put(name, nil)) // the next entry does not name it any more
		log, err := os.Stat(r.path("keys", "store", "log"))
		ts.Check(err)
		if left := page - int(log.Size()%page) - keystore.Overhead - len(name) - room; left > 0 {
			ts.Check(store.Put(name, make([]byte, left)))
			return
		}
		// Not enough is left: on to the next page.
		ts.Check(store.Put(name, make([]byte, page/2)))
	}
	ts.Fatalf("no page to leave %d bytes of", room)
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
