// Package wire encodes and decodes messages by code that was written from
// docs/protocol.md and the RFCs alone: the conformance kit must not share a fault with
// package cpns, and has to send what that package refuses to encode. The encoders check
// nothing; every part of a message can be replaced before it is put together.
//
//   - cbor.go encodes CBOR items (RFC 8949), cose.go the two COSE objects and the keys
//   - messages.go has the seven messages of section 4, body.go the bodies of section 3,
//     frame.go the frames of a byte stream
//   - decode.go decodes any CBOR. To find out whether what was received is in the one
//     canonical encoding, the fields are encoded again and the bytes compared.
package wire

import (
	"encoding/binary"
	"slices"
)

// Major types of CBOR.
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
)

// Null is CBOR's null.
var Null = []byte{0xf6}

// Head is an item's first bytes in their shortest form: a major type and a number.
func Head(major byte, n uint64) []byte {
	switch {
	case n < 24:
		return []byte{major<<5 | byte(n)}
	case n < 1<<8:
		return []byte{major<<5 | 24, byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{major<<5 | 25}, uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32([]byte{major<<5 | 26}, uint32(n))
	}
	return binary.BigEndian.AppendUint64([]byte{major<<5 | 27}, n)
}

// LongHead is Head with eight bytes for the number, however small it is.
func LongHead(major byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{major<<5 | 27}, n)
}

// Uint is an unsigned integer.
func Uint(n uint64) []byte { return Head(majorUint, n) }

// LongUint is one that is longer than it need be.
func LongUint(n uint64) []byte { return LongHead(majorUint, n) }

// Int is an integer.
func Int(n int64) []byte {
	if n < 0 {
		return Head(majorNegative, uint64(-(n + 1)))
	}
	return Uint(uint64(n))
}

// Bytes is a byte string.
func Bytes(b []byte) []byte { return append(Head(majorBytes, uint64(len(b))), b...) }

// Text is a text string.
func Text(s string) []byte { return append(Head(majorText, uint64(len(s))), s...) }

// Array is an array of items that are encoded already.
func Array(items ...[]byte) []byte {
	return append(Head(majorArray, uint64(len(items))), slices.Concat(items...)...)
}

// OpenArray is an array of indefinite length.
func OpenArray(items ...[]byte) []byte {
	return append(append([]byte{majorArray<<5 | 31}, slices.Concat(items...)...), 0xff)
}

// Map is a map of keys and values, one after the other, encoded already.
func Map(items ...[]byte) []byte {
	return append(Head(majorMap, uint64(len(items)/2)), slices.Concat(items...)...)
}

// Tagged is an item with a tag.
func Tagged(tag uint64, item []byte) []byte { return append(Head(majorTag, tag), item...) }
