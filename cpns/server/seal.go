package server

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"

	"cpns.example.net/pngw/cpns"
)

// MasterKeySize is the size of the server's master key in bytes.
const MasterKeySize = 32

// MasterKey is the key under which the server's secrets lie sealed. However it
// is formatted it gives nothing away, and it refuses to become text.
type MasterKey [MasterKeySize]byte

const redacted = "[redacted]"

func (MasterKey) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }
func (MasterKey) String() string             { return redacted }
func (MasterKey) GoString() string           { return redacted }
func (MasterKey) LogValue() slog.Value       { return slog.StringValue(redacted) }
func (MasterKey) MarshalText() ([]byte, error) {
	return nil, errors.New("the master key is not marshaled as text")
}

// ErrWrongMasterKey says that the store was sealed under another master key.
var ErrWrongMasterKey = errors.New("the database was sealed under another master key")

// sealVersion is the first byte of every sealed value.
const sealVersion = 1

// A column names the place of sealed values in the store.
type column struct{ table, name string }

var (
	columnPasswordHash = column{"users", "password_hash"}
	columnPSK1         = column{"psk1s", "psk1"}
	columnInvitation   = column{"invitations", "secret"}
	columnTK           = column{"pnes", "tk"}
	columnRandSVR      = column{"assignments", "rand_svr"}
	columnCredential   = column{"credentials", "hash"}
	columnAnswer       = column{"answers", "answer"}
	columnKeyCheck     = column{"settings", "value"}
	columnAuditKey     = column{"settings", "value"}
)

// A vault seals what the store keeps, by XChaCha20-Poly1305 under a key derived
// from the master key:
//
//	version (1 byte) | nonce (24 random bytes) | ciphertext | tag (16 bytes)
//
// The associated data binds version, table, column and row key, so that whoever
// can write to the database cannot move one row's secret into another. It cannot
// tell an old value of a row from the newest.
type vault struct {
	aead       cipher.AEAD
	requestKey []byte // of requestTag
	psk1Key    []byte // of psk1Tag
	rand       io.Reader
	audit      atomic.Pointer[auditKey] // once it was found in the store
	opened     func(column)             // told of every open; nil outside of tests
}

func newVault(key *MasterKey, rand io.Reader) (*vault, error) {
	sealKey, err := hkdf.Expand(sha256.New, key[:], "CPNS Server sealed columns 1", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("deriving the sealing key: %w", err)
	}
	requestKey, err := hkdf.Expand(sha256.New, key[:], "CPNS Server request tags 1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of request tags: %w", err)
	}
	psk1Key, err := hkdf.Expand(sha256.New, key[:], "CPNS Server PSK1 tags 1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of PSK1 tags: %w", err)
	}
	aead, err := chacha20poly1305.NewX(sealKey)
	if err != nil {
		return nil, fmt.Errorf("setting up the seal: %w", err)
	}
	return &vault{aead: aead, requestKey: requestKey, psk1Key: psk1Key, rand: rand}, nil
}

// seal seals plaintext for one row of a column.
func (v *vault) seal(c column, row string, plaintext []byte) (Sealed, error) {
	sealed := make([]byte, 1+chacha20poly1305.NonceSizeX, 1+chacha20poly1305.NonceSizeX+len(plaintext)+v.aead.Overhead())
	sealed[0] = sealVersion
	// 24 bytes are long enough for a random nonce under one key for good.
	if _, err := io.ReadFull(v.rand, sealed[1:]); err != nil {
		return nil, fmt.Errorf("sealing %s.%s: %w", c.table, c.name, err)
	}
	return v.aead.Seal(sealed, sealed[1:], plaintext, associatedData(c, row)), nil
}

// open opens what seal sealed for the same row of the same column.
func (v *vault) open(c column, row string, sealed Sealed) ([]byte, error) {
	if v.opened != nil {
		v.opened(c)
	}
	if len(sealed) < 1+chacha20poly1305.NonceSizeX || sealed[0] != sealVersion {
		return nil, fmt.Errorf("opening %s.%s of %q: not a sealed value of version %d", c.table, c.name, row, sealVersion)
	}
	nonce, ciphertext := sealed[1:1+chacha20poly1305.NonceSizeX], sealed[1+chacha20poly1305.NonceSizeX:]
	plaintext, err := v.aead.Open(nil, nonce, ciphertext, associatedData(c, row))
	if err != nil {
		return nil, fmt.Errorf("opening %s.%s of %q: altered, moved, or sealed under another master key", c.table, c.name, row)
	}
	return plaintext, nil
}

// associatedData is version | u32 length | table | u32 length | column | u32 length | row key.
func associatedData(c column, row string) []byte {
	return appendFields([]byte{sealVersion}, c.table, c.name, row)
}

// appendFields appends each field behind its length, so that no two lists of
// fields give the same bytes.
func appendFields(b []byte, fields ...string) []byte {
	for _, f := range fields {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

// A Tag recognises what was seen before. It is keyed, because it is stored in the
// clear.
type Tag [sha256.Size]byte

// Bytes is the tag as it is kept where there may be none: a zero one is empty.
func (t Tag) Bytes() []byte {
	if t == (Tag{}) {
		return []byte{}
	}
	return t[:]
}

func tagOf(key, content []byte) Tag {
	mac := hmac.New(sha256.New, key)
	mac.Write(content)
	return Tag(mac.Sum(nil))
}

// requestTag is the tag of a request from a gateway. Without a key it would let
// whoever reads the database try passwords against the user authentication data in
// it. The hello of a request is not part of it: the PNE may have said another one
// when the same request is sent again.
func (v *vault) requestTag(g cpns.GatewayID, r *cpns.EUKeyAssignmentRequest) Tag {
	b := appendFields(nil, string(g), string(r.EntityID), string(r.UserID), string(r.RandPNGW[:]), string(r.UserAuthenticationData[:]))
	return tagOf(v.requestKey, binary.BigEndian.AppendUint64(b, r.Time))
}

// psk1Tag is the tag of a PSK1, by which the store refuses to have it twice.
func (v *vault) psk1Tag(psk cpns.PSK1) Tag { return tagOf(v.psk1Key, psk) }

// keyCheck is the setting that tells a wrong master key before it does harm.
const (
	keyCheckSetting = "master-key-check"
	keyCheckText    = "CPNS Server"
)

// addKeyCheck binds an empty store to the master key.
func (v *vault) addKeyCheck(tx Tx) error {
	sealed, err := v.seal(columnKeyCheck, keyCheckSetting, []byte(keyCheckText))
	if err != nil {
		return err
	}
	return tx.AddSetting(keyCheckSetting, sealed)
}

// verifyKeyCheck fails with ErrWrongMasterKey where the store is bound to another one.
func (v *vault) verifyKeyCheck(tx Tx) error {
	if to, err := tx.Setting(settingMoved); err == nil {
		return &MovedError{string(to)}
	}
	sealed, err := tx.Setting(keyCheckSetting)
	if errors.Is(err, ErrNotFound) {
		if _, err := tx.Setting(settingMoving); err == nil {
			return ErrHalfMoved
		}
	}
	if err != nil {
		return fmt.Errorf("reading the master key check: %w", err)
	}
	if _, err := v.open(columnKeyCheck, keyCheckSetting, sealed); err != nil {
		return ErrWrongMasterKey
	}
	return nil
}
