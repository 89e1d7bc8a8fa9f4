package transport

import "io"

// Framing of a byte stream (docs/protocol.md, section 5):
//
//	0x00 COBS(message | FCS) 0x00
//
// Consistent Overhead Byte Stuffing takes every 0x00 out of a frame, so that
// 0x00 only ever means "a frame ends here", for one byte in 254 and one more. Each code byte
// c from 0x01 to 0xfe stands for the c-1 bytes after it and a 0x00 behind them,
// 0xff for the 254 bytes after it and no 0x00. The last 0x00 is not part of the data.
//
// The 0x00 before a frame ends whatever noise or half frame the receiver has
// collected until then, at the cost of nothing but itself.
const (
	frameEnd  = 0x00 // begins a frame too
	cobsBlock = 254  // bytes that one code byte can head

	// maxStuffed is the size of the longest frame between the two 0x00.
	maxStuffed = MaxMessage + fcsSize + (MaxMessage+fcsSize)/cobsBlock + 1

	// MaxFrame is the size in bytes of the longest frame, both 0x00 included.
	MaxFrame = maxStuffed + 2
)

// EncodeFrame appends msg's frame to dst. It does not limit msg's size: Send of
// a link does.
func EncodeFrame(dst, msg []byte) []byte {
	fcs := fcs16(msg)
	dst = append(dst, frameEnd)
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

// A FrameWriter writes messages as frames to a byte stream. It is not safe for
// concurrent use.
type FrameWriter struct {
	w   io.Writer
	buf []byte
}

// NewFrameWriter returns a FrameWriter on w.
func NewFrameWriter(w io.Writer) *FrameWriter {
	return &FrameWriter{w: w, buf: make([]byte, 0, MaxFrame)}
}

// WriteFrame writes msg in one Write.
func (f *FrameWriter) WriteFrame(msg []byte) error {
	if len(msg) > MaxMessage {
		return &TooLongError{len(msg)}
	}
	_, err := f.w.Write(EncodeFrame(f.buf[:0], msg))
	return err
}
