// Package audit keeps what people asked of the gateway, and what came of it: lines of
// JSON, each with the hash of the one before, in two files that take turns.
//
// It is kept on flash, for a router loses all else when it is switched off, and written
// so that flash lasts: lines wait in memory for up to half a minute, or until there are
// 4 kB of them, and are then appended and synced at once. A power cut costs those that
// waited; whoever needs every line has the agent's log sent elsewhere as well. Nothing is
// written for what devices do by themselves, but for an alarm.
//
// The chain shows that a line was taken out or changed later, to who has noted a later
// hash elsewhere (it is in the agent's log at each write). It holds nobody up who
// rewrites all that follows.
package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Entry is one line.
type Entry struct {
	N      uint64 `json:"n"` // from 1, and on through all restarts
	Time   string `json:"time"`
	Who    string `json:"who"`  // "uid 0", "the page", "the schedule"
	What   string `json:"what"` // the command
	Entity string `json:"entity_id,omitempty"`
	User   string `json:"user,omitempty"`
	Result string `json:"result"`
	Detail string `json:"detail,omitempty"`
	Prev   string `json:"prev"` // of the line before, LF included: the first 16 bytes of its SHA-256 in hex; empty for the first
}

// Limits, in bytes and times.
const (
	maxLine   = 1024 // what is longer has its detail cut
	maxDetail = 400
	maxFile   = 32 << 10 // of each of the two files
	maxWaits  = 4 << 10  // of lines that wait to be written
	patience  = 30 * time.Second

	oldExt = ".old"
)

// Log is an audit log. A nil one keeps nothing.
type Log struct {
	path string
	now  func() time.Time
	log  *slog.Logger

	mu      sync.Mutex
	waits   bytes.Buffer
	size    int64 // of the file
	n       uint64
	head    string // hash of the last line
	written int64
	failing bool
	wake    chan struct{}
	noted   chan Entry
}

// maxNoted bounds what Note hands over.
const maxNoted = 64

// Open reads where the log ends. What a power cut left of a last line is cut off.
func Open(path string, now func() time.Time, log *slog.Logger) (*Log, error) {
	l := &Log{path: path, now: now, log: log, wake: make(chan struct{}, 1), noted: make(chan Entry, maxNoted)}
	for _, name := range []string{path + oldExt, path} {
		text, err := readFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		end := bytes.LastIndexByte(text, '\n') + 1
		if end < len(text) {
			if err := os.Truncate(name, int64(end)); err != nil {
				return nil, fmt.Errorf("mending the audit log: %w", err)
			}
		}
		l.size = int64(end)
		if end == 0 {
			continue
		}
		last := text[bytes.LastIndexByte(text[:end-1], '\n')+1 : end]
		var e Entry
		if json.Unmarshal(last, &e) == nil {
			l.n = e.N
		}
		l.head = Hash(last)
	}
	return l, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2*maxFile))
}

// Hash is what the next line says of a line.
func Hash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:16])
}

// Add adds a line. It may write to flash, and wait for it.
func (l *Log) Add(e Entry) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waits.Len() >= 4*maxWaits {
		l.log.Error("a line of the audit log is lost: it cannot be written", "who", e.Who, "what", e.What, "entity_id", e.Entity)
		return
	}
	l.n++
	e.N, e.Prev, e.Time = l.n, l.head, l.now().UTC().Format(time.RFC3339)
	if len(e.Detail) > maxDetail {
		e.Detail = e.Detail[:maxDetail] + "…"
	}
	line, err := json.Marshal(e)
	if err != nil || len(line) >= maxLine {
		e.Detail = ""
		line, _ = json.Marshal(e) // strings and a number
	}
	line = append(line, '\n')
	l.head = Hash(line)
	l.waits.Write(line)
	if l.waits.Len() >= maxWaits {
		l.flush()
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Note is Add for who must not wait, such as the goroutine that serves all devices: Run
// adds the line. Where too many come at once it is lost, and the log says so.
func (l *Log) Note(e Entry) {
	if l == nil {
		return
	}
	select {
	case l.noted <- e:
	default:
		l.log.Warn("a line of the audit log is lost: too many at once", "what", e.What, "entity_id", e.Entity)
	}
}

// Run writes what waits, until ctx ends and all is written.
func (l *Log) Run(ctx context.Context) {
	if l == nil {
		return
	}
	for ctx.Err() == nil {
		select {
		case e := <-l.noted:
			l.Add(e)
			continue
		case <-l.wake:
		case <-ctx.Done():
			continue
		}
		timer := time.NewTimer(patience)
		for waiting := true; waiting; {
			select {
			case e := <-l.noted:
				l.Add(e)
			case <-timer.C:
				waiting = false
			case <-ctx.Done():
				waiting = false
			}
		}
		timer.Stop()
		l.Flush()
	}
	for len(l.noted) > 0 {
		l.Add(<-l.noted)
	}
	l.Flush()
}

// Flush writes what waits.
func (l *Log) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if l.waits.Len() > 0 { // not written: once more, after a while
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

func (l *Log) flush() {
	if l.waits.Len() == 0 {
		return
	}
	err := l.write()
	switch {
	case err == nil:
		if l.failing {
			l.log.Info("the audit log can be written again")
		}
		l.log.Info("audit log written", "line", l.n, "hash", l.head)
	case !l.failing:
		l.log.Error("the audit log cannot be written", "reason", err)
	}
	l.failing = err != nil
}

func (l *Log) write() error {
	if l.size+int64(l.waits.Len()) > maxFile {
		if err := os.Rename(l.path, l.path+oldExt); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.size = 0
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	n, err := f.Write(l.waits.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		// What came half is taken back, or a repeat would stand in the middle of it.
		return errors.Join(err, f.Truncate(l.size), f.Close())
	}
	l.size += int64(n)
	l.written += int64(n)
	l.waits.Reset()
	return f.Close()
}

// Head is the last line's number and hash, and how many bytes went to flash.
func (l *Log) Head() (n uint64, hash string, written int64) {
	if l == nil {
		return 0, "", 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n, l.head, l.written
}

// Text is all lines that are there, the oldest first.
func (l *Log) Text() ([]byte, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, oldErr := readFile(l.path + oldExt)
	text, err := readFile(l.path)
	return append(append(old, text...), l.waits.Bytes()...), errors.Join(oldErr, err)
}

// Check reads lines, hands each on, and tells whether the chain holds.
func Check(text []byte, each func(Entry)) error {
	prev, n := "", uint64(0)
	for first := true; len(text) > 0; first = false {
		line := text
		if at := bytes.IndexByte(text, '\n'); at >= 0 {
			line = text[:at+1]
		}
		text = text[len(line):]
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("what stands behind line %d is no line of the log", n)
		}
		if !first && (e.Prev != prev || e.N != n+1) {
			return fmt.Errorf("line %d does not follow line %d: lines were taken out, or changed", e.N, n)
		}
		prev, n = Hash(line), e.N
		each(e)
	}
	return nil
}

// Last is the hash of the last line of a text.
func Last(text []byte) string {
	text = bytes.TrimSuffix(text, []byte("\n"))
	return Hash(append(bytes.Clone(text[bytes.LastIndexByte(text, '\n')+1:]), '\n'))
}
