package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A step is an entry of a test's log, in the order of the log.
type step struct {
	at, end     int
	kind        byte
	name, value string
	batch       int
}

// steps takes a log apart.
func steps(t testing.TB, s *Store) []step {
	t.Helper()
	log := logOf(t, s)
	var all []step
	batch := 0
	for at := headerSize; at < len(log); {
		h, ok := parseHead(log[at:])
		if !ok {
			at = at - at%entryPage + entryPage // the next did not fit
			continue
		}
		contents, err := openEntry(s.aead, h.seq, log[at:][:h.size])
		if err != nil {
			t.Fatal(err)
		}
		if contents[0]&firstOfBatch != 0 {
			batch++
		}
		st := step{at: at, end: at + h.size, kind: contents[0] &^ firstOfBatch, batch: batch}
		if st.kind <= kindDamaged {
			name, value, _ := cutName(contents[1:])
			st.name, st.value = name, string(value)
		}
		all = append(all, st)
		at = st.end
	}
	return all
}

// after is what records there are after steps.
func after(all []step) map[string]string {
	records := map[string]string{}
	for _, st := range all {
		switch st.kind {
		case kindPut:
			records[st.name] = st.value
		case kindDelete:
			delete(records, st.name)
		}
	}
	return records
}

// openLog opens a store of one log.
func openLog(t testing.TB, dir string, log []byte) (*Store, error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, logFile), log, 0o600); err != nil {
		t.Fatal(err)
	}
	return Open(dir, &testSecret)
}

// wantRecords checks all that is in a store. A record whose value is broken does not open.
func wantRecords(t testing.TB, s *Store, want map[string]string) {
	t.Helper()
	names, err := s.List()
	if err != nil || len(names) != len(want) {
		t.Errorf("records %q, %v; want %q", names, err, want)
	}
	for name, value := range want {
		got, err := s.Get(name)
		var record *RecordError
		if value == broken && errors.As(err, &record) && record.Name == name && errors.Is(err, ErrDamaged) {
			if err := s.Put(name, nil); !errors.As(err, &record) || record.Name != name || !strings.Contains(err.Error(), "not overwritten") {
				t.Errorf("Put of %q: %v, want not overwritten", name, err)
			}
			continue
		}
		if err != nil || string(got) != value {
			t.Errorf("Get(%q) = %.40q, %v; want %.40q", name, got, err, value)
		}
	}
}

const broken = "a value that no record has"

// history makes a store with a log of all kinds of entries.
func history(t testing.TB) *Store {
	t.Helper()
	s := newStore(t)
	for _, c := range [][2]string{{"a", "1"}, {"b", "one"}, {"this gateway", "enrolled"}, {"a", "2"}, {"c", ""}} {
		mustPut(t, s, c[0], c[1])
	}
	if err := s.Delete("c"); err != nil {
		t.Fatal(err)
	}
	s.writing.take()
	s.write([]*change{{name: "d", value: []byte("first of a batch")}, {name: "e", value: []byte("second")}, {name: "f", value: []byte("third")}})
	s.writing.give()
	mustPut(t, s, "e", "later")
	mustPut(t, s, "last", "1")
	mustPut(t, s, "last", "2")
	return s
}

