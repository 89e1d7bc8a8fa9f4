package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// Every connection keeps what is promised of it: a commit is on the disk when it
// returns, rows belong together, and what is deleted is overwritten.
func TestEveryConnection(t *testing.T) {
	s := create(t, filepath.Join(t.TempDir(), "cpns.db"))
	defer s.Close()
	for name, p := range map[string]pool{"writer": s.writer, "reader": s.readers} {
		for range cap(p) {
			c := <-p
			for pragma, want := range map[string]int{
				"synchronous":    2, // full: each commit ends with an fsync of the log
				"foreign_keys":   1,
				"secure_delete":  1,
				"trusted_schema": 0,
				"busy_timeout":   int(busyTimeout.Milliseconds()),
				"query_only":     map[string]int{"writer": 0, "reader": 1}[name],
			} {
				if got, err := number(c, "PRAGMA "+pragma); err != nil || got != want {
					t.Errorf("%s: %s is %d, %v, want %d", name, pragma, got, err, want)
				}
			}
			p <- c
		}
	}
}

// What was deleted or replaced is nowhere in the file any more.
func TestDeletedIsOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpns.db")
	secret := func(n byte) server.Sealed { return bytes.Repeat([]byte{0xa0 + n, 0x5c, 0x3e, n}, 16) }
	do := func(f func(tx server.Tx) error) {
		t.Helper()
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil { // moves the log into the file
			t.Fatal(err)
		}
	}
	create(t, path).Close()
	do(func(tx server.Tx) error {
		for n := byte(0); n < 4; n++ {
			if err := tx.AddPNE(server.PNE{Entity: cpns.EntityID(fmt.Sprint("pne-", n)), TK: secret(n)}); err != nil {
				return err
			}
		}
		return tx.AddUser(server.User{ID: "alice", PasswordHash: secret(4)})
	})
	in := func(n byte) bool {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(content, secret(n)[:24])
	}
	for n := byte(0); n < 5; n++ {
		if !in(n) {
			t.Fatalf("secret %d is not in the file to begin with", n)
		}
	}
	do(func(tx server.Tx) error {
		if err := tx.RemovePNE("pne-1"); err != nil {
			return err
		}
		if err := tx.SetTK("pne-2", bytes.Repeat([]byte{1}, 20)); err != nil {
			return err
		}
		return tx.RemoveUser("alice")
	})
	for n, want := range []bool{true, false, false, true, false} {
		if got := in(byte(n)); got != want {
			t.Errorf("secret %d in the file: %v, want %v", n, got, want)
		}
	}
}

// Whoever opens the database and reads does not wait for one who writes.
func TestReadingTakesNoWriteLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpns.db")
	writer := create(t, path)
	defer writer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), busyTimeout/2)
	defer cancel()
	err := writer.Update(ctx, func(tx server.Tx) error {
		if err := tx.AddSetting("half", nil); err != nil {
			return err
		}
		begin := time.Now()
		reader, err := Open(ctx, path)
		if err != nil {
			return err
		}
		err = reader.View(ctx, func(tx server.Tx) error {
			_, err := tx.UsersAfter("", 10)
			return err
		})
		if err := reader.Close(); err != nil {
			return err
		}
		t.Logf("read in %v while another wrote", time.Since(begin))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
