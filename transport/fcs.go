package transport

// The 16-bit FCS of RFC 1662, appendix C (CRC-16/X-25): polynomial 0x8408,
// reflected, initial value 0xffff, complemented at the end.
const (
	fcsInit = 0xffff
	fcsSize = 2 // bytes, low byte first
)

// fcs16 returns the FCS of msg.
func fcs16(msg []byte) uint16 {
	fcs := uint16(fcsInit)
	for _, b := range msg {
		// Eight polynomial steps at once. RFC 1662 uses a table of 512 bytes,
		// which a router's small data cache would keep missing.
		x := b ^ byte(fcs)
		x ^= x << 4
		fcs = fcs>>8 ^ uint16(x)<<8 ^ uint16(x)<<3 ^ uint16(x)>>4
	}
	return ^fcs
}