// Every bit of a small log is flipped. A damaged head costs nothing. A box that does not open is the one record's
// whose it was, by name, unless a later entry made good for it; in the last entry it looks like a torn one, and the
// record is as it was before.
func TestEveryBitFlipped(t *testing.T) {
	for _, how := range []string{"written", "compacted", "compacted, then written"} {
		t.Run(how, func(t *testing.T) {
			s := history(t)
			if how != "written" {
				if err := s.compact(); err != nil {
					t.Fatal(err)
				}
			}
			if how == "compacted, then written" {
				mustPut(t, s, "b", "two")
				mustPut(t, s, "last", "3")
			}
			all, log := steps(t, s), logOf(t, s)
			last := all[len(all)-1]
			dir := scratch(t)
			os.Chmod(dir, 0o700)
			noReserve(t, dir)
			for _, st := range all {
				for bit := st.at * 8; bit < st.end*8; bit++ {
					changed := bytes.Clone(log)
					changed[bit/8] ^= 1 << (bit % 8)
					opened, err := openLog(t, dir, changed)
					if err != nil {
						t.Fatal(err)
					}
					want, lost := after(all), 0
					switch later := slices.ContainsFunc(all, func(o step) bool { return o.at > st.at && o.name == st.name }); {
					case bit/8 < st.at+headSize, st.name == "" && st.kind != kindEnd, later:
					case st.kind == kindEnd && last.kind == kindEnd:
						lost = 1
					case st.batch == last.batch && last.batch > 1:
						want = after(all[:len(all)-1])
					default:
						want[st.name] = broken
					}
					if st.kind == kindEnd {
						delete(want, "")
					}
					wantRecords(t, opened, want)
					if f := opened.Found(); f.Lost != lost || f.Old != 0 {
						t.Errorf("found %+v, want %d lost", f, lost)
					}
					// What does not open is told after a compaction too, until it is deleted.
					if want[st.name] == broken && bit%8 == 0 {
						if err := opened.compact(); err != nil {
							t.Fatal(err)
						}
						wantRecords(t, opened, want)
						opened = reopen(t, opened)
						wantRecords(t, opened, want)
						if err := opened.Delete(st.name); err != nil {
							t.Fatal(err)
						}
						mustPut(t, opened, st.name, "new")
						opened = reopen(t, opened)
						want[st.name] = "new"
						wantRecords(t, opened, want)
						wantSound(t, opened)
					}
					opened.Close()
					if t.Failed() {
						t.Fatalf("with bit %d of byte %d flipped, in %+v", bit%8, bit/8-st.at, st)
					}
				}
			}
		})
	}
}

