package server

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
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

// A KeyID names a master key without telling anything of it.
type KeyID [4]byte

func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// ID is the key's.
func (k *MasterKey) ID() KeyID {
	id, err := hkdf.Expand(sha256.New, k[:], "CPNS Server master key ID 1", len(KeyID{}))
	if err != nil {
		panic(err) // of a length that HKDF does not give
	}
	return KeyID(id)
}

// ErrWrongMasterKey says that the store was sealed under another master key. What says
// it is a *WrongMasterKeyError.
var ErrWrongMasterKey = errors.New("the database was sealed under another master key")

// A WrongMasterKeyError says under which one.
type WrongMasterKeyError struct {
	Needs []KeyID // none where an older program sealed it
}

func (e *WrongMasterKeyError) Error() string {
	if e.Needs == nil {
		return ErrWrongMasterKey.Error()
	}
	return fmt.Sprintf("%v, %s", ErrWrongMasterKey, KeyIDsText(e.Needs))
}

// Is makes it an ErrWrongMasterKey.
func (e *WrongMasterKeyError) Is(target error) bool { return target == ErrWrongMasterKey }

// The first byte of every sealed value. Those of version 1 do not say which master key
// they are under.
const (
	sealVersion1 = 1
	sealVersion  = 2
)

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
//	version (1 byte) | ID of the master key (4) | nonce (24 random bytes) | ciphertext | tag (16)
//
// The associated data binds version, key ID, table, column and row key, so that whoever
// can write to the database cannot move one row's secret into another. It cannot
// tell an old value of a row from the newest.
//
// Which of the master keys that it knows is the one to seal under, and whether values
// under another are opened too, says the store: see keyring.go.
type vault struct {
	rand   io.Reader
	audit  atomic.Pointer[auditKey] // once it was found in the store
	opened func(column)             // told of every open; nil outside of tests

	mu     sync.Mutex
	known  map[KeyID]*sealKey // the master keys
	binds  uint64             // how often bind has begun
	newest uint64             // of those that have set state
	state  atomic.Pointer[keyState]
}

// A sealKey is what is derived from one master key.
type sealKey struct {
	id         KeyID
	aead       cipher.AEAD
	requestKey []byte // of request tags
	psk1Key    []byte // of PSK1 tags
}

func newSealKey(key *MasterKey) (*sealKey, error) {
	expand := func(info string, size int) []byte {
		k, err := hkdf.Expand(sha256.New, key[:], info, size)
		if err != nil {
			panic(err) // of a length that HKDF does not give
		}
		return k
	}
	aead, err := chacha20poly1305.NewX(expand("CPNS Server sealed columns 1", chacha20poly1305.KeySize))
	if err != nil {
		return nil, fmt.Errorf("setting up the seal: %w", err)
	}
	return &sealKey{
		id:         key.ID(),
		aead:       aead,
		requestKey: expand("CPNS Server request tags 1", sha256.Size),
		psk1Key:    expand("CPNS Server PSK1 tags 1", sha256.Size),
	}, nil
}

// newVault makes a vault that knows master keys, and seals under the first one until
// bind says otherwise.
func newVault(key *MasterKey, rand io.Reader, more ...*MasterKey) (*vault, error) {
	v := &vault{rand: rand, known: make(map[KeyID]*sealKey)}
	for _, k := range append([]*MasterKey{key}, more...) {
		if err := v.learn(k); err != nil {
			return nil, err
		}
	}
	v.state.Store(&keyState{current: v.known[key.ID()]})
	return v, nil
}

// learn adds a master key to those that the vault knows.
func (v *vault) learn(key *MasterKey) error {
	k, err := newSealKey(key)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known[k.id] == nil {
		v.known[k.id] = k
	}
	return nil
}

// seal seals plaintext for one row of a column.
func (v *vault) seal(c column, row string, plaintext []byte) (Sealed, error) {
	return v.state.Load().current.seal(v.rand, c, row, plaintext)
}

// sealHead is what stands before the ciphertext: version, key ID, nonce.
const sealHead = 1 + len(KeyID{}) + chacha20poly1305.NonceSizeX

