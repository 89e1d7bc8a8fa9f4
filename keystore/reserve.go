package keystore

import (
	"crypto/rand"
	"errors"
	"io/fs"
)

// The reserve is a file of nothing but noise, so that a record can be removed where
// the file system is full: to remove a record is to append to the log, and the only
// thing that a full jffs2 lets anybody do is remove a file. That has to free an
// erase block and a hundredth of the chip before anything can be written again.
const (
	reserveLeast = 64 << 10
	reserveMost  = 256 << 10
)

// reserveSize is how long the reserve is on a file system of that size, in bytes.
func reserveSize(total int64) int64 {
	size := min(reserveLeast+total/100, reserveMost, total/8)
	return size - size%entryPage
}

// keepReserve makes the reserve where there is none and there is room for two of it: one
// that is too short would be no help, and none of it is taken back from who just made
// room. That it fails harms nothing: it is tried again with the next change.
func (s *Store) keepReserve() {
	if s.reserved || s.closed {
		return
	}
	if _, err := s.disk.lstat(reserveFile); !errors.Is(err, fs.ErrNotExist) {
		s.reserved = err == nil
		return
	}
	free, total, err := s.disk.room()
	size := reserveSize(total)
	if err != nil || size == 0 || free < 2*size {
		return
	}
	f, err := s.disk.create(reserveFile)
	if err != nil {
		return
	}
	noise := make([]byte, entryPage) // what can be compressed takes no room
	for at := int64(0); at < size && err == nil; at += entryPage {
		rand.Read(noise)
		err = f.writeAt(noise, at)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = s.disk.remove(reserveFile)
		return
	}
	s.reserved = true
}

// giveReserve gives the reserve's room away, and says whether there was any.
func (s *Store) giveReserve() bool {
	s.reserved = false
	return s.disk.remove(reserveFile) == nil && s.disk.sync() == nil
}
