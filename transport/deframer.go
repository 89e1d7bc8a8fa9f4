package transport

import "encoding/binary"

// A Deframer finds the messages in a byte stream. It holds at most one frame,
// whatever it is fed, and is back in step at the next 0x00. The zero value is
// ready. It is not safe for concurrent use.
type Deframer struct {
	buf     [maxStuffed]byte
	n       int  // bytes of the frame so far
	tooLong bool // the frame so far did not fit: skip to its end
	dropped int64
}

// Feed takes the next bytes of the stream and calls emit for each message that
// they complete, in order. The slice belongs to the Deframer and holds only
// until emit returns.
func (d *Deframer) Feed(p []byte, emit func(msg []byte)) {
	for _, b := range p {
		switch {
		case b == frameEnd:
			d.end(emit)
		case d.n == len(d.buf):
			d.tooLong = true
		default:
			d.buf[d.n] = b
			d.n++
		}
	}
}

// Dropped returns how many frames were thrown away: too long, not COBS, or with
// a wrong FCS. Empty frames do not count; senders make them on purpose.
func (d *Deframer) Dropped() int64 { return d.dropped }

// end looks at the frame that a 0x00 has just ended.
func (d *Deframer) end(emit func(msg []byte)) {
	frame, tooLong := d.buf[:d.n], d.tooLong
	d.n, d.tooLong = 0, false
	if len(frame) == 0 {
		return
	}
	msg, ok := unstuff(frame)
	if tooLong || !ok {
		d.dropped++
		return
	}
	emit(msg)
}

// unstuff decodes a frame without its end, in place, and checks the FCS.
func unstuff(frame []byte) (msg []byte, ok bool) {
	n := 0 // bytes decoded; never ahead of the bytes read, because each block loses its code
	for i := 0; i < len(frame); {
		code := int(frame[i])
		next := i + code
		if next > len(frame) {
			return nil, false
		}
		n += copy(frame[n:], frame[i+1:next])
		if code <= cobsBlock && next < len(frame) {
			frame[n] = 0
			n++
		}
		i = next
	}
	if n < fcsSize || n > MaxMessage+fcsSize {
		return nil, false
	}
	msg = frame[:n-fcsSize]
	return msg, binary.LittleEndian.Uint16(frame[n-fcsSize:n]) == fcs16(msg)
}
