package transport

import (
	"io"
	"time"
)

// Framing of a byte stream (docs/protocol.md, section 5):
//
//	COBS(message | FCS) 0x00
//
// Consistent Overhead Byte Stuffing takes every 0x00 out of a frame, so that
// 0x00 only ever means "a frame ends here", for one byte in 254 and one more. Each code byte
// c from 0x01 to 0xfe stands for the c-1 bytes after it and a 0x00 behind them,
// 0xff for the 254 bytes after it and no 0x00. The last 0x00 is not part of the data.
const (
	frameEnd  = 0x00
	cobsBlock = 254 // bytes that one code byte can head

	// maxStuffed is the size of the longest frame without its frameEnd.
	maxStuffed = MaxMessage + fcsSize + (MaxMessage+fcsSize)/cobsBlock + 1

	// MaxFrame is the size in bytes of the longest frame, end included.
	MaxFrame = maxStuffed + 1
)

// EncodeFrame appends msg's frame to dst. It does not limit msg's size: Send of
// a link does.
func EncodeFrame(dst, msg []byte) []byte {
	fcs := fcs16(msg)
	s := stuffer{dst: append(dst, 0), code: len(dst)}
	for _, b := range msg {
		s.put(b)
	}
	s.put(byte(fcs))
	s.put(byte(fcs >> 8))
	s.end()
	return append(s.dst, frameEnd)
}

// A stuffer writes one COBS block after the other.
type stuffer struct {
	dst  []byte
	code int // where in dst the open block's code byte will go
}

func (s *stuffer) put(b byte) {
	// A full block is closed only when more data comes: at the end of
	// the data it needs no empty block behind it.
	if len(s.dst)-s.code == cobsBlock+1 {
		s.open()
	}
	if b == frameEnd {
		s.open()
		return
	}
	s.dst = append(s.dst, b)
}

// open ends the open block and begins the next.
func (s *stuffer) open() {
	s.end()
	s.code = len(s.dst)
	s.dst = append(s.dst, 0)
}

func (s *stuffer) end() { s.dst[s.code] = byte(len(s.dst) - s.code) }

// idleLine is the pause after which noise may have got onto a line.
const idleLine = 10 * time.Millisecond

// A FrameWriter writes messages as frames to a byte stream. It is not safe for
// concurrent use.
type FrameWriter struct {
	w     io.Writer
	clean time.Time // when the last frame went out whole; zero: not since the start or an error
	buf   []byte
}

// NewFrameWriter returns a FrameWriter on w.
func NewFrameWriter(w io.Writer) *FrameWriter {
	return &FrameWriter{w: w, buf: make([]byte, 0, 1+MaxFrame)}
}

// WriteFrame writes msg in one Write. Where the line has been idle, or the
// frame before was not written whole, a 0x00 goes first: it ends whatever noise
// or half frame the receiver has collected, at the cost of nothing but itself.
func (f *FrameWriter) WriteFrame(msg []byte) error {
	if len(msg) > MaxMessage {
		return &TooLongError{len(msg)}
	}
	b := f.buf[:0]
	if time.Since(f.clean) > idleLine {
		b = append(b, frameEnd)
	}
	f.clean = time.Time{}
	if _, err := f.w.Write(EncodeFrame(b, msg)); err != nil {
		return err
	}
	f.clean = time.Now()
	return nil
}
