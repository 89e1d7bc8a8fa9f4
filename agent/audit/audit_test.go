package audit

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var discard = slog.New(slog.DiscardHandler)

func open(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path, time.Now, discard)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func entries(t *testing.T, l *Log) (all []Entry) {
	t.Helper()
	text, err := l.Text()
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(text, func(e Entry) { all = append(all, e) }); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return all
}

// The chain goes on through restarts, a torn last line, and the turn of the files,
// which never get longer than they may.
func TestChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for round := range 40 {
		l := open(t, path)
		for i := range 20 {
			l.Add(Entry{Who: "uid 0", What: "provision", Entity: fmt.Sprintf("d-%d-%d", round, i), Result: "delivered", Detail: strings.Repeat("x", 10*i)})
		}
		l.Flush()
		all := entries(t, l)
		if last := all[len(all)-1]; last.N != uint64(20*(round+1)) || last.Entity != fmt.Sprintf("d-%d-19", round) {
			t.Fatalf("round %d ends with %+v", round, last)
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"n":99,"time":"20`) // a power cut
		f.Close()
	}
	for _, name := range []string{path, path + oldExt} {
		info, err := os.Stat(name)
		if err != nil || info.Size() > maxFile+maxLine || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if all := entries(t, open(t, path)); len(all) < 100 {
		t.Errorf("%d lines are left", len(all))
	}
}

// Whoever changes a line, or takes one out, shows.
func TestTampered(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit.log"))
	for i := range 5 {
		l.Add(Entry{Who: "uid 0", What: "forget", Entity: fmt.Sprint("d-", i), Result: "done"})
	}
	text, err := l.Text()
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for name, changed := range map[string][]byte{
		"changed":   bytes.Replace(text, []byte("d-2"), []byte("d-9"), 1),
		"taken out": bytes.Join([][]byte{lines[0], lines[1], lines[3], lines[4]}, nil),
		"exchanged": bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3], lines[4]}, nil),
		"added":     bytes.Join([][]byte{lines[0], lines[0], lines[1]}, nil),
		"no line":   append(bytes.Clone(text), "garbage\n"...),
	} {
		if err := Check(changed, func(Entry) {}); err == nil {
			t.Errorf("%s: the chain holds", name)
		}
	}
	if err := Check(text, func(Entry) {}); err != nil {
		t.Error(err)
	}
}

// Many lines in half a minute are one write, and the end writes what waits.
func TestWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		l := open(t, path)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		for range 10 {
			l.Add(Entry{What: "provision", Result: "delivered"})
			time.Sleep(time.Second)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("written at once")
		}
		time.Sleep(patience)
		synctest.Wait()
		if _, _, written := l.Head(); written == 0 {
			t.Error("not written after half a minute")
		}
		l.Add(Entry{What: "forget", Result: "done"})
		cancel()
		running.Wait()
		if l.waits.Len() != 0 {
			t.Error("the end left lines unwritten")
		}
	})
}

// A full disk loses nothing that memory has room for, and breaks no line.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	l := open(t, filepath.Join(dir, "audit.log"))
	l.Add(Entry{What: "first", Result: "done"})
	l.Flush()
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		l.Add(Entry{What: "provision", Entity: fmt.Sprint(i), Result: "delivered"})
	}
	if l.waits.Len() > 4*maxWaits+maxLine {
		t.Errorf("%d bytes wait", l.waits.Len())
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	l.Flush()
	if all := entries(t, l); all[0].What != "first" || len(all) < 60 {
		t.Errorf("%d lines", len(all))
	}
}

func TestNil(t *testing.T) {
	var l *Log
	l.Add(Entry{})
	l.Run(t.Context())
	if n, _, _ := l.Head(); n != 0 {
		t.Error("nothing has a line")
	}
}
