package keystore

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
)

// A slowDisk's syncs take until they are let go, and fail as they are told to.
type slowDisk struct {
	disk
	syncs  atomic.Int32
	result chan error
}

func (d *slowDisk) over(f *folder) disk { d.disk = f; return d }

type slowFile struct {
	file
	disk *slowDisk
}

func (f slowFile) Sync() error {
	f.disk.syncs.Add(1)
	return <-f.disk.result
}

// slowly gives a store a slow disk.
func slowly(s *Store) *slowDisk {
	d := &slowDisk{result: make(chan error)}
	s.disk, s.log = d.over(s.folder), slowFile{s.log, d}
	return d
}

// What comes while the disk is at work is written with one sync, and a sync that fails, fails all that waited for it
// and nobody else.
func TestCommitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		mustPut(t, s, "gone", "1")
		log := s.log
		d := slowly(s)
		results := make([]error, 32)
		var wg sync.WaitGroup
		put := func(from, to int) {
			for i := from; i < to; i++ {
				wg.Go(func() { results[i] = s.Put(fmt.Sprint("pne-", i), []byte("value")) })
			}
			synctest.Wait()
		}
		put(0, 1) // writes
		put(1, 16)
		d.result <- nil // the first's; the fifteen are written
		synctest.Wait()
		var deleted error
		wg.Go(func() { deleted = s.Delete("gone") })
		put(16, 32)
		d.result <- syscall.EIO // the fifteen's
		synctest.Wait()
		d.result <- nil
		wg.Wait()
		if n := d.syncs.Load(); n != 3 {
			t.Errorf("%d syncs for 33 changes in three batches", n)
		}
		for i, err := range results {
			if failed := i >= 1 && i < 16; failed != errors.Is(err, syscall.EIO) || !failed && err != nil {
				t.Errorf("Put %d: %v", i, err)
			}
		}
		if deleted != nil {
			t.Errorf("Delete: %v", deleted)
		}
		s.disk, s.log = s.folder, log
		s = reopen(t, s)
		names, err := s.List()
		if err != nil || len(names) != 17 || slices.Contains(names, "gone") {
			t.Errorf("there are %q, %v", names, err)
		}
		wantSound(t, s)
	})
}

// A batch is bounded: what comes beyond is written with the next sync.
func TestBatchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		log := s.log
		d := slowly(s)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := s.Put(fmt.Sprint("pne-", i), make([]byte, MaxValue)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		// The first alone, then two a batch.
		for range 5 {
			d.result <- nil
			synctest.Wait()
		}
		wg.Wait()
		if n := d.syncs.Load(); n != 5 {
			t.Errorf("%d syncs, want 5", n)
		}
		s.disk, s.log = s.folder, log
		if names, err := reopen(t, s).List(); err != nil || len(names) != 8 {
			t.Errorf("there are %q, %v", names, err)
		}
	})
}

// Close waits for what is being written; who comes later is told.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		d := slowly(s)
		var first, second, closed error
		var wg sync.WaitGroup
		wg.Go(func() { first = s.Put("a", nil) })
		synctest.Wait()
		wg.Go(func() { closed = s.Close() })
		synctest.Wait()
		if _, err := s.Get("a"); errors.Is(err, errClosed) {
			t.Error("closed before what was being written was")
		}
		d.result <- nil
		synctest.Wait()
		second = s.Put("b", nil)
		wg.Wait()
		if first != nil || closed != nil || !errors.Is(second, errClosed) {
			t.Errorf("got %v, %v, %v", first, closed, second)
		}
		wantList(t, mustOpen(t, s.folder.path), "a")
	})
}
