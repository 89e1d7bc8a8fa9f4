// Package spool keeps records that are too many for memory, to be read again in their
// order, as often as is wanted. What is more than a few MB is in a file that has no name
// any more, under a key that only this process has: records may be secrets.
package spool

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	chunkBytes = 256 << 10
	inMemory   = 16 // chunks
)

// A Spool is a list of records. Its zero value is not one: New makes it.
type Spool struct {
	aead   cipher.AEAD
	file   *os.File // nil as long as memory does
	sealed [][]byte // chunks, where there is no file
	lens   []int    // of the sealed chunks
	chunk  []byte   // under way
}

// New makes an empty Spool.
func New() (*Spool, error) {
	var key [32]byte
	rand.Read(key[:])
	defer clear(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Spool{aead: aead, chunk: make([]byte, 0, chunkBytes+4096)}, nil
}

// Add adds a record.
func (s *Spool) Add(record []byte) error {
	s.chunk = binary.AppendUvarint(s.chunk, uint64(len(record)))
	s.chunk = append(s.chunk, record...)
	if len(s.chunk) < chunkBytes {
		return nil
	}
	return s.flush()
}

// nonce is that of a chunk: the key is used for this spool alone, and each number once.
func (s *Spool) nonce(n int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, s.aead.NonceSize()-8), uint64(n))
}

func (s *Spool) flush() error {
	if len(s.chunk) == 0 {
		return nil
	}
	sealed := s.aead.Seal(nil, s.nonce(len(s.lens)), s.chunk, nil)
	clear(s.chunk)
	s.chunk = s.chunk[:0]
	s.lens = append(s.lens, len(sealed))
	if s.file == nil && len(s.lens) <= inMemory {
		s.sealed = append(s.sealed, sealed)
		return nil
	}
	if s.file == nil {
		if err := s.intoFile(); err != nil {
			return err
		}
	}
	_, err := s.file.Write(sealed)
	return explain(err)
}

// intoFile goes on in a file, which is gone when this process is.
func (s *Spool) intoFile() error {
	f, err := os.CreateTemp("", "spool-")
	if err != nil {
		return explain(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(explain(err), f.Close())
	}
	s.file = f
	for _, sealed := range s.sealed {
		if _, err := f.Write(sealed); err != nil {
			return explain(err)
		}
	}
	s.sealed = nil
	return nil
}

func explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: what is too much for memory lies in %s meanwhile; TMPDIR names another folder with more room", err, os.TempDir())
}

// Each calls f with every record, in the order in which they were added, until f fails.
// The record is f's only until it returns.
func (s *Spool) Each(f func(record []byte) error) error {
	if err := s.flush(); err != nil {
		return err
	}
	var in *bufio.Reader
	if s.file != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		in = bufio.NewReader(s.file)
	}
	for n, size := range s.lens {
		sealed := make([]byte, size)
		if in == nil {
			copy(sealed, s.sealed[n])
		} else if _, err := io.ReadFull(in, sealed); err != nil {
			return err
		}
		plain, err := s.aead.Open(sealed[:0], s.nonce(n), sealed, nil)
		if err != nil {
			return errors.New("the file of what is too much for memory was changed")
		}
		err = eachOf(plain, f)
		clear(plain)
		if err != nil {
			return err
		}
	}
	return nil
}

func eachOf(chunk []byte, f func([]byte) error) error {
	for len(chunk) > 0 {
		size, n := binary.Uvarint(chunk)
		chunk = chunk[n:]
		if err := f(chunk[:size:size]); err != nil {
			return err
		}
		chunk = chunk[size:]
	}
	return nil
}

// Close forgets the records.
func (s *Spool) Close() error {
	clear(s.chunk)
	s.sealed, s.lens, s.chunk = nil, nil, nil
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
