package keystore

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"golang.org/x/crypto/chacha20poly1305"
)

// What a log begins with (docs/keystore-format.md). The magic's last byte is the
// version of the format.
//
//	"PKL2" | salt (32) | tag (16) | CRC-32 of all before (4)
const (
	magic     = "PKL2"
	magicSize = len(magic)
	saltSize  = 32
	tagSize   = chacha20poly1305.Overhead

	headerSize = magicSize + saltSize + tagSize + 4

	headerPurpose = "pngw keystore 2 header"
	entryPurpose  = "pngw keystore 2 entry"
)

// newHeader returns the header of a new store, with a salt of its own.
func newHeader(secret *Secret) []byte {
	header := make([]byte, magicSize+saltSize, headerSize)
	copy(header, magic)
	rand.Read(header[magicSize:])
	// An empty message: only who has the secret makes its tag. The nonce is zero
	// because the salt is fresh, so that this key seals nothing else.
	header = deriveAEAD(secret, header[magicSize:], headerPurpose).Seal(header, make([]byte, chacha20poly1305.NonceSize), nil, header)
	return binary.BigEndian.AppendUint32(header, crc32.ChecksumIEEE(header))
}

// parseHeader returns the AEAD for entries, ErrDamaged or ErrWrongSecret. The
// checksum tells the two apart: a header that is whole and yet does not open was
// made under another secret.
func parseHeader(header []byte, secret *Secret) (cipher.AEAD, error) {
	switch {
	case len(header) < headerSize:
		return nil, fmt.Errorf("%w: it begins with %d bytes of a header, want %d", ErrDamaged, len(header), headerSize)
	case string(header[:magicSize-1]) != magic[:magicSize-1]:
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrDamaged, magic)
	case header[magicSize-1] != magic[magicSize-1]:
		return nil, fmt.Errorf("format version %q: this pngw knows only %q", header[magicSize-1], magic[magicSize-1])
	}
	plain, tag, sum := header[:magicSize+saltSize], header[magicSize+saltSize:headerSize-4], header[headerSize-4:headerSize]
	if crc32.ChecksumIEEE(header[:headerSize-4]) != binary.BigEndian.Uint32(sum) {
		return nil, fmt.Errorf("%w: its header has a wrong checksum", ErrDamaged)
	}
	salt := plain[magicSize:]
	if _, err := deriveAEAD(secret, salt, headerPurpose).Open(nil, make([]byte, chacha20poly1305.NonceSize), tag, plain); err != nil {
		return nil, ErrWrongSecret
	}
	return deriveAEAD(secret, salt, entryPurpose), nil
}

func deriveAEAD(secret *Secret, salt []byte, purpose string) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, secret[:], salt, purpose, chacha20poly1305.KeySize)
	if err != nil {
		panic(err) // only for a key length that HKDF cannot give
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic(err) // only for a wrong key length
	}
	return aead
}

var errFirstFormat = errors.New("made by a pngw before the log, with a file for each record, and there is no conversion: move the folder away, run pngw init, and provision the devices again")
