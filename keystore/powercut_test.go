package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A recorder passes every call on to the real file system and notes what it changes, for powerCuts. A sync
// fails where failSync counts down to zero.
type recorder struct {
	disk
	names    map[string]*inode // as they are now
	events   []event
	failSync int
}

// An inode is a file's content, under whatever names.
type inode struct{ start []byte }

// An event is one of: a change of a name, a write, a cut to a size, a sync of a file, one that failed, a sync of the folder.
type event struct {
	name    string // changes: to this inode, or removed where nil
	inode   *inode
	from    string // with a rename, the name that goes
	written []byte
	at      int64
	cut     bool // to at
	sync    bool
	failed  bool
	syncDir bool
}

func record(t *testing.T, dir string) *recorder {
	t.Helper()
	r := &recorder{names: map[string]*inode{}}
	for _, name := range files(t, dir) {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		r.names[name] = &inode{content}
	}
	return r
}

// over has r pass on to a store's folder.
func (r *recorder) over(f *folder) disk {
	r.disk = f
	return r
}

func (r *recorder) create(name string) (file, error) {
	f, err := r.disk.create(name)
	if err != nil {
		return nil, err
	}
	node := &inode{}
	r.names[name] = node
	r.events = append(r.events, event{name: name, inode: node})
	return recordedFile{f, r, node}, nil
}

func (r *recorder) open(name string) (file, error) {
	f, err := r.disk.open(name)
	return recordedFile{f, r, r.names[name]}, err
}

func (r *recorder) rename(from, to string) error {
	err := r.disk.rename(from, to)
	if err == nil {
		r.events = append(r.events, event{name: to, inode: r.names[from], from: from})
		r.names[to] = r.names[from]
		delete(r.names, from)
	}
	return err
}

func (r *recorder) remove(name string) error {
	err := r.disk.remove(name)
	if err == nil {
		delete(r.names, name)
		r.events = append(r.events, event{name: name})
	}
	return err
}

func (r *recorder) sync() error {
	r.events = append(r.events, event{syncDir: true})
	return r.disk.sync()
}

type recordedFile struct {
	file
	recorder *recorder
	inode    *inode
}

func (f recordedFile) writeAt(b []byte, at int64) error {
	f.recorder.events = append(f.recorder.events, event{inode: f.inode, written: bytes.Clone(b), at: at})
	return f.file.writeAt(b, at)
}

func (f recordedFile) Truncate(size int64) error {
	f.recorder.events = append(f.recorder.events, event{inode: f.inode, cut: true, at: size})
	return f.file.Truncate(size)
}

func (f recordedFile) Sync() error {
	f.recorder.failSync--
	failed := f.recorder.failSync == 0
	f.recorder.events = append(f.recorder.events, event{inode: f.inode, sync: !failed, failed: failed})
	if failed {
		return syscall.EIO
	}
	return f.file.Sync()
}

