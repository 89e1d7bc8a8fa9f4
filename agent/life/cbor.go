package life

import "errors"

// What of CBOR (RFC 8949) a record takes: integers, strings, arrays of a fixed
// length, true, false and null, all of definite length. It is written out here and
// not left to the codec of package cpns, because ten thousand records are read at
// every start, on processors where a codec by reflection takes seconds for that.

const (
	majorUint, majorNegative, majorBytes, majorText, majorArray = 0, 1, 2, 3, 4

	simpleFalse, simpleTrue, simpleNull = 0xf4, 0xf5, 0xf6
)

// A cborWriter collects an encoding in the shortest form, which is core
// deterministic.
type cborWriter []byte

func (w *cborWriter) head(major byte, n uint64) {
	size, info := 0, byte(n)
	switch {
	case n < 24:
	case n < 1<<8:
		size, info = 1, 24
	case n < 1<<16:
		size, info = 2, 25
	case n < 1<<32:
		size, info = 4, 26
	default:
		size, info = 8, 27
	}
	*w = append(*w, major<<5|info)
	for size--; size >= 0; size-- {
		*w = append(*w, byte(n>>(8*size)))
	}
}

func (w *cborWriter) array(n int) { w.head(majorArray, uint64(n)) }

func (w *cborWriter) uint(n uint64) { w.head(majorUint, n) }

func (w *cborWriter) int(n int64) {
	if n < 0 {
		w.head(majorNegative, uint64(^n))
	} else {
		w.uint(uint64(n))
	}
}

func (w *cborWriter) bytes(b []byte) {
	w.head(majorBytes, uint64(len(b)))
	*w = append(*w, b...)
}

func (w *cborWriter) text(s string) {
	w.head(majorText, uint64(len(s)))
	*w = append(*w, s...)
}

func (w *cborWriter) bool(b bool) {
	if b {
		*w = append(*w, simpleTrue)
	} else {
		*w = append(*w, simpleFalse)
	}
}

func (w *cborWriter) null() { *w = append(*w, simpleNull) }

var errCBOR = errors.New("not the CBOR of a record")

// A cborReader takes an encoding apart. After the first thing that is not as asked
// for it gives zeros, and err says so. It is lenient about long forms: who wants the
// shortest encodes the result again and compares.
type cborReader struct {
	rest []byte
	err  error
}

func (r *cborReader) fail() {
	r.rest, r.err = nil, errCBOR
}

func (r *cborReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// head reads the head of an item of that major type.
func (r *cborReader) head(major byte) (n uint64) {
	b := r.take(1)
	if b == nil || b[0]>>5 != major || b[0]&31 > 27 {
		r.fail()
		return 0
	}
	info := b[0] & 31
	if info < 24 {
		return uint64(info)
	}
	for _, c := range r.take(1 << (info - 24)) {
		n = n<<8 | uint64(c)
	}
	return n
}

// array reads the head of an array, which must have n elements.
func (r *cborReader) array(n int) {
	if r.head(majorArray) != uint64(n) {
		r.fail()
	}
}

// uint reads a number that is at most max.
func (r *cborReader) uint(max uint64) uint64 {
	n := r.head(majorUint)
	if n > max {
		r.fail()
		return 0
	}
	return n
}

func (r *cborReader) int() int64 {
	major := byte(majorUint)
	if len(r.rest) > 0 && r.rest[0]>>5 == majorNegative {
		major = majorNegative
	}
	n := int64(r.head(major))
	if n < 0 {
		r.fail()
		return 0
	}
	if major == majorNegative {
		return ^n
	}
	return n
}

// bytes is part of what is read, not a copy.
func (r *cborReader) bytes() []byte { return r.take(r.head(majorBytes)) }

// fill reads a byte string that is as long as b into b.
func (r *cborReader) fill(b []byte) {
	if copy(b, r.bytes()) != len(b) {
		r.fail()
	}
}

func (r *cborReader) text() string { return string(r.take(r.head(majorText))) }

func (r *cborReader) bool() bool {
	b := r.take(1)
	if b == nil || b[0]&^1 != simpleFalse {
		r.fail()
		return false
	}
	return b[0] == simpleTrue
}

// null takes a null, if there is one.
func (r *cborReader) null() bool {
	if len(r.rest) == 0 || r.rest[0] != simpleNull {
		return false
	}
	r.rest = r.rest[1:]
	return true
}
