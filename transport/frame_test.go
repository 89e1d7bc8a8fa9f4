package transport

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// framingVectors returns the "framing" lists of the protocol*.json files of
// testdata and, if set, of the folder named by CPNS_VECTORS. They were made by
// an implementation that is not this one.
func framingVectors(t testing.TB) (vectors []struct{ message, frame []byte }) {
	t.Helper()
	for _, dir := range []string{"testdata", os.Getenv("CPNS_VECTORS")} {
		if dir == "" {
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "protocol*.json"))
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				Framing []struct{ Message, Frame string }
			}
			if err := json.Unmarshal(text, &file); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, v := range file.Framing {
				vectors = append(vectors, struct{ message, frame []byte }{unhex(t, v.Message), unhex(t, v.Frame)})
				found++
			}
		}
		if found == 0 {
			t.Fatalf("zero framing vectors found in %s", dir)
		}
	}
	return vectors
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// deframe feeds stream in one piece and returns copies of the messages.
func deframe(d *Deframer, stream []byte) (msgs [][]byte) {
	d.Feed(stream, func(msg []byte) { msgs = append(msgs, bytes.Clone(msg)) })
	return msgs
}

func TestFramingVectors(t *testing.T) {
	for i, v := range framingVectors(t) {
		if got := EncodeFrame(nil, v.message); !bytes.Equal(got, v.frame) {
			t.Errorf("vector %d: EncodeFrame(%x)\n got %x\nwant %x", i, v.message, got, v.frame)
		}
		var d Deframer
		got := deframe(&d, v.frame)
		if len(got) != 1 || !bytes.Equal(got[0], v.message) || d.Dropped() != 0 {
			t.Errorf("vector %d: frame %x gave %x and %d dropped, want %x", i, v.frame, got, d.Dropped(), v.message)
		}
	}
}

// TestFCSResidue holds the FCS against the properties that RFC 1662, appendix C,
// and the catalogue of CRC-16/X-25 state.
func TestFCSResidue(t *testing.T) {
	if got := fcs16([]byte("123456789")); got != 0x906e {
		t.Errorf("FCS of the check string is %04x, want 906e", got)
	}
	msg := []byte("the good final FCS value")
	fcs := fcs16(msg)
	if got := ^fcs16(append(msg, byte(fcs), byte(fcs>>8))); got != 0xf0b8 {
		t.Errorf("FCS over a message and its FCS is %04x, want f0b8", got)
	}
}

// TestFrameSizes sends messages of every size, in shapes that put zeros and full
// blocks at every place, one byte at a time.
func TestFrameSizes(t *testing.T) {
	shapes := map[string]func(i int) byte{
		"zeros":        func(int) byte { return 0 },
		"no zero":      func(int) byte { return 0xa5 },
		"counting":     func(i int) byte { return byte(i) },
		"block's edge": func(i int) byte { return byte(i % 254) },
		"past it":      func(i int) byte { return byte(i % 255) },
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			var d Deframer
			for size := range MaxMessage + 1 {
				msg := make([]byte, size)
				for i := range msg {
					msg[i] = shape(i)
				}
				frame := EncodeFrame(nil, msg)
				if len(frame) > MaxFrame {
					t.Fatalf("frame of %d bytes is longer than MaxFrame", len(frame))
				}
				if frame[0] != 0 || bytes.IndexByte(frame[1:], 0) != len(frame)-2 {
					t.Fatalf("size %d: 0x00 elsewhere than at both ends: %x", size, frame)
				}
				var got [][]byte
				for _, b := range frame {
					got = append(got, deframe(&d, []byte{b})...)
				}
				if len(got) != 1 || !bytes.Equal(got[0], msg) {
					t.Fatalf("size %d: got %x, want %x", size, got, msg)
				}
			}
			if d.Dropped() != 0 {
				t.Errorf("%d dropped, want 0", d.Dropped())
			}
		})
	}
}

func TestMaxFrameIsReached(t *testing.T) {
	if got := len(EncodeFrame(nil, bytes.Repeat([]byte{1}, MaxMessage))); got != MaxFrame {
		t.Errorf("longest frame has %d bytes, MaxFrame says %d", got, MaxFrame)
	}
}

