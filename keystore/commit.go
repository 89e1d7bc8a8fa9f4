package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// A change is one Put or Delete.
type change struct {
	name   string
	value  []byte
	remove bool
	err    error
	put    entryAt // where it went
}

// A batch is what is written with one sync.
type batch struct {
	changes []*change
	size    int
	done    chan struct{} // closed once all errors are there
}

// maxBatch bounds the bytes of a batch. What comes beyond goes into another one.
const maxBatch = 128 << 10

// commit makes a change durable together with what else waits. The first of each
// batch writes it, when the batch before is written; until then others join it.
func (s *Store) commit(c *change) error {
	size := 2*(Overhead+len(c.name)) + len(c.value)
	s.gathering.Lock()
	b := s.next
	if b != nil && b.size+size <= maxBatch {
		b.changes, b.size = append(b.changes, c), b.size+size
		s.gathering.Unlock()
		<-b.done
		return c.err
	}
	b = &batch{changes: []*change{c}, size: size, done: make(chan struct{})}
	s.next = b
	s.gathering.Unlock()

	s.writing.take()
	defer s.writing.give()
	s.gathering.Lock()
	if s.next == b {
		s.next = nil // nobody joins any more
	}
	s.gathering.Unlock()
	s.write(b.changes)
	close(b.done)
	// Nobody but this caller waits for what is done for later.
	s.compactIfItPays()
	s.keepReserve()
	return c.err
}

// write writes what changes there are, and gives each its error.
func (s *Store) write(changes []*change) {
	if s.closed {
		for _, c := range changes {
			c.err = errClosed
		}
		return
	}
	var todo, removals []*change
	for _, c := range changes {
		_, there := s.index[c.name]
		switch {
		case c.remove && there:
			removals = append(removals, c)
		case c.remove:
			continue
		case s.broken[c.name] != nil:
			c.err = fmt.Errorf("not overwritten: %w", s.recordError(c.name, s.broken[c.name]))
			continue
		}
		todo = append(todo, c)
	}
	err := s.append(todo)
	if noRoom(err) && len(removals) > 0 && s.giveReserve() {
		for _, c := range todo {
			c.err = s.writeError(c, err)
		}
		todo = removals
		err = s.append(todo)
	}
	for _, c := range todo {
		c.err = nil
		if err != nil {
			c.err = s.writeError(c, err)
		}
	}
}

func (s *Store) writeError(c *change, err error) error {
	return &WriteError{Name: c.name, Dir: s.folder.path, Err: err}
}

// append makes changes durable, all or none.
//
// Where it fails the log is cut back to what was durable before, now or before the
// next write: after a sync that failed nobody knows what the disk has, and a later
// sync may say that all is well. The pages are then written again with the next
// entries in them, under the same numbers.
func (s *Store) append(changes []*change) error {
	if len(changes) == 0 {
		return nil
	}
	if err := s.ready(); err != nil {
		return err
	}
	w := s.writer()
	if s.void != nil {
		w.entry(noRecord, s.void.contents())
	}
	for _, c := range changes {
		w.change(c, s.index[c.name])
	}
	s.torn = true
	err := w.flush()
	if err == nil {
		err = s.log.Sync()
	}
	if err == nil && s.renamed {
		err = s.disk.sync()
	}
	if err != nil {
		_ = s.cutBack() // if it fails, it is done before the next write
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.torn, s.void, s.renamed = false, nil, false
	s.end, s.seq, s.lastID = w.at, w.seq, w.lastID
	for _, c := range changes {
		s.forget(c.name)
		if !c.remove {
			s.enter(c.name, c.put)
		}
	}
	return nil
}

// enter and forget change the index.
func (s *Store) enter(name string, e entryAt) {
	s.index[name] = e
	s.live += e.kept(name)
}

func (s *Store) forget(name string) {
	s.live -= s.index[name].kept(name)
	delete(s.index, name)
	delete(s.broken, name)
}

// ready holds that the log is still in the folder, and ends where it should.
func (s *Store) ready() error {
	info, err := s.log.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return fs.ErrNotExist // removed, and the folder with it: what is written is gone
	}
	if f, ok := s.log.(osFile); ok && f.readOnly {
		if err := s.openAgain(info); err != nil {
			return err
		}
	}
	if s.torn {
		return s.cutBack()
	}
	return nil
}

// openAgain opens a log for writing that was on a read-only file system.
func (s *Store) openAgain(info fs.FileInfo) error {
	log, err := s.disk.open(logFile)
	if err != nil {
		return err
	}
	if now, err := log.Stat(); err != nil || !os.SameFile(now, info) {
		log.Close()
		return fs.ErrNotExist
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Close()
	s.log = log
	return nil
}

// cutBack cuts off what is behind the last durable entry.
func (s *Store) cutBack() error {
	info, err := s.log.Stat()
	if err != nil {
		return err
	}
	if info.Size() > s.end { // on a full jffs2 there is no room even for cutting
		if err := s.log.Truncate(s.end); err != nil {
			return err
		}
	}
	s.torn = false
	return nil
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// A turn is a lock. Who waits for it waits in a channel, which tests can tell from
// being busy.
type turn chan struct{}

func (t turn) take() { t <- struct{}{} }
func (t turn) give() { <-t }
