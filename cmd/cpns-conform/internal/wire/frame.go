package wire

// Frame is a message as it goes over a byte stream (section 5):
// 0x00 COBS(message | FCS) 0x00.
func Frame(msg []byte) []byte { return FrameWith(msg, FCS(msg)) }

// FrameWith is Frame with another check sum.
func FrameWith(msg []byte, fcs uint16) []byte {
	data := append(append([]byte(nil), msg...), byte(fcs), byte(fcs>>8))
	out := []byte{0}
	for first := true; first || len(data) > 0; first = false {
		n := 0
		for n < len(data) && n < 254 && data[n] != 0 {
			n++
		}
		out = append(append(out, byte(n+1)), data[:n]...)
		switch {
		case n == len(data):
			data = nil
		case n == 254:
			data = data[n:]
		default: // the zero
			data = data[n+1:]
			if len(data) == 0 {
				out = append(out, 1)
			}
		}
	}
	return append(out, 0)
}

// FCS is the 16-bit FCS of RFC 1662, bit by bit.
func FCS(msg []byte) uint16 {
	crc := uint16(0xffff)
	for _, b := range msg {
		crc ^= uint16(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x8408
			} else {
				crc >>= 1
			}
		}
	}
	return ^crc
}
