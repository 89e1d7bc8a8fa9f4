package cbor

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// TestRFC8949Examples: those of RFC 8949 appendix A that are of the kinds here, and in
// deterministic encoding; written, and read.
func TestRFC8949Examples(t *testing.T) {
	number := func(n int64) (func(*Writer), func(*Reader) bool) {
		return func(w *Writer) { w.Int(n) }, func(r *Reader) bool { return r.Int() == n }
	}
	unsigned := func(n uint64) (func(*Writer), func(*Reader) bool) {
		return func(w *Writer) { w.Uint(n) }, func(r *Reader) bool { return r.Uint(math.MaxUint64) == n }
	}
	text := func(s string) (func(*Writer), func(*Reader) bool) {
		return func(w *Writer) { w.Text(s) }, func(r *Reader) bool { return r.Text() == s }
	}
	octets := func(s string) (func(*Writer), func(*Reader) bool) {
		return func(w *Writer) { w.Bytes([]byte(s)) }, func(r *Reader) bool { return string(r.Bytes()) == s }
	}
	example := func(encoded string, write func(*Writer), read func(*Reader) bool) {
		t.Helper()
		want, err := hex.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		var w Writer
		write(&w)
		if !bytes.Equal(w, want) {
			t.Errorf("%s: written as %x", encoded, w)
		}
		r := NewReader(want)
		if !read(r) || r.End() != nil {
			t.Errorf("%s: read as something else, or with error %v", encoded, r.Err())
		}
		for n := range want {
			r := NewReader(want[:n])
			read(r)
			if r.End() == nil {
				t.Errorf("%s: taken where it is cut after %d bytes", encoded, n)
			}
		}
	}
	with := func(write func(*Writer), read func(*Reader) bool) func(string) {
		return func(encoded string) { t.Helper(); example(encoded, write, read) }
	}
	with(number(0))("00")
	with(number(1))("01")
	with(number(10))("0a")
	with(number(23))("17")
	with(number(24))("1818")
	with(number(25))("1819")
	with(number(100))("1864")
	with(number(1000))("1903e8")
	with(number(1000000))("1a000f4240")
	with(number(1000000000000))("1b000000e8d4a51000")
	with(unsigned(math.MaxUint64))("1bffffffffffffffff")
	with(number(-1))("20")
	with(number(-10))("29")
	with(number(-100))("3863")
	with(number(-1000))("3903e7")
	with(octets(""))("40")
	with(octets("\x01\x02\x03\x04"))("4401020304")
	with(text(""))("60")
	with(text("a"))("6161")
	with(text("IETF"))("6449455446")
	with(text("\"\\"))("62225c")
	with(text("\u00fc"))("62c3bc")
	with(text("\u6c34"))("63e6b0b4")
	with(text("\U00010151"))("64f0908591")
	with(func(w *Writer) { w.Bool(false) }, func(r *Reader) bool { return !r.Bool() })("f4")
	with(func(w *Writer) { w.Bool(true) }, func(r *Reader) bool { return r.Bool() })("f5")
	with(func(w *Writer) { w.Null() }, func(r *Reader) bool { ask('0', r, new(Writer)); return true })("f6")
	with(func(w *Writer) { w.Array(0) }, func(r *Reader) bool { r.Array(0); return true })("80")
	with(func(w *Writer) { w.Map(0) }, func(r *Reader) bool { r.Map(0); return true })("a0")
	with(func(w *Writer) {
		w.Map(2)
		w.Uint(1)
		w.Uint(2)
		w.Uint(3)
		w.Uint(4)
	}, func(r *Reader) bool {
		r.Map(2)
		return r.Uint(9) == 1 && r.Uint(9) == 2 && r.Uint(9) == 3 && r.Uint(9) == 4
	})("a201020304")
	with(func(w *Writer) {
		w.Array(25)
		for i := range 25 {
			w.Uint(uint64(i + 1))
		}
	}, func(r *Reader) bool {
		for i := range r.ArrayLen(25) {
			if r.Uint(25) != uint64(i+1) {
				return false
			}
		}
		return true
	})("98190102030405060708090a0b0c0d0e0f101112131415161718181819")
}

// ask lets a Reader take an item of the kind that a letter names, and a Writer write
// what came.
func ask(kind byte, r *Reader, w *Writer) {
	switch kind {
	case 'u':
		w.Uint(r.Uint(math.MaxUint64))
	case 'i':
		w.Int(r.Int())
	case 'b':
		w.Bytes(r.Bytes())
	case 't':
		w.Text(r.Text())
	case 'a':
		w.Array(r.ArrayLen(1 << 12))
	case 'm':
		r.Map(1)
		w.Map(1)
	case '?':
		w.Bool(r.Bool())
	case '0':
		if r.Null() {
			w.Null()
		} else {
			r.Fail(errOther)
		}
	}
}

