package cpns

import fxcbor "github.com/fxamacker/cbor/v2"

// What the codec made is no proof of the codec: tests that need bytes of their own
// have another write them.
var otherCodec = func() fxcbor.EncMode {
	mode, err := fxcbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func marshal(v any) []byte {
	b, err := otherCodec.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// arrayOfAll is an array of the values.
func arrayOfAll(v ...any) []byte { return marshal(v) }