// powerCuts returns every folder that a power cut after the first n events may leave: what was synced is
// there, of the rest anything. A name change that was not synced is done or not, each for itself, a rename
// also half (both names, as jffs2 does it); of a write that was not synced there may be nothing, a half, the
// length without the bytes, or all, and of two the second without the first. What a sync failed for may never
// come to the disk, whatever a later sync says.
func powerCuts(before map[string]*inode, events []event) []image {
	syncedDir := -1
	syncedFile, failedSync := map[*inode][]int{}, map[*inode][]int{}
	for i, e := range events {
		if e.syncDir {
			syncedDir = i
		}
		if e.sync {
			syncedFile[e.inode] = append(syncedFile[e.inode], i)
		}
		if e.failed {
			failedSync[e.inode] = append(failedSync[e.inode], i)
		}
	}
	// certain: a sync after event i succeeded, and none failed between.
	certain := func(node *inode, i int, cut bool) bool {
		for _, s := range syncedFile[node] {
			if s > i {
				return cut || !slices.ContainsFunc(failedSync[node], func(f int) bool { return i < f && f < s })
			}
		}
		return false
	}
	names := []map[string]*inode{maps.Clone(before)}
	contents := []map[*inode][]byte{{}}
	for i, e := range events {
		switch {
		case e.written != nil || e.cut:
			ways := 1
			if !certain(e.inode, i, e.cut) {
				if ways = 4; e.cut {
					ways = 2
				}
			}
			contents = branch(contents, ways, func(c map[*inode][]byte, k int) {
				now, changed := c[e.inode]
				if !changed {
					now = e.inode.start
				}
				now = bytes.Clone(now)
				what := bytes.Clone(e.written)
				switch {
				case e.cut && k == 0:
					c[e.inode] = now[:min(int(e.at), len(now))]
					return
				case e.cut, k == 1:
					return
				case k == 2:
					what = what[: len(what)/2 : len(what)/2]
				case k == 3:
					what = make([]byte, len(what))
				}
				if gap := int(e.at) - len(now); gap > 0 {
					now = append(now, make([]byte, gap)...)
				}
				c[e.inode] = append(now[:e.at:e.at], append(what, now[min(len(now), int(e.at)+len(what)):]...)...)
			})
		case e.name != "":
			all := func(m map[string]*inode, k int) { // 0: whole, 1: not at all, 2: the new name only
				if k == 1 {
					return
				}
				if e.inode == nil {
					delete(m, e.name)
				} else {
					m[e.name] = e.inode
				}
				if e.from != "" && k == 0 {
					delete(m, e.from)
				}
			}
			ways := 1
			if i > syncedDir {
				ways = 3
			}
			names = branch(names, ways, all)
		}
	}
	var images []image
	for _, n := range names {
		for _, c := range contents {
			left, nodes := image{}, map[*inode]*inode{}
			for name, node := range n {
				if nodes[node] == nil {
					content, changed := c[node]
					if !changed {
						content = node.start
					}
					nodes[node] = &inode{bytes.Clone(content)}
				}
				left[name] = nodes[node]
			}
			images = append(images, left)
		}
	}
	return images
}

// An image is what a power cut leaves. A file may have two names.
type image map[string]*inode

func (m image) String() string {
	var text strings.Builder
	for name, node := range m {
		fmt.Fprintf(&text, "%s: inode %p, %d bytes, %.300x\n", name, node, len(node.start), node.start)
	}
	return text.String()
}

// branch replaces every state by its versions after each of the ways in which an event may have gone.
func branch[K comparable, V any](states []map[K]V, ways int, apply func(map[K]V, int)) []map[K]V {
	var after []map[K]V
	for _, s := range states {
		for k := range ways {
			c := maps.Clone(s)
			apply(c, k)
			after = append(after, c)
		}
	}
	return after
}

// checkPowerCuts runs an operation on the store, then cuts the power after each of its events and opens what
// may be left. The record a has to be one of the values allowed ("" for none), and after the last event the
// last of them.
func checkPowerCuts(t *testing.T, s *Store, operation func(*recorder) error, allowed ...string) {
	t.Helper()
	r := record(t, s.folder.path)
	before := maps.Clone(r.names)
	back := s.on(r)
	err := operation(r)
	back()
	if err != nil {
		t.Fatal(err)
	}
	images := 0
	seen := map[string]bool{}
	for n := range len(r.events) + 1 {
		if n == len(r.events) {
			allowed, seen = allowed[len(allowed)-1:], map[string]bool{}
		}
		for _, image := range powerCuts(before, r.events[:n]) {
			if text := image.key(); seen[text] {
				continue
			} else {
				seen[text] = true
			}
			images++
			checkImage(t, image, allowed)
			if t.Failed() {
				t.Fatalf("after a power cut behind event %d of %d, with\n%v", n, len(r.events), image)
			}
		}
	}
	t.Logf("%d folders after power cuts behind %d events", images, len(r.events))
}

