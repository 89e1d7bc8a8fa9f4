package wire

import (
	"encoding/binary"
	"errors"
)

// A Negative is a negative integer: -1 - Negative.
type Negative uint64

// A Simple is what is neither a number nor a string nor a container: true, a float.
type Simple []byte

// A TaggedItem is an item with a tag.
type TaggedItem struct {
	Tag  uint64
	Item any
}

// A MapItem has keys and values, one after the other.
type MapItem []any

var (
	errShort = errors.New("it ends in the middle")
	errDeep  = errors.New("more than 8 levels")
	errForm  = errors.New("no CBOR")
)

const maxDepth = 8

// Decode reads one item, also one that is not in its only right form: a long head, an
// indefinite length. That is found by comparing bytes later, and the party that says it
// can be tried on the rest all the same. It returns uint64, Negative, []byte, string,
// []any, MapItem, TaggedItem, nil or Simple, and what follows the item.
func Decode(b []byte) (item any, rest []byte, err error) { return decode(b, 0) }

func decode(b []byte, depth int) (any, []byte, error) {
	if depth > maxDepth {
		return nil, nil, errDeep
	}
	major, n, open, rest, err := head(b)
	if err != nil {
		return nil, nil, err
	}
	switch major {
	case majorUint:
		return n, rest, nil
	case majorNegative:
		return Negative(n), rest, nil
	case majorBytes, majorText:
		if open {
			return nil, nil, errForm // strings in pieces are beyond what is worth reading
		}
		if n > uint64(len(rest)) {
			return nil, nil, errShort
		}
		if major == majorText {
			return string(rest[:n]), rest[n:], nil
		}
		return rest[:n:n], rest[n:], nil
	case majorArray:
		items, rest, err := decodeItems(rest, n, open, depth)
		return items, rest, err
	case majorMap:
		items, rest, err := decodeItems(rest, 2*n, open, depth)
		return MapItem(items), rest, err
	case majorTag:
		item, rest, err := decode(rest, depth+1)
		return TaggedItem{n, item}, rest, err
	}
	used := b[:len(b)-len(rest)]
	if len(used) == 1 && used[0] == Null[0] {
		return nil, rest, nil
	}
	return Simple(used), rest, nil
}

// head reads an item's first bytes. open is an indefinite length.
func head(b []byte) (major byte, n uint64, open bool, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, false, nil, errShort
	}
	major, low, rest := b[0]>>5, b[0]&31, b[1:]
	size := 0
	switch {
	case low < 24:
		return major, uint64(low), false, rest, nil
	case low < 28:
		size = 1 << (low - 24)
	case low == 31 && (major == majorArray || major == majorMap || major == majorBytes || major == majorText):
		return major, 0, true, rest, nil
	default:
		return 0, 0, false, nil, errForm
	}
	if len(rest) < size {
		return 0, 0, false, nil, errShort
	}
	var long [8]byte
	copy(long[8-size:], rest)
	return major, binary.BigEndian.Uint64(long[:]), false, rest[size:], nil
}

// decodeItems reads n items, or those up to a break.
func decodeItems(b []byte, n uint64, open bool, depth int) (items []any, rest []byte, err error) {
	items = []any{}
	for ; open || n > 0; n-- {
		if open && len(b) > 0 && b[0] == 0xff {
			return items, b[1:], nil
		}
		var item any
		if item, b, err = decode(b, depth+1); err != nil {
			return nil, nil, err
		}
		items = append(items, item)
	}
	return items, b, nil
}

// A Heard is a message that was heard, as far as it can be read. Which fields a type
// has, section 4 says; the others are zero.
type Heard struct {
	Raw  []byte
	Type uint64

	E, G         string
	Epoch, Index uint64

	Version uint64  // hello
	Nonce   []byte  // hello; auth-response: rand-pne
	Algs    []int64 // hello
	X25519  []byte  // hello; nil for none
	Status  uint64  // acknowledgement
	Tag     []byte  // of the COSE_Mac0; nil for null
}

// Read makes a Heard of what a PNE says. It takes every encoding of the right
// elements, and nothing where they are not.
func Read(msg []byte) (*Heard, bool) {
	item, _, err := Decode(msg)
	items, ok := item.([]any)
	if err != nil || !ok || len(items) == 0 {
		return nil, false
	}
	h := &Heard{Raw: msg}
	if h.Type, ok = items[0].(uint64); !ok {
		return h, false
	}
	r := reader{items: items[1:], ok: true}
	switch h.Type {
	case TypeIdentify:
		h.Version = r.number()
		if len(r.items) > 0 && r.items[0] == nil {
			r.items = r.items[1:]
		} else {
			h.E = r.text()
		}
	case TypeHello:
		h.Version, h.E, h.Nonce, h.Epoch, h.Index, h.Algs = r.number(), r.text(), r.bytes(), r.number(), r.number(), r.numbers()
		if len(r.items) == 2 {
			h.X25519 = r.bytes()
		}
		h.Tag = r.mac()
	case TypeAcknowledgement:
		h.E, h.Status, h.Epoch, h.Index = r.text(), r.number(), r.number(), r.number()
		h.Tag = r.mac()
	case TypeAuthResponse:
		h.E, h.Nonce, h.Epoch, h.Index = r.text(), r.bytes(), r.number(), r.number()
		h.Tag = r.mac()
	default:
		return h, false
	}
	return h, r.ok
}

// reader takes one item after the other, of the kind that is asked for.
type reader struct {
	items []any
	ok    bool
}

func take[T any](r *reader) (v T) {
	if len(r.items) == 0 {
		r.ok = false
		return v
	}
	v, ok := r.items[0].(T)
	r.items, r.ok = r.items[1:], r.ok && ok
	return v
}

func (r *reader) number() uint64 { return take[uint64](r) }
func (r *reader) text() string   { return take[string](r) }
func (r *reader) bytes() []byte  { return take[[]byte](r) }

func (r *reader) numbers() (list []int64) {
	for _, item := range take[[]any](r) {
		switch n := item.(type) {
		case uint64:
			list = append(list, int64(n))
		case Negative:
			list = append(list, -1-int64(n))
		default:
			r.ok = false
		}
	}
	return list
}

// mac reads a COSE_Mac0 and gives its tag, or nil of null.
func (r *reader) mac() []byte {
	if len(r.items) == 0 {
		r.ok = false
		return nil
	}
	if r.items[0] == nil {
		return nil
	}
	items := take[[]any](r)
	if len(items) != 4 {
		r.ok = false
		return nil
	}
	tag, ok := items[3].([]byte)
	r.ok = r.ok && ok
	return tag
}
