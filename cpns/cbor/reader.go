package cbor

import (
	"errors"
	"math"
	"unicode/utf8"
)

var (
	errOther    = errors.New("another item than belongs there, or one of another size")
	errShort    = errors.New("cut off")
	errLongForm = errors.New("a number not in its shortest form")
	errTooLarge = errors.New("a number out of its range")
	errUTF8     = errors.New("text that is not UTF-8")
	errRest     = errors.New("more after its end")
)

// A Reader takes an encoding apart. After the first thing that is not as asked for it
// gives zeros, and Err says so: whoever reads looks once, at the end.
type Reader struct {
	rest []byte
	err  error
}

// NewReader reads b, which it does not change.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// Fail ends the reading, for what a caller finds wrong. The first error counts.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.rest, r.err = nil, err
	}
}

// Err is what went wrong first, nil for nothing.
func (r *Reader) Err() error { return r.err }

// End is Err once all is read that was to come: nothing may follow.
func (r *Reader) End() error {
	if len(r.rest) > 0 {
		r.Fail(errRest)
	}
	return r.err
}

func (r *Reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.Fail(errShort)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// head reads the head of an item of that major type.
func (r *Reader) head(major byte) (n uint64) {
	b := r.take(1)
	if b == nil {
		return 0
	}
	info := b[0] & 31
	if b[0]>>5 != major || info > 27 {
		r.Fail(errOther)
		return 0
	}
	if info < 24 {
		return uint64(info)
	}
	b = r.take(1 << (info - 24))
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	if least := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}[info-24]; b != nil && n < least {
		r.Fail(errLongForm)
		return 0
	}
	return n
}

// Array reads the head of an array of n elements.
func (r *Reader) Array(n int) { r.exactly(majorArray, n) }

// Map reads the head of a map of n entries.
func (r *Reader) Map(n int) { r.exactly(majorMap, n) }

func (r *Reader) exactly(major byte, n int) {
	if r.head(major) != uint64(n) {
		r.Fail(errOther)
	}
}

// ArrayLen reads the head of an array of at most max elements, and says of how many.
func (r *Reader) ArrayLen(max int) int {
	n := r.head(majorArray)
	if n > uint64(max) {
		r.Fail(errTooLarge)
		return 0
	}
	return int(n)
}

// Uint reads a number that is at most max.
func (r *Reader) Uint(max uint64) uint64 {
	n := r.head(majorUint)
	if n > max {
		r.Fail(errTooLarge)
		return 0
	}
	return n
}

// Int reads a number that may be negative.
func (r *Reader) Int() int64 {
	major := byte(majorUint)
	if len(r.rest) > 0 && r.rest[0]>>5 == majorNegative {
		major = majorNegative
	}
	n := r.head(major)
	switch {
	case n > math.MaxInt64:
		r.Fail(errTooLarge)
		return 0
	case r.err != nil:
		return 0
	case major == majorNegative:
		return ^int64(n)
	}
	return int64(n)
}

// Bytes reads a byte string. It is part of what is read, not a copy.
func (r *Reader) Bytes() []byte { return r.take(r.head(majorBytes)) }

// Fill reads a byte string that is as long as b into b.
func (r *Reader) Fill(b []byte) {
	if copied := r.Bytes(); len(copied) == len(b) {
		copy(b, copied)
	} else {
		r.Fail(errOther)
	}
}

// Text reads a text string.
func (r *Reader) Text() string {
	s := string(r.take(r.head(majorText)))
	if !utf8.ValidString(s) {
		r.Fail(errUTF8)
		return ""
	}
	return s
}

// Bool reads true or false.
func (r *Reader) Bool() bool {
	b := r.take(1)
	if b == nil || b[0]&^1 != simpleFalse {
		r.Fail(errOther)
		return false
	}
	return b[0] == simpleTrue
}

// Null takes a null, if there is one.
func (r *Reader) Null() bool {
	if len(r.rest) == 0 || r.rest[0] != simpleNull {
		return false
	}
	r.rest = r.rest[1:]
	return true
}
