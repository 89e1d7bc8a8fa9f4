package keystore

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// The format, version 1 (docs/keystore-format.md). The magic's last byte is the version.
//
//	header:  "PKH1" | salt (32) | nonce (24) | tag (16) | SHA-256 of all before (32)
//	record:  "PKR1" | nonce (24) | sealed value (as long as the value) | tag (16)
//
// Nonces are random: at 24 bytes two of them never meet, and no counter has to survive a power cut.
const (
	headerMagic = "PKH1"
	recordMagic = "PKR1"

	magicSize = 4
	saltSize  = 32
	nonceSize = chacha20poly1305.NonceSizeX
	tagSize   = chacha20poly1305.Overhead

	headerSize = magicSize + saltSize + nonceSize + tagSize + sha256.Size

	headerPurpose = "pngw keystore 1 header"
	recordPurpose = "pngw keystore 1 record"
)

// newHeader returns the header of a new store, with a salt of its own.
func newHeader(secret *Secret) []byte {
	header := make([]byte, magicSize+saltSize, headerSize)
	copy(header, headerMagic)
	rand.Read(header[magicSize:])
	// An empty message: only who has the secret makes its tag.
	header = seal(deriveAEAD(secret, header[magicSize:], headerPurpose), header, nil, header)
	sum := sha256.Sum256(header)
	return append(header, sum[:]...)
}

// parseHeader returns the AEAD for records, ErrDamaged or ErrWrongSecret. The checksum tells the two apart:
// a header that is whole and yet does not open was made under another secret.
func parseHeader(header []byte, secret *Secret) (cipher.AEAD, error) {
	if err := checkMagic(header, headerMagic); err != nil {
		return nil, err
	}
	if len(header) != headerSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrDamaged, len(header), headerSize)
	}
	sealed, sum := header[:headerSize-sha256.Size], header[headerSize-sha256.Size:]
	if sha256.Sum256(sealed) != [sha256.Size]byte(sum) {
		return nil, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	plain, box := sealed[:magicSize+saltSize], sealed[magicSize+saltSize:]
	salt := plain[magicSize:]
	if _, err := unseal(deriveAEAD(secret, salt, headerPurpose), box, plain); err != nil {
		return nil, ErrWrongSecret
	}
	return deriveAEAD(secret, salt, recordPurpose), nil
}

// sealRecord returns the file of a record. Magic, version and file name are associated data, so that a
// record does not open under another name or as another format.
func sealRecord(aead cipher.AEAD, file string, value []byte) []byte {
	sealed := make([]byte, magicSize, len(value)+Overhead)
	copy(sealed, recordMagic)
	return seal(aead, sealed, value, []byte(recordMagic+file))
}

func openRecord(aead cipher.AEAD, file string, sealed []byte) ([]byte, error) {
	if err := checkMagic(sealed, recordMagic); err != nil {
		return nil, err
	}
	value, err := unseal(aead, sealed[magicSize:], []byte(recordMagic+file))
	if err != nil {
		return nil, fmt.Errorf("%w, renamed, or from another store", ErrDamaged)
	}
	return value, nil
}

// checkMagic tells a file of a later version from a damaged one.
func checkMagic(file []byte, magic string) error {
	switch {
	case len(file) == 0:
		return fmt.Errorf("%w: empty", ErrDamaged)
	case len(file) < magicSize || string(file[:magicSize-1]) != magic[:magicSize-1]:
		return fmt.Errorf("%w: does not begin with %q", ErrDamaged, magic)
	case file[magicSize-1] != magic[magicSize-1]:
		return fmt.Errorf("format version %q: this pngw knows only %q", file[magicSize-1], magic[magicSize-1])
	}
	return nil
}

// openHeader reads and checks the header of a store.
func openHeader(f *folder, secret *Secret) (cipher.AEAD, error) {
	header, err := f.read(headerFile, headerSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("header %w: there are records but no header: put the header back from a copy of this folder", ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	aead, err := parseHeader(header, secret)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return aead, nil
}

func deriveAEAD(secret *Secret, salt []byte, purpose string) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, secret[:], salt, purpose, chacha20poly1305.KeySize)
	if err != nil {
		panic(err) // only for a key length that HKDF cannot give
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a wrong key length
	}
	return aead
}

// seal appends a fresh nonce and the sealed value with its tag to dst.
func seal(aead cipher.AEAD, dst, value, ad []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, nonceSize)...)
	nonce := dst[start:]
	rand.Read(nonce)
	return aead.Seal(dst, nonce, value, ad)
}

// unseal takes apart what seal appended.
func unseal(aead cipher.AEAD, box, ad []byte) ([]byte, error) {
	if len(box) < nonceSize+tagSize {
		return nil, errors.New("too short")
	}
	return aead.Open(nil, box[:nonceSize], box[nonceSize:], ad)
}

// fileName returns the file of the record of that name. Every byte other than A-Z a-z 0-9 - . _ ~ : is
// percent-encoded, so that no name leads out of the folder; the extension keeps records apart from the rest.
func fileName(name string) (string, error) {
	if name == "" || len(name) > MaxName {
		return "", fmt.Errorf("record name of %d bytes: want 1 to %d", len(name), MaxName)
	}
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ' || c > '~':
			return "", fmt.Errorf("record name %q: want printable ASCII", name)
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._~:", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	b.WriteString(recordExt)
	return b.String(), nil
}

// recordName undoes fileName; it is false for every file that fileName does not make.
func recordName(file string) (string, bool) {
	encoded, ok := strings.CutSuffix(file, recordExt)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(encoded); i++ {
		c := encoded[i]
		if c == '%' && i+2 < len(encoded) {
			n, err := strconv.ParseUint(encoded[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c = byte(n)
			i += 2
		}
		b.WriteByte(c)
	}
	name := b.String()
	again, err := fileName(name)
	return name, err == nil && again == file
}
