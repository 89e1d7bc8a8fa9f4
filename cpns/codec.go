package cpns

import (
	"bytes"
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns/cbor"
)

var (
	// ErrMalformed is wrapped by the error of whatever is not a message of
	// this protocol: too long, not canonical, or a value out of its range.
	// After opening it means that who holds the key sent nonsense.
	ErrMalformed = errors.New("malformed")
	// ErrNotAuthentic is wrapped by the error of a message that is well formed
	// but was not made with this key for this purpose and context.
	ErrNotAuthentic = errors.New("not authentic")
)

// malformed says what is wrong with a message. The detail is for people: nobody
// branches on it.
func malformed(detail error) error { return fmt.Errorf("%w: %v", ErrMalformed, detail) }

// A coded is what has a CBOR encoding (RFC 8949 section 4.2.1, core deterministic).
// code goes over its fields in their order, and is the one description of both ways:
// the coder writes each, or reads it.
type coded interface{ code(*coder) }

// A coder encodes where in is nil, and decodes in otherwise.
type coder struct {
	out cbor.Writer
	in  *cbor.Reader
}

// array begins an array of n elements.
func (c *coder) array(n int) {
	if c.in != nil {
		c.in.Array(n)
	} else {
		c.out.Array(n)
	}
}

// arrayOr begins an array of n elements, or of one more where the last is there: that
// is what has says where it encodes, and what arrayOr says in either case.
func (c *coder) arrayOr(n int, has bool) bool {
	if c.in != nil {
		got := c.in.ArrayLen(n + 1)
		if got < n {
			c.in.Fail(fmt.Errorf("an array of %d elements, must be %d or %d", got, n, n+1))
		}
		return got == n+1
	}
	if has {
		n++
	}
	c.out.Array(n)
	return has
}

// entries begins a map of n entries.
func (c *coder) entries(n int) {
	if c.in != nil {
		c.in.Map(n)
	} else {
		c.out.Map(n)
	}
}

// is codes a number that is always the same: a key of a map, or a message's type.
func (c *coder) is(n uint64) {
	if c.in == nil {
		c.out.Uint(n)
	} else if got := c.in.Uint(n); got != n {
		c.in.Fail(fmt.Errorf("%d, must be %d", got, n))
	}
}

func (c *coder) version() {
	if c.in == nil {
		c.out.Uint(Version)
	} else if v := c.in.Uint(1<<64 - 1); v != Version {
		c.in.Fail(fmt.Errorf("version %d, must be %d", v, Version))
	}
}

// number codes a number, as large as its type allows.
func number[N ~uint8 | ~uint16 | ~uint32 | ~uint64](c *coder, n *N) {
	if c.in != nil {
		*n = N(c.in.Uint(uint64(^N(0))))
	} else {
		c.out.Uint(uint64(*n))
	}
}

// text codes a text string.
func text[S ~string](c *coder, s *S) {
	if c.in != nil {
		*s = S(c.in.Text())
	} else {
		c.out.Text(string(*s))
	}
}

// octets codes a byte string of any length. What is read is a copy.
func octets[B ~[]byte](c *coder, b *B) {
	if c.in != nil {
		*b = append(B{}, c.in.Bytes()...)
	} else {
		c.out.Bytes(*b)
	}
}

// fixed codes a byte string of just this length, in place.
func (c *coder) fixed(b []byte) {
	if c.in != nil {
		c.in.Fill(b)
	} else {
		c.out.Bytes(b)
	}
}

// null codes null where there is nothing: that is what absent says where it encodes,
// and what null says in either case.
func (c *coder) null(absent bool) bool {
	if c.in != nil {
		return c.in.Null()
	}
	if absent {
		c.out.Null()
	}
	return absent
}

// usualSize has room for most messages, and for what a seal covers besides one: a
// buffer that grows from nothing is copied five times.
const usualSize = 192

// encode encodes v, which cannot fail.
func encode(v coded) []byte { return encodeInto(usualSize, v) }

// encodeInto encodes v into room for size bytes; it may take more.
func encodeInto(size int, v coded) []byte {
	c := coder{out: make(cbor.Writer, 0, size)}
	v.code(&c)
	return c.out
}

// decode decodes the whole of b, at most limit bytes, into v. Its errors wrap
// ErrMalformed.
//
// The result is encoded again, and must be what came: whatever a reader may overlook,
// what is accepted has one encoding.
func decode(b []byte, limit int, v coded) error {
	if len(b) > limit {
		return malformed(fmt.Errorf("%d bytes, at most %d", len(b), limit))
	}
	c := coder{in: cbor.NewReader(b)}
	v.code(&c)
	if err := c.in.End(); err != nil {
		return malformed(err)
	}
	if !bytes.Equal(encodeInto(len(b), v), b) {
		return malformed(errors.New("not in canonical encoding"))
	}
	return nil
}

// encodeArray encodes an array of the values given: what a seal covers besides its
// contents.
func encodeArray(values ...any) []byte {
	w := make(cbor.Writer, 0, usualSize)
	w.Array(len(values))
	for _, value := range values {
		switch v := value.(type) {
		case string:
			w.Text(v)
		case EntityID:
			w.Text(string(v))
		case GatewayID:
			w.Text(string(v))
		case []byte:
			w.Bytes(v)
		case *[NonceSize]byte:
			w.Bytes(v[:])
		case MessageType:
			w.Uint(uint64(v))
		case AckStatus:
			w.Uint(uint64(v))
		case Epoch:
			w.Uint(uint64(v))
		case Index:
			w.Uint(uint64(v))
		default:
			panic(fmt.Sprintf("cpns: encoding a %T", value))
		}
	}
	return w
}
