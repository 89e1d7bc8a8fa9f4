package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A recorder passes every call on to the real file system and notes what it changes, for powerCuts.
type recorder struct {
	disk
	names  map[string]*inode // as they are now
	events []event
}

// An inode is a file's content, under whatever names.
type inode struct{ start []byte }

// An event is one of: a change of a name, a write, a sync of a file, a sync of the folder.
type event struct {
	name    string // changes: to this inode, or removed where nil
	inode   *inode
	from    string // with a rename, the name that goes
	written []byte
	sync    bool
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

func (f recordedFile) Write(b []byte) (int, error) {
	f.recorder.events = append(f.recorder.events, event{inode: f.inode, written: bytes.Clone(b)})
	return f.file.Write(b)
}

func (f recordedFile) Sync() error {
	f.recorder.events = append(f.recorder.events, event{inode: f.inode, sync: true})
	return f.file.Sync()
}

// powerCuts returns every folder that a power cut after the first n events may leave: what was synced is
// there, of the rest anything. A name change that was not synced is done or not, each for itself, a rename
// also half (both names, as jffs2 does it); of a write that was not synced there may be nothing, a half, the
// length without the bytes, or all.
func powerCuts(before map[string]*inode, events []event) []image {
	syncedDir := -1
	syncedFile := map[*inode]int{}
	for i, e := range events {
		if e.syncDir {
			syncedDir = i
		}
		if e.sync {
			syncedFile[e.inode] = i
		}
	}
	names := []map[string]*inode{maps.Clone(before)}
	contents := []map[*inode][]byte{{}}
	for i, e := range events {
		switch {
		case e.written != nil:
			states := [][]byte{e.written}
			if last, ok := syncedFile[e.inode]; !ok || last < i {
				states = append(states, nil, e.written[:len(e.written)/2], make([]byte, len(e.written)))
			}
			contents = branch(contents, len(states), func(c map[*inode][]byte, k int) { c[e.inode] = states[k] })
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
					// A write covers the file's start; what it does not reach is as before.
					content := bytes.Clone(node.start)
					if w, ok := c[node]; ok {
						content = append(bytes.Clone(w), content[min(len(w), len(content)):]...)
					}
					nodes[node] = &inode{content}
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
		fmt.Fprintf(&text, "%s: inode %p, %x\n", name, node, node.start)
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
func checkPowerCuts(t *testing.T, s *Store, operation func() error, allowed ...string) {
	t.Helper()
	r := record(t, s.folder.path)
	before := maps.Clone(r.names)
	s.disk = r.over(s.folder)
	if err := operation(); err != nil {
		t.Fatal(err)
	}
	images := 0
	for n := range len(r.events) + 1 {
		if n == len(r.events) {
			allowed = allowed[len(allowed)-1:]
		}
		for _, image := range powerCuts(before, r.events[:n]) {
			images++
			checkImage(t, image, allowed)
			if t.Failed() {
				t.Fatalf("after a power cut behind event %d of %d, with\n%v", n, len(r.events), image)
			}
		}
	}
	t.Logf("%d folders after power cuts behind %d events", images, len(r.events))
}

func checkImage(t *testing.T, image image, allowed []string) {
	t.Helper()
	dir := lay(t, image)
	s, err := Open(dir, &testSecret)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	got, err := s.Get("a")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	found := false
	for _, value := range allowed {
		found = found || string(got) == value && (err == nil) == (value != "")
	}
	if !found {
		t.Errorf("got %q, %v; want one of %q", got, err, allowed)
	}
	wantValue(t, s, "other", "else")
	for _, file := range files(t, dir) {
		if strings.HasSuffix(file, tempExt) {
			t.Errorf("left over: %s", file)
		}
	}
}

// lay makes a folder that holds an image.
func lay(t *testing.T, image image) string {
	t.Helper()
	dir := t.TempDir()
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
	return dir
}

func TestPowerCuts(t *testing.T) {
	fresh := func(t *testing.T) *Store {
		s := newStore(t)
		mustPut(t, s, "other", "else")
		return s
	}
	t.Run("first Put", func(t *testing.T) {
		s := fresh(t)
		checkPowerCuts(t, s, func() error { return s.Put("a", []byte("new")) }, "", "new")
	})
	t.Run("Put", func(t *testing.T) {
		s := fresh(t)
		mustPut(t, s, "a", "the old value")
		checkPowerCuts(t, s, func() error { return s.Put("a", []byte("new")) }, "the old value", "new")
	})
	t.Run("two Puts", func(t *testing.T) {
		s := fresh(t)
		checkPowerCuts(t, s, func() error {
			return errors.Join(s.Put("a", []byte("first")), s.Put("a", []byte("second")))
		}, "", "first", "second")
	})
	t.Run("Delete", func(t *testing.T) {
		s := fresh(t)
		mustPut(t, s, "a", "old")
		checkPowerCuts(t, s, func() error { return s.Delete("a") }, "old", "")
	})
	t.Run("Delete, in two", func(t *testing.T) {
		s := fresh(t)
		mustPut(t, s, "a", "old")
		s.disk = (&faultyDisk{failAt: 2, err: syscall.EIO}).over(s.folder)
		if err := s.Delete("a"); err == nil {
			t.Fatal("without a fault")
		}
		checkPowerCuts(t, s, func() error { return s.Delete("a") }, "")
	})
	t.Run("Put after half a Delete", func(t *testing.T) {
		s := fresh(t)
		mustPut(t, s, "a", "old")
		s.disk = (&faultyDisk{failAt: 2, err: syscall.EIO}).over(s.folder)
		if err := s.Delete("a"); err == nil {
			t.Fatal("without a fault")
		}
		checkPowerCuts(t, s, func() error { return s.Put("a", []byte("new")) }, "", "new")
	})
	t.Run("Delete and Put", func(t *testing.T) {
		s := fresh(t)
		mustPut(t, s, "a", "old")
		checkPowerCuts(t, s, func() error {
			return errors.Join(s.Delete("a"), s.Put("a", []byte("new")))
		}, "old", "", "new")
	})
}

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
				s, err = Open(dir, &testSecret)
			}
			if err != nil {
				t.Fatalf("behind event %d, with\n%v: %v", n, image, err)
			}
			s.Close()
		}
	}
}
