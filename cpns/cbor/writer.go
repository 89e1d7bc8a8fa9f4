// Package cbor has what of CBOR (RFC 8949) the messages and records of CPNS are made
// of: integers, strings, arrays and maps of a known length, true, false and null, all
// of definite length and in core deterministic encoding (section 4.2.1). A [Writer]
// writes nothing else. A [Reader] is told what is to come, and takes nothing else.
//
// There is no reflection: a router has ten thousand records to read at a start, on a
// processor where a codec by reflection takes seconds for that.
package cbor

// The major types, and the simple values.
const (
	majorUint, majorNegative, majorBytes, majorText, majorArray, majorMap = 0, 1, 2, 3, 4, 5

	simpleFalse, simpleTrue, simpleNull = 0xf4, 0xf5, 0xf6
)

// A Writer collects an encoding. The zero value is an empty one.
type Writer []byte

func (w *Writer) head(major byte, n uint64) {
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

// Array begins an array of n elements, which follow.
func (w *Writer) Array(n int) { w.head(majorArray, uint64(n)) }

// Map begins a map of n entries: key and value of each follow, in the order of the
// encoded keys.
func (w *Writer) Map(n int) { w.head(majorMap, uint64(n)) }

// Uint writes a number.
func (w *Writer) Uint(n uint64) { w.head(majorUint, n) }

// Int writes a number that may be negative.
func (w *Writer) Int(n int64) {
	if n < 0 {
		w.head(majorNegative, uint64(^n))
	} else {
		w.Uint(uint64(n))
	}
}

// Bytes writes a byte string; nil is an empty one.
func (w *Writer) Bytes(b []byte) {
	w.head(majorBytes, uint64(len(b)))
	*w = append(*w, b...)
}

// Text writes a text string, which is to be UTF-8.
func (w *Writer) Text(s string) {
	w.head(majorText, uint64(len(s)))
	*w = append(*w, s...)
}

// Bool writes true or false.
func (w *Writer) Bool(b bool) {
	if b {
		*w = append(*w, simpleTrue)
	} else {
		*w = append(*w, simpleFalse)
	}
}

// Null writes null.
func (w *Writer) Null() { *w = append(*w, simpleNull) }
