package main

import (
	"sync/atomic"

	"cpns.example.net/pngw/keystore"
)

// countedStore counts what goes to the store, in bytes of records, as metrics tell it:
// what a file system makes of it on flash is in docs/flash.md.
type countedStore struct {
	*keystore.Store
	written atomic.Int64
}

// Put is the store's own.
func (s *countedStore) Put(name string, value []byte) error {
	s.written.Add(int64(len(name) + len(value)))
	return s.Store.Put(name, value)
}
