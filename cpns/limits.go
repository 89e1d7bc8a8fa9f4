package cpns

// Limits of this implementation, where the protocol gives none.
const (
	// A PSK1 that we generate has 32 bytes, as a Ks_NAF of 3GPP GBA has; one
	// from a file may have any size in this range.
	MinPSK1Size = 16
	MaxPSK1Size = 64

	// Nothing in the protocol nests deeper than message, COSE object, header
	// map. The codec takes no smaller limit than 4.
	maxNesting = 4
	// The longest array of the protocol is an EUKey set.
	maxArrayLength = MaxSetLength
	// The largest map is a header of two entries. The codec takes no smaller
	// limit than 16.
	maxMapPairs = 16
)
