package cpns

// Limits of this implementation, where the protocol gives none.
const (
	// A PSK1 that we generate has 32 bytes, as a Ks_NAF of 3GPP GBA has; one
	// from a file may have any size in this range.
	MinPSK1Size = 16
	MaxPSK1Size = 64
)