// A log is cut at each length. What it was made with cannot be torn: that it is cut is told as long as the log
// lasts.
func TestCutAtEachLength(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		s := history(t)
		if compacted {
			if err := s.compact(); err != nil {
				t.Fatal(err)
			}
			mustPut(t, s, "b", "two")
		}
		all, log := steps(t, s), logOf(t, s)
		made := slices.IndexFunc(all, func(st step) bool { return st.kind == kindEnd })
		dir := scratch(t)
		os.Chmod(dir, 0o700)
		noReserve(t, dir)
		for size := range log {
			opened, err := openLog(t, dir, log[:size])
			if size < headerSize {
				if !errors.Is(err, ErrDamaged) {
					t.Fatalf("cut to %d bytes: %v, want ErrDamaged", size, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for n < len(all) && all[n].end <= size {
				n++
			}
			want := after(all[:n])
			cut := n <= made
			if cut && size >= all[n].at && len(bytes.Trim(log[size:all[n].end], "\x00")) == 0 {
				opened.Close() // what comes behind it makes it whole again
				continue
			}
			if cut && size >= all[n].at+headSize && all[n].name != "" {
				want[all[n].name] = broken // its head says whose it is
			}
			wantRecords(t, opened, want)
			for range 2 {
				if f := opened.Found(); (f.Lost > 0) != cut || f.Old != 0 {
					t.Errorf("found %+v, want any lost: %v", f, cut)
				}
				mustPut(t, opened, "after", "it")
				want["after"] = "it"
				opened = reopen(t, opened)
				wantRecords(t, opened, want)
			}
			opened.Close()
			if t.Failed() {
				t.Fatalf("cut to %d bytes of %d", size, len(log))
			}
		}
	}
}

// An entry that was put back is noticed, wherever it was put.
func TestOlderEntryPutBack(t *testing.T) {
	s := newStore(t)
	for i := range 5 {
		mustPut(t, s, "a", fmt.Sprint(i))
		mustPut(t, s, "b", fmt.Sprint(i))
	}
	all, log := steps(t, s), logOf(t, s)
	var ofA []step
	for _, st := range all {
		if st.name == "a" {
			ofA = append(ofA, st)
		}
	}
	old := log[ofA[1].at:ofA[1].end]
	put := func(at int) []byte {
		return append(bytes.Clone(log[:at]), append(bytes.Clone(old), log[min(len(log), at+len(old)):]...)...)
	}
	for what, tt := range map[string]struct {
		log  []byte
		want string
	}{
		"in the place of the newest": {put(ofA[4].at), broken},
		"in the place of another":    {put(ofA[3].at), "4"},
		"at the end":                 {put(len(log)), "4"},
		"between others":             {slices.Concat(log[:ofA[4].at], old, log[ofA[4].at:]), "4"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := scratch(t)
			os.Chmod(dir, 0o700)
			noReserve(t, dir)
			opened, err := openLog(t, dir, tt.log)
			if err != nil {
				t.Fatal(err)
			}
			defer opened.Close()
			wantRecords(t, opened, map[string]string{"a": tt.want, "b": "4"})
			if opened.Found().Old != 1 {
				t.Errorf("found %+v, want an old entry", opened.Found())
			}
		})
	}
}

// An entry of another store, or under another number, does not open.
func TestForeignEntry(t *testing.T) {
	s, other := newStore(t), newStore(t)
	mustPut(t, s, "a", "1")
	mustPut(t, other, "a", "2")
	mustPut(t, other, "a", "3")
	log := append(logOf(t, s), logOf(t, other)[other.index["a"].at:]...)
	dir := s.folder.path
	s.Close()
	opened, err := openLog(t, dir, log)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	wantRecords(t, opened, map[string]string{"a": "1"})
}

// An entry that is missing in the middle is told, though nothing says whose it was.
func TestEntryCutOut(t *testing.T) {
	s := history(t)
	all, log := steps(t, s), logOf(t, s)
	dir := s.folder.path
	s.Close()
	for i, st := range all {
		if st.name != "b" {
			continue
		}
		opened, err := openLog(t, dir, append(bytes.Clone(log[:st.at]), log[st.end:]...))
		if err != nil {
			t.Fatal(err)
		}
		wantRecords(t, opened, after(slices.Delete(slices.Clone(all), i, i+1)))
		if opened.Found().Lost != 1 {
			t.Errorf("found %+v, want one lost", opened.Found())
		}
		opened.Close()
	}
}

// A whole page that the disk has lost costs what was in it, and is told.
func TestPageLost(t *testing.T) {
	s := newStore(t)
	value := strings.Repeat("x", 500)
	for i := range 40 {
		mustPut(t, s, fmt.Sprint("pne-", i), value)
	}
	all, log := steps(t, s), logOf(t, s)
	dir := s.folder.path
	s.Close()
	for _, fill := range []byte{0, 0xff} {
		lost := bytes.Clone(log)
		want := map[string]string{}
		for _, st := range all {
			if st.kind == kindPut && st.at/entryPage != 2 {
				want[st.name] = value
			}
		}
		copy(lost[2*entryPage:3*entryPage], bytes.Repeat([]byte{fill}, entryPage))
		opened, err := openLog(t, dir, lost)
		if err != nil {
			t.Fatal(err)
		}
		wantRecords(t, opened, want)
		if f := opened.Found(); f.Lost < 40-len(want) || f.Torn != 0 {
			t.Errorf("found %+v, want %d lost", f, 40-len(want))
		}
		opened.Close()
	}
}

// unreadable fails to read a page.
type unreadable struct {
	file
	page int64
}

func (f unreadable) readAt(b []byte, at int64) (int, error) {
	if at/entryPage <= f.page && f.page <= (at+int64(len(b))-1)/entryPage {
		return 0, fs.ErrInvalid
	}
	return f.file.readAt(b, at)
}

type unreadableDisk struct {
	disk
	page int64
}

func (d unreadableDisk) open(name string) (file, error) {
	f, err := d.disk.open(name)
	return unreadable{f, d.page}, err
}

// A page that cannot be read, today, is told, and no compaction drops it.
func TestPageUnreadable(t *testing.T) {
	s := newStore(t)
	for i := range 40 {
		mustPut(t, s, fmt.Sprint("pne-", i), strings.Repeat("x", 500))
	}
	s.Close()
	bad, err := open(s.folder.path, &testSecret, func(f *folder) disk { return unreadableDisk{f, 2} })
	if err != nil {
		t.Fatal(err)
	}
	if names, _ := bad.List(); len(names) < 30 || len(names) == 40 || bad.Found().Lost == 0 {
		t.Errorf("%d records, found %+v", len(names), bad.Found())
	}
	for range 300 {
		mustPut(t, bad, "pne-0", strings.Repeat("y", 500))
	}
	bad.Close()
	s = mustOpen(t, s.folder.path)
	if names, _ := s.List(); len(names) != 40 {
		t.Errorf("%d records once it can be read again, want 40", len(names))
	}
	if _, err := open(s.folder.path, &testSecret, func(f *folder) disk { return unreadableDisk{f, 0} }); err == nil {
		t.Error("opens without its header")
	}
}

// Two logs are left by a power cut in a compaction: the one that has the name counts.
func TestTwoLogs(t *testing.T) {
	s := history(t)
	want := after(steps(t, s))
	for _, content := range [][]byte{nil, logOf(t, s)[:100], logOf(t, newStore(t)), logOf(t, s)} {
		if err := os.WriteFile(filepath.Join(s.folder.path, newLogFile), content, 0o600); err != nil {
			t.Fatal(err)
		}
		s = reopen(t, s)
		wantRecords(t, s, want)
		wantSound(t, s)
		if got := files(t, s.folder.path); len(got) != 2 {
			t.Errorf("left: %q", got)
		}
	}
	// jffs2 renames in two steps: between them both names are the log's.
	dir := s.folder.path
	if err := os.Link(filepath.Join(dir, logFile), filepath.Join(dir, newLogFile)); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	wantRecords(t, s, want)
	mustPut(t, s, "a", "3")
	wantValue(t, reopen(t, s), "a", "3")
}

// An older log that is put back whole opens: nothing says that it is not the newest.
func TestOlderLogPutBack(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	log := logOf(t, s)
	mustPut(t, s, "a", "2")
	dir := s.folder.path
	s.Close()
	opened, err := openLog(t, dir, log)
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, opened, "a", "1")
	wantSound(t, opened)
	// Numbers are used again, nonces are not.
	mustPut(t, opened, "a", "3")
	wantValue(t, reopen(t, opened), "a", "3")
}

