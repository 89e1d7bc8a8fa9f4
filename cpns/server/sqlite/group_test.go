package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// commits counts those of the writing connection.
func commits(t *testing.T, s *Store) (n uint64) {
	t.Helper()
	c := <-s.writer
	defer func() { s.writer <- c }()
	return c.commits.Load()
}

// together runs updates as one group: the first of them goes on when all others wait.
func together(t *testing.T, s *Store, first func(server.Tx) error, others ...func() error) (errs []error) {
	t.Helper()
	s.groupTime = time.Minute // however slow the machine is
	errs = make([]error, len(others)+1)
	var wg sync.WaitGroup
	begun := make(chan struct{})
	waited := false
	once := sync.OnceFunc(func() { close(begun) })
	wg.Go(func() {
		errs[0] = s.Update(t.Context(), func(tx server.Tx) error {
			once()
			for !waited { // but not when it is run again
				time.Sleep(time.Millisecond)
				s.queue.mu.Lock()
				n := len(s.queue.waiting)
				s.queue.mu.Unlock()
				waited = n == len(others)
			}
			return first(tx)
		})
	})
	<-begun
	for n, other := range others {
		wg.Go(func() { errs[n+1] = other() })
	}
	wg.Wait()
	return errs
}

func has(t *testing.T, s *Store, name string) bool {
	t.Helper()
	err := s.View(t.Context(), func(tx server.Tx) error { _, err := tx.Setting(name); return err })
	if err != nil && !errors.Is(err, server.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func add(name string) func(server.Tx) error {
	return func(tx server.Tx) error { return tx.AddSetting(name, nil) }
}

// Updates that come together share a commit.
func TestGroupCommit(t *testing.T) {
	s := create(t, filepath.Join(t.TempDir(), "cpns.db"))
	defer s.Close()
	before := commits(t, s)
	const many = 40
	var others []func() error
	for n := range many {
		others = append(others, func() error { return s.Update(t.Context(), add(fmt.Sprint(n))) })
	}
	for _, err := range together(t, s, add("first"), others...) {
		if err != nil {
			t.Error(err)
		}
	}
	if got := commits(t, s) - before; got != 1 {
		t.Errorf("%d commits for %d updates", got, many+1)
	}
	for n := range many {
		if !has(t, s, fmt.Sprint(n)) {
			t.Errorf("update %d is lost", n)
		}
	}
}

var errOwn = errors.New("own")

// What fails, panics or is given up in a group takes back what is its own, and nothing
// of the others'.
func TestGroupApart(t *testing.T) {
	for _, firstFails := range []bool{false, true} {
		s := create(t, filepath.Join(t.TempDir(), "cpns.db"))
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		first := func(tx server.Tx) error {
			err := tx.AddSetting("first", nil)
			if firstFails {
				err = errOwn
			}
			return err
		}
		errs := together(t, s, first,
			func() error { return s.Update(t.Context(), add("a")) },
			func() error {
				return s.Update(t.Context(), func(tx server.Tx) error { return errors.Join(tx.AddSetting("fails", nil), errOwn) })
			},
			func() (err error) {
				defer func() { err = fmt.Errorf("%v", recover()) }()
				return s.Update(t.Context(), func(tx server.Tx) error {
					if err := tx.AddSetting("panics", nil); err != nil {
						return err
					}
					panic("own")
				})
			},
			func() error {
				return s.Update(ctx, func(tx server.Tx) error { err := tx.AddSetting("given up", nil); cancel(); return err })
			},
			func() error { return s.Update(t.Context(), add("b")) })
		if got := errs[0] != nil; got != firstFails {
			t.Errorf("the first: %v", errs[0])
		}
		if errs[1] != nil || errs[5] != nil {
			t.Errorf("those that succeed: %v, %v", errs[1], errs[5])
		}
		if !errors.Is(errs[2], errOwn) || errs[3] == nil || errs[3].Error() != "own" || !errors.Is(errs[4], context.Canceled) {
			t.Errorf("those that fail: %v, %v, %v", errs[2], errs[3], errs[4])
		}
		for name, want := range map[string]bool{"first": !firstFails, "a": true, "b": true, "fails": false, "panics": false, "given up": false} {
			if has(t, s, name) != want {
				t.Errorf("the first fails: %v: %s is there: %v", firstFails, name, !want)
			}
		}
	}
}

// An update that makes SQLite give up the transaction, as one that is interrupted while
// it writes does, costs the others a second try and nothing else.
func TestGroupLost(t *testing.T) {
	s := create(t, filepath.Join(t.TempDir(), "cpns.db"))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ran := map[string]int{}
	count := func(name string) func(server.Tx) error {
		return func(tx server.Tx) error { ran[name]++; return add(name)(tx) }
	}
	errs := together(t, s, count("first"),
		func() error {
			return s.Update(ctx, func(t server.Tx) error {
				time.AfterFunc(20*time.Millisecond, cancel)
				_, err := t.(*tx).exec("INSERT INTO settings (name, value) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'n' || i, x'' FROM n")
				return err
			})
		},
		func() error { return s.Update(t.Context(), count("a")) })
	if errs[0] != nil || errs[2] != nil || !errors.Is(errs[1], context.Canceled) {
		t.Fatalf("got %v", errs)
	}
	if !has(t, s, "first") || !has(t, s, "a") || has(t, s, "n1") {
		t.Error("what is there is not what was written")
	}
	if ran["first"] != 2 {
		t.Errorf("the first ran %d times", ran["first"])
	}
}

// Who gives up while waiting does not hold the others up.
func TestGroupGivenUpWaiting(t *testing.T) {
	s := create(t, filepath.Join(t.TempDir(), "cpns.db"))
	defer s.Close()
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*20*time.Microsecond)
			defer cancel()
			name := fmt.Sprint(n)
			err := s.Update(ctx, add(name))
			if there := has(t, s, name); there != (err == nil) {
				t.Errorf("%s: %v, and it is there: %v", name, err, there)
			}
		})
	}
	wg.Wait()
	if err := s.Update(t.Context(), add("last")); err != nil {
		t.Error(err)
	}
}