// FuzzReader compares with a codec that others wrote: what a Reader takes is well
// formed, deterministic, and means the same to it.
func FuzzReader(f *testing.F) {
	for _, seed := range [][2]string{{"u", "00"}, {"u", "1817"}, {"u", "1818"}, {"u", "1b00000000ffffffff"}, {"i", "3b7fffffffffffffff"},
		{"b", "40"}, {"b", "5f4100ff"}, {"t", "61ff"}, {"t", "6161"}, {"a", "80"}, {"au", "8100"}, {"a", "9fff"}, {"mut", "a1006161"},
		{"?", "f5"}, {"?", "f814"}, {"0", "f6"}, {"0", "f7"}, {"u", "c000"}, {"b", "5820"}, {"u", "1c"}, {"aaaa", "81818180"}} {
		b, err := hex.DecodeString(seed[1])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed[0], b)
	}
	f.Add("auibt?0m", []byte{0x86, 0x01, 0x20, 0x41, 0x00, 0x61, 0x61, 0xf5, 0xf6, 0xa1})
	f.Fuzz(func(t *testing.T, asked string, b []byte) {
		r, w := NewReader(b), Writer{}
		for i := range asked {
			if ask(asked[i], r, &w); r.Err() != nil {
				return
			}
		}
		if r.End() != nil {
			return
		}
		if !bytes.Equal(w, b) {
			t.Fatalf("%x read as %q means %x", b, asked, []byte(w))
		}
		// In an array of what stands at the top, it is one item for the other codec.
		rest, top := b, 0
		for len(rest) > 0 {
			var item any
			after, err := strict.UnmarshalFirst(rest, &item)
			if err != nil {
				// It may end within an array or a map, since the asking does; and a map's
				// key may be one that Go's maps have not.
				if strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "map key") {
					return
				}
				t.Fatalf("%x read as %q: the other codec says: %v", b, asked, err)
			}
			again, err := deterministic.Marshal(item)
			if err != nil || !bytes.Equal(again, rest[:len(rest)-len(after)]) {
				t.Fatalf("%x read as %q: the other codec writes item %d as %x, %v", b, asked, top, again, err)
			}
			rest, top = after, top+1
		}
	})
}

var (
	strict = func() cbor.DecMode {
		mode, err := cbor.DecOptions{IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, MaxNestedLevels: 1024}.DecMode()
		if err != nil {
			panic(err)
		}
		return mode
	}()
	deterministic = func() cbor.EncMode {
		mode, err := cbor.CoreDetEncOptions().EncMode()
		if err != nil {
			panic(err)
		}
		return mode
	}()
)

// TestRefused: what is CBOR, and no deterministic encoding of what was asked for.
func TestRefused(t *testing.T) {
	tests := []struct {
		name, encoded, kind string
		want                error
	}{
		{"23 in two bytes", "1817", "u", errLongForm},
		{"255 in three", "1900ff", "u", errLongForm},
		{"65535 in five", "1a0000ffff", "u", errLongForm},
		{"2^32-1 in nine", "1b00000000ffffffff", "u", errLongForm},
		{"-1 in two", "3800", "i", errLongForm},
		{"a length in two bytes", "580100", "b", errLongForm},
		{"indefinite bytes", "5f4100ff", "b", errOther},
		{"indefinite text", "7f6161ff", "t", errOther},
		{"indefinite array", "9fff", "a", errOther},
		{"a reserved length", "1c", "u", errOther},
		{"a tag", "c001", "u", errOther},
		{"text for bytes", "6161", "b", errOther},
		{"bytes for text", "4161", "t", errOther},
		{"false in two bytes", "f814", "?", errOther},
		{"undefined for null", "f7", "0", errOther},
		{"text of half a rune", "61c3", "t", errUTF8},
		{"-2^63-1", "3b8000000000000000", "i", errTooLarge},
		{"2^63 as int", "1b8000000000000000", "i", errTooLarge},
		{"an array of 2^12+1", "991001", "a", errTooLarge},
		{"bytes of 2^64-1", "5bffffffffffffffff", "b", errShort},
		{"two where one is to be", "0101", "u", errRest},
		{"nothing", "", "u", errShort},
	}
	for _, test := range tests {
		b, err := hex.DecodeString(test.encoded)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(b)
		ask(test.kind[0], r, new(Writer))
		if err := r.End(); err != test.want {
			t.Errorf("%s: got error %v, want %v", test.name, err, test.want)
		}
		if r.Fail(errOther); r.Err() != test.want {
			t.Errorf("%s: a later error took the place of the first", test.name)
		}
	}
	r := NewReader([]byte{0x41, 0x01})
	var two [2]byte
	if r.Fill(two[:]); r.Err() != errOther || two != [2]byte{} {
		t.Errorf("a byte string of one byte fills two: %v", r.Err())
	}
	if r := NewReader([]byte{0x18, 0x80}); r.Uint(127) != 0 || r.Err() != errTooLarge {
		t.Errorf("128 is at most 127: %v", r.Err())
	}
	if r := NewReader([]byte{0x82}); true {
		if r.Array(3); r.Err() != errOther {
			t.Errorf("an array of two elements has three: %v", r.Err())
		}
	}
}