func (k *sealKey) seal(rand io.Reader, c column, row string, plaintext []byte) (Sealed, error) {
	sealed := make([]byte, sealHead, sealHead+len(plaintext)+k.aead.Overhead())
	sealed[0] = sealVersion
	copy(sealed[1:], k.id[:])
	nonce := sealed[1+len(k.id):]
	// 24 bytes are long enough for a random nonce under one key for good.
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("sealing %s.%s: %w", c.table, c.name, err)
	}
	return k.aead.Seal(sealed, nonce, plaintext, appendFields(sealed[:1+len(k.id):1+len(k.id)], c.table, c.name, row)), nil
}

// open opens what seal sealed for the same row of the same column.
func (v *vault) open(c column, row string, sealed Sealed) ([]byte, error) {
	if v.opened != nil {
		v.opened(c)
	}
	failed := func(why string) error { return fmt.Errorf("opening %s.%s of %q: %s", c.table, c.name, row, why) }
	if len(sealed) == 0 || sealed[0] != sealVersion && sealed[0] != sealVersion1 {
		return nil, failed("not a sealed value of this program's")
	}
	keys := v.state.Load().forOpening(sealed)
	if len(keys) == 0 {
		return nil, failed("altered, or sealed under another master key")
	}
	for _, k := range keys {
		if plaintext, err := k.open(c, row, sealed); err == nil {
			return plaintext, nil
		}
	}
	return nil, failed("altered, moved, or sealed under another master key")
}

var errNotOpened = errors.New("does not open")

func (k *sealKey) open(c column, row string, sealed Sealed) ([]byte, error) {
	head := 1 // before the nonce
	if sealed[0] == sealVersion {
		head += len(k.id)
	}
	if len(sealed) < head+chacha20poly1305.NonceSizeX {
		return nil, errNotOpened
	}
	nonce, ciphertext := sealed[head:head+chacha20poly1305.NonceSizeX], sealed[head+chacha20poly1305.NonceSizeX:]
	plaintext, err := k.aead.Open(nil, nonce, ciphertext, appendFields(slices.Clone(sealed[:head]), c.table, c.name, row))
	if err != nil {
		return nil, errNotOpened
	}
	return plaintext, nil
}

// idOf is the ID of the master key that a value is sealed under; false for one that does
// not say it.
func (s Sealed) idOf() (id KeyID, ok bool) {
	if len(s) < sealHead || s[0] != sealVersion {
		return id, false
	}
	return KeyID(s[1:]), true
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

// requestContent is what a request from a gateway is recognised by. Without a key its
// tag would let whoever reads the database try passwords against the user authentication
// data in it. The hello of a request is not part of it: the PNE may have said another one
// when the same request is sent again.
func requestContent(g cpns.GatewayID, r *cpns.EUKeyAssignmentRequest) []byte {
	b := appendFields(nil, string(g), string(r.EntityID), string(r.UserID), string(r.RandPNGW[:]), string(r.UserAuthenticationData[:]))
	return binary.BigEndian.AppendUint64(b, r.Time)
}

// requestTag is the tag of a request.
func (v *vault) requestTag(content []byte) Tag {
	return tagOf(v.state.Load().current.requestKey, content)
}

// isTag reports whether a tag is that of a request, made now or before the master key was
// changed.
func (v *vault) isTag(tag Tag, content []byte) bool {
	is := false
	for _, key := range v.state.Load().requestKeys() {
		of := tagOf(key, content)
		is = hmac.Equal(of[:], tag[:]) || is
	}
	return is
}

// psk1Tag is the tag of a PSK1, by which the store refuses to have it twice.
func (v *vault) psk1Tag(psk cpns.PSK1) Tag { return tagOf(v.state.Load().current.psk1Key, psk) }

// hasPSK1 is the PSK1 in the store that has the key psk, ErrNotFound for none.
func (v *vault) hasPSK1(tx Tx, psk cpns.PSK1) (PSK1, error) {
	s := v.state.Load()
	p, err := tx.PSK1ByTag(tagOf(s.current.psk1Key, psk))
	if errors.Is(err, ErrNotFound) && s.former != nil {
		return tx.PSK1ByTag(tagOf(s.former.psk1Key, psk))
	}
	return p, err
}