func TestDeframerDrops(t *testing.T) {
	good := EncodeFrame(nil, []byte("good"))
	wrongFCS := EncodeFrame(nil, []byte("good"))
	wrongFCS[3] ^= 1
	tests := []struct {
		name    string
		stream  []byte
		dropped int64
	}{
		{"empty frames", []byte{0, 0, 0}, 0},
		{"noise", []byte{0x55, 0xaa, 0x13, 0}, 1},
		{"one byte", []byte{1, 0}, 1},
		{"one byte of FCS", []byte{2, 0x78, 0}, 1},
		{"wrong FCS", wrongFCS, 1},
		{"half a frame", append(slices.Clone(good[:5]), 0), 1},
		{"block longer than the frame", []byte{9, 1, 2, 3, 0}, 1},
		{"message of 513 bytes", EncodeFrame(nil, make([]byte, MaxMessage+1)), 1},
		{"longest frame and a byte more", append(bytes.TrimSuffix(EncodeFrame(nil, bytes.Repeat([]byte{1}, MaxMessage)), []byte{0}), 1, 0), 1},
		{"giant frame", append(bytes.Repeat([]byte{0xff}, 1<<20), 0), 1},
		{"three of them", []byte{9, 0, 9, 0, 9, 0}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d Deframer
			if got := deframe(&d, tt.stream); len(got) != 0 {
				t.Errorf("gave %x, want nothing", got)
			}
			if d.Dropped() != tt.dropped {
				t.Errorf("dropped %d, want %d", d.Dropped(), tt.dropped)
			}
			if got := deframe(&d, good); len(got) != 1 || string(got[0]) != "good" {
				t.Errorf("the frame after it gave %q", got)
			}
		})
	}
}

func FuzzDeframer(f *testing.F) {
	for _, v := range framingVectors(f) {
		f.Add(v.frame)
		f.Add(v.frame[1:])
		f.Add(append(slices.Clone(v.frame), v.frame...))
	}
	good := EncodeFrame(nil, []byte("after the noise"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var d Deframer
		for _, msg := range deframe(&d, stream) {
			if len(msg) > MaxMessage {
				t.Fatalf("message of %d bytes", len(msg))
			}
			var again Deframer
			if got := deframe(&again, EncodeFrame(nil, msg)); len(got) != 1 || !bytes.Equal(got[0], msg) {
				t.Fatalf("%x re-encoded gave %x", msg, got)
			}
		}
		// Whatever came before: a 0x00, and the next frame gets through.
		deframe(&d, []byte{0})
		if got := deframe(&d, good); len(got) != 1 || string(got[0]) != "after the noise" {
			t.Fatalf("frame after noise gave %q", got)
		}
	})
}

func TestDeframerAllocatesNothing(t *testing.T) {
	stream := slices.Concat(EncodeFrame(nil, make([]byte, 300)), []byte{9, 0}, bytes.Repeat([]byte{7}, 4096), []byte{0})
	var d Deframer
	if n := testing.AllocsPerRun(100, func() { d.Feed(stream, func([]byte) {}) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestNoiseBeforeAFrame puts noise and half frames on the line, each right before a
// frame that must not be lost with them.
func TestNoiseBeforeAFrame(t *testing.T) {
	frame := EncodeFrame(nil, []byte("message"))
	for cut := range len(frame) - 1 {
		var d Deframer
		got := deframe(&d, slices.Concat([]byte{0x55, 0xaa}, frame[:cut], frame))
		if len(got) != 1 || string(got[0]) != "message" {
			t.Errorf("after noise and %d bytes of a frame: got %q", cut, got)
		}
	}
}

// oneWrite keeps what it is given by its only Write.
type oneWrite struct{ got []byte }

func (w *oneWrite) Write(p []byte) (int, error) {
	if w.got != nil {
		return 0, errors.New("a second Write")
	}
	w.got = slices.Clone(p)
	return len(p), nil
}

// TestFrameWriterWritesOnce: a frame in pieces would leave gaps on a line, and on
// USB go out in more packets.
func TestFrameWriterWritesOnce(t *testing.T) {
	var w oneWrite
	msg := bytes.Repeat([]byte{7}, MaxMessage)
	if err := NewFrameWriter(&w).WriteFrame(msg); err != nil || !bytes.Equal(w.got, EncodeFrame(nil, msg)) {
		t.Errorf("wrote %x, %v", w.got, err)
	}
	if err := NewFrameWriter(&w).WriteFrame(msg); err == nil {
		t.Error("an error of the line was lost")
	}
}

func TestFrameWriterRefusesTooLong(t *testing.T) {
	var buf bytes.Buffer
	err := NewFrameWriter(&buf).WriteFrame(make([]byte, MaxMessage+1))
	var tooLong *TooLongError
	if !errors.As(err, &tooLong) || tooLong.Size != MaxMessage+1 || buf.Len() != 0 {
		t.Errorf("got error %v and %d bytes on the line, want a TooLongError and none", err, buf.Len())
	}
}

func BenchmarkFrame(b *testing.B) {
	msg := bytes.Repeat([]byte{0xa5}, 200)
	frame := EncodeFrame(nil, msg)
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(msg)))
		buf := make([]byte, 0, MaxFrame)
		for b.Loop() {
			EncodeFrame(buf, msg)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(msg)))
		var d Deframer
		for b.Loop() {
			d.Feed(frame, func([]byte) {})
		}
	})
}
