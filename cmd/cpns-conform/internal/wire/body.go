package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/crypto/argon2"
)

// What the keys of CPNS-2 are for (section 3).
const (
	InfoRequest  = "CPNS EUKey Assignment Request"
	InfoResponse = "CPNS EUKey Assignment Response"
)

// A Body is one of CPNS-2: a COSE_Encrypt0 that names the key's identity. Every part of
// it may be something that nobody would send.
type Body struct {
	Protected  []byte
	Identity   []byte
	IV         []byte
	Ciphertext []byte
}

// SealBody seals under a key of [Key], with the identity as external_aad.
func SealBody(key, identity, iv, plaintext []byte) Body {
	return Body{ProtectedEncrypt0, identity, iv, Seal(key, iv, identity, plaintext)}
}

// Bytes is the body.
func (b *Body) Bytes() []byte {
	return Array(Bytes(b.Protected), Map(Uint(4), Bytes(b.Identity), Uint(5), Bytes(b.IV)), Bytes(b.Ciphertext))
}

// Open decrypts it, with external_aad that may be another than its identity.
func (b *Body) Open(key, externalAAD []byte) (plaintext []byte, ok bool) {
	if len(b.IV) != 12 {
		return nil, false
	}
	return Open(key, b.IV, externalAAD, b.Ciphertext)
}

// ReadBody reads one. canonical says whether it is exactly as section 3 has it.
func ReadBody(raw []byte) (b *Body, canonical bool, err error) {
	item, rest, err := Decode(raw)
	if err != nil {
		return nil, false, err
	}
	b = new(Body)
	r := reader{ok: true}
	r.items, _ = item.([]any)
	b.Protected = r.bytes()
	header := take[MapItem](&r)
	b.Ciphertext = r.bytes()
	if !r.ok || len(r.items) > 0 || len(rest) > 0 {
		return nil, false, errors.New("no array of a byte string, a map and a byte string")
	}
	for n := 0; n+1 < len(header); n += 2 {
		value, _ := header[n+1].([]byte)
		switch header[n] {
		case uint64(4):
			b.Identity = value
		case uint64(5):
			b.IV = value
		}
	}
	return b, bytes.Equal(b.Bytes(), raw) && bytes.Equal(b.Protected, ProtectedEncrypt0), nil
}

// Encode is an item that Decode has read, in core deterministic encoding (RFC 8949,
// section 4.2.1).
func Encode(item any) []byte {
	switch it := item.(type) {
	case uint64:
		return Uint(it)
	case Negative:
		return Head(majorNegative, uint64(it))
	case []byte:
		return Bytes(it)
	case string:
		return Text(it)
	case []any:
		all := make([][]byte, len(it))
		for n := range it {
			all[n] = Encode(it[n])
		}
		return Array(all...)
	case MapItem:
		var pairs [][]byte
		for n := 0; n+1 < len(it); n += 2 {
			pairs = append(pairs, append(Encode(it[n]), Encode(it[n+1])...))
		}
		slices.SortFunc(pairs, bytes.Compare)
		return append(Head(majorMap, uint64(len(pairs))), slices.Concat(pairs...)...)
	case TaggedItem:
		return Tagged(it.Tag, Encode(it.Item))
	case Simple:
		return it
	}
	return Null
}

// HashPassword is Hash(Password) (section 2).
func HashPassword(user string, password []byte) []byte {
	salt := sha256.Sum256([]byte("CPNS User\x00" + user))
	return argon2.IDKey(password, salt[:16], 5, 7168, 1, 32)
}

// AuthData is H(AuthData): of Hash(Password), RAND_PNGW and a time in seconds.
func AuthData(hash, rand []byte, unixTime uint64) []byte {
	return Hash(slices.Concat(hash, rand, binary.BigEndian.AppendUint64(nil, unixTime)))
}

// Set is the n EUKeys that two random numbers make, EUKey_1 first.
func Set(randSVR, randPNGW []byte, n int) [][]byte {
	return Chain(Hash(Hash(slices.Concat(randSVR, randPNGW))), n)
}

// BrokenLink is the first k, from 1, whose EUKey_k is not H(EUKey_(k+1)); 0 where all
// links hold.
func BrokenLink(set [][]byte) int {
	for k := range len(set) - 1 {
		if !bytes.Equal(Hash(set[k+1]), set[k]) {
			return k + 1
		}
	}
	return 0
}
