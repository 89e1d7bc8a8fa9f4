package cpns

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
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

// One encoding and one decoding of CBOR (RFC 8949 section 4.2.1, core
// deterministic). They are fixed here and never change.
var (
	encMode = newEncMode()
	decMode = newDecMode()
)

func newEncMode() cbor.EncMode {
	opts := cbor.CoreDetEncOptions()
	opts.TagsMd = cbor.TagsForbidden
	// An empty byte string is h'', never null.
	opts.NilContainers = cbor.NilContainerAsEmpty
	mode, err := opts.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}

func newDecMode() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   maxNesting,
		MaxArrayElements:  maxArrayLength,
		MaxMapPairs:       maxMapPairs,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}

// encode encodes a value of this package's own types, which cannot fail.
func encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic("cpns: encoding: " + err.Error())
	}
	return b
}

// encodeArray encodes an array of the values given.
func encodeArray(v ...any) []byte { return encode(v) }

// decode decodes the whole of b, at most limit bytes, into v. Its errors wrap
// ErrMalformed.
//
// The codec is lenient where Go is: null becomes a zero value, a byte string is
// cut or filled up to the size of an array, a long integer form is as good as the
// short one. So the result is encoded again, and must be what came.
func decode(b []byte, limit int, v any) error {
	if len(b) > limit {
		return malformed(fmt.Errorf("%d bytes, at most %d", len(b), limit))
	}
	if err := decMode.Unmarshal(b, v); err != nil {
		return malformed(err)
	}
	if !bytes.Equal(encode(v), b) {
		return malformed(errors.New("not in canonical encoding, or a field of another size or type"))
	}
	return nil
}