// memory is a file in memory, to be read.
type memory struct {
	file
	*bytes.Reader
}

func (m memory) readAt(b []byte, at int64) (int, error) { return m.Reader.ReadAt(b, at) }
func (m memory) Stat() (fs.FileInfo, error)             { return sized{size: m.Reader.Size()}, nil }

type sized struct {
	fs.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }

// Whatever is in a log, Open comes to an end and gives only what was sealed.
func FuzzReplay(f *testing.F) {
	s := history(f)
	mustPut(f, s, "a", strings.Repeat("x", entryPage))
	log := logOf(f, s)
	sealed := map[string]bool{}
	for _, st := range steps(f, s) {
		sealed[st.name+"="+st.value] = true
	}
	f.Add(log[headerSize:], 0, 0, 0)
	f.Add([]byte{}, 100, 200, 300)
	f.Add(make([]byte, 5000), 0, 1000, 60)
	f.Fuzz(func(t *testing.T, tail []byte, from, to, at int) {
		// A piece of the true log, put somewhere in it or in what comes.
		content := append(bytes.Clone(log[:headerSize]), tail...)
		from, to = int(uint(from)%uint(len(log))), int(uint(to)%uint(len(log)))
		if from < to {
			at = headerSize + int(uint(at)%uint(len(content)-headerSize+1))
			content = append(content[:at:at], append(bytes.Clone(log[from:to]), content[at:]...)...)
		}
		begin := time.Now()
		r := &Store{log: memory{Reader: bytes.NewReader(content)}, folder: s.folder}
		if err := r.replay(&testSecret); err != nil {
			t.Fatal(err)
		}
		for name, e := range r.index {
			if e.at == 0 {
				continue
			}
			if value, err := r.read(name, e); err != nil || !sealed[name+"="+string(value)] {
				t.Fatalf("forged: %q is %q, %v", name, value, err)
			}
		}
		if r.end >= int64(len(content))+entryPage {
			t.Fatalf("ends at %d of %d", r.end, len(content))
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Fatalf("took %v for %d bytes", took, len(content))
		}
	})
}

// Only what was sealed under a number opens under it; what opens is what was sealed.
func FuzzOpenEntry(f *testing.F) {
	aead := deriveAEAD(&testSecret, make([]byte, saltSize), entryPurpose)
	f.Add(appendEntry(nil, aead, 2, 1, []byte("under another number")), []byte("value"), 0)
	f.Add([]byte(magic), []byte{}, 3)
	f.Fuzz(func(t *testing.T, forged, contents []byte, flip int) {
		if got, err := openEntry(aead, 1, forged); err == nil {
			t.Fatalf("forged: %x opens as %x", forged, got)
		}
		contents = contents[:min(len(contents), maxContents)]
		entry := appendEntry(nil, aead, 1, 1, contents)
		h, ok := parseHead(entry)
		if len(contents) == 0 {
			return
		}
		if got, err := openEntry(aead, 1, entry); !ok || h.size != len(entry) || err != nil || !bytes.Equal(got, contents) {
			t.Fatalf("%+v, got %x, %v; want %x", h, got, err, contents)
		}
		i := uint(flip) % uint(len(entry))
		entry[i] ^= 1
		if _, err := openEntry(aead, 1, entry); (err == nil) != (i < headSize) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, ok := parseHead(entry); ok != (i >= headSize) {
			t.Fatalf("byte %d changed: the head is whole: %v", i, ok)
		}
	})
}