// key tells images apart by what is in them.
func (m image) key() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s %p %d %s\n", name, m[name], len(m[name].start), m[name].start)
	}
	return b.String()
}

func checkImage(t *testing.T, image image, allowed []string) {
	t.Helper()
	dir := lay(t, image)
	s, err := Open(dir, &testSecret)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { s.Close() }()
	wantOneOf(t, s, "a", allowed...)
	wantValue(t, s, "other", "else")
	wantSound(t, s)
	got, getErr := s.Get("a")
	// The work goes on, and the next start finds all of it.
	mustPut(t, s, "b", "after")
	s.Close()
	if s, err = Open(dir, &testSecret); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Get("a"); !bytes.Equal(got, again) || (err == nil) != (getErr == nil) {
		t.Errorf("got %q, %v, and later %q, %v", got, getErr, again, err)
	}
	wantValue(t, s, "other", "else")
	wantValue(t, s, "b", "after")
	wantSound(t, s)
	if s.Found().Torn != 0 {
		t.Errorf("found %+v", s.Found())
	}
	if got := files(t, dir); len(got) != 2 {
		t.Errorf("left over: %q", got)
	}
}

// scratch is a folder in memory, where there is one: nothing is synced there, and nothing needs to be.
func scratch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if inMemory, err := os.MkdirTemp("/dev/shm", "keystore"); err == nil {
		t.Cleanup(func() { os.RemoveAll(inMemory) })
		dir = inMemory
	}
	return dir
}

