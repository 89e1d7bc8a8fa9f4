// Package logtest holds what a program logs while a test reads it.
package logtest

import (
	"bytes"
	"strings"
	"sync"
)

// A Buffer is a bytes.Buffer that several goroutines may write to and read at the same
// time. Its zero value is an empty one.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends p, and never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Count returns how many times text was written.
func (b *Buffer) Count(text string) int { return strings.Count(b.String(), text) }