// lay makes a folder that holds an image.
func lay(t *testing.T, image image) string {
	t.Helper()
	dir := scratch(t)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	first := map[*inode]string{}
	for name, node := range image {
		path, err := filepath.Join(dir, name), error(nil)
		if other, there := first[node]; there {
			err = os.Link(other, path)
		} else {
			first[node] = path
			err = os.WriteFile(path, node.start, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if image[logFile] != nil {
		noReserve(t, dir)
	}
	return dir
}

func TestPowerCuts(t *testing.T) {
	fresh := func(t *testing.T, values ...string) *Store {
		s := newStore(t)
		mustPut(t, s, "other", "else")
		for _, value := range values {
			mustPut(t, s, "a", value)
		}
		return s
	}
	puts := func(s *Store, values ...string) error {
		var err error
		for _, value := range values {
			err = errors.Join(err, s.Put("a", []byte(value)))
		}
		return err
	}
	// batch writes changes as if all had come at once.
	batch := func(s *Store, changes ...*change) error {
		s.writing.take()
		defer s.writing.give()
		s.write(changes)
		var err error
		for _, c := range changes {
			err = errors.Join(err, c.err)
		}
		return err
	}
	long := strings.Repeat("x", entryPage-500)
	t.Run("first Put", func(t *testing.T) {
		s := fresh(t)
		checkPowerCuts(t, s, func(*recorder) error { return puts(s, "new") }, "", "new")
	})
	t.Run("Put", func(t *testing.T) {
		s := fresh(t, "the old value")
		checkPowerCuts(t, s, func(*recorder) error { return puts(s, "new") }, "the old value", "new")
	})
	t.Run("two Puts", func(t *testing.T) {
		s := fresh(t)
		checkPowerCuts(t, s, func(*recorder) error { return puts(s, "first", "second") }, "", "first", "second")
	})
	t.Run("Put of pages", func(t *testing.T) {
		s := fresh(t, "old")
		checkPowerCuts(t, s, func(*recorder) error { return puts(s, long+long+long) }, "old", long+long+long)
	})
	t.Run("Delete", func(t *testing.T) {
		s := fresh(t, "old")
		checkPowerCuts(t, s, func(*recorder) error { return s.Delete("a") }, "old", "")
	})
	t.Run("Delete and Put", func(t *testing.T) {
		s := fresh(t, "old")
		checkPowerCuts(t, s, func(*recorder) error { return errors.Join(s.Delete("a"), puts(s, "new")) }, "old", "", "new")
	})
	t.Run("batch over pages", func(t *testing.T) {
		s := fresh(t, "old")
		checkPowerCuts(t, s, func(*recorder) error {
			return batch(s, &change{name: "x", value: []byte(long)}, &change{name: "a", value: []byte("new")}, &change{name: "y", value: []byte(long)}, &change{name: "x", remove: true})
		}, "old", "new")
	})
	t.Run("batch whose first is the record", func(t *testing.T) {
		s := fresh(t, "old")
		checkPowerCuts(t, s, func(*recorder) error {
			return batch(s, &change{name: "a", value: []byte(long)}, &change{name: "y", value: []byte(long)}, &change{name: "z", value: []byte("1")})
		}, "old", long)
	})
	t.Run("Put after a sync that failed", func(t *testing.T) {
		s := fresh(t, "old")
		checkPowerCuts(t, s, func(r *recorder) error {
			r.failSync = 1
			if err := puts(s, "failed"); !errors.Is(err, syscall.EIO) {
				return fmt.Errorf("got %w, want EIO", err)
			}
			return puts(s, "new")
		}, "old", "failed", "new")
	})
	t.Run("shorter Put after a longer whose sync failed", func(t *testing.T) {
		s := fresh(t, "old")
		checkPowerCuts(t, s, func(r *recorder) error {
			r.failSync = 1
			if err := batch(s, &change{name: "z", value: []byte("long enough to outlast what comes")}, &change{name: "a", value: []byte("failed")}); !errors.Is(err, syscall.EIO) {
				return fmt.Errorf("got %w, want EIO", err)
			}
			return puts(s, "new")
		}, "old", "failed", "new")
	})
	t.Run("compaction", func(t *testing.T) {
		s := fresh(t, "1", "2", "3")
		checkPowerCuts(t, s, func(*recorder) error { return s.compact() }, "3")
	})
	t.Run("Put after compaction", func(t *testing.T) {
		s := fresh(t, "1", "2", "3")
		checkPowerCuts(t, s, func(*recorder) error { return errors.Join(s.compact(), puts(s, "4")) }, "3", "4")
	})
	t.Run("Put after a compaction whose folder did not sync", func(t *testing.T) {
		s := fresh(t, "1", "2", "3")
		checkPowerCuts(t, s, func(r *recorder) error {
			s.disk = badSync{r}
			if err := s.compact(); !errors.Is(err, syscall.EIO) {
				return fmt.Errorf("got %w, want EIO", err)
			}
			if err := puts(s, "failed"); !errors.Is(err, syscall.EIO) {
				return fmt.Errorf("got %w, want EIO", err)
			}
			s.disk = r
			return puts(s, "4")
		}, "3", "failed", "4")
	})
}

// badSync fails to sync the folder.
type badSync struct{ disk }

func (badSync) sync() error { return syscall.EIO }

// A power cut in Create leaves a store that opens, or none and Create makes one.
func TestPowerCutsInCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	r := &recorder{names: map[string]*inode{}}
	if err := create(dir, &testSecret, r.over); err != nil {
		t.Fatal(err)
	}
	for n := range len(r.events) + 1 {
		for _, image := range powerCuts(map[string]*inode{}, r.events[:n]) {
			dir := lay(t, image)
			s, err := Open(dir, &testSecret)
			if errors.Is(err, fs.ErrNotExist) && n < len(r.events) {
				if err := Create(dir, &testSecret); err != nil {
					t.Fatalf("behind event %d, with\n%v: %v", n, image, err)
				}
				noReserve(t, dir)
				s, err = Open(dir, &testSecret)
			}
			if err != nil {
				t.Fatalf("behind event %d, with\n%v: %v", n, image, err)
			}
			wantSound(t, s)
			s.Close()
		}
	}
}
