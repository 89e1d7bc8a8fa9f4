package board

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// A WrongBoardError reports a root key that was made on another board, or on this one when it showed other
// ids. Its text names both boards, and tells nobody to remove anything: from within a container or a jail the
// right board may look like another, or like none.
type WrongBoardError struct {
	MadeOn, This string   // model and fingerprint
	Sources      []string // where the ids came from that the root key is bound to
	Here         []string // where ids came from that are here
	Unreadable   []string // sources that this process may not read
}

func (e *WrongBoardError) Error() string {
	text := fmt.Sprintf("the root key was made on %s, this is %s, ", e.MadeOn, e.This)
	if len(e.Here) == 0 {
		return text + "which shows no id of any board: is /sys mounted? A container or a jail may be without; the files are not at fault, leave them as they are"
	}
	text += fmt.Sprintf("which has none of its ids (%s): keys do not move from board to board, they open on the one that they were made on; "+
		"to begin anew here, move root key and key store away and run pngw init", strings.Join(e.Sources, ", "))
	has := func(sources []string) func(string) bool {
		return func(source string) bool { return slices.Contains(sources, source) }
	}
	if i := slices.IndexFunc(e.Unreadable, has(e.Sources)); i >= 0 {
		return text + "; if this is the same board: " + e.Unreadable[i] + " cannot be read by this user, run pngw init and pngw run as the same one"
	}
	if !slices.ContainsFunc(e.Sources, has(e.Here)) {
		return text + "; if this is the same board: nothing of what its ids came from is here, see that all of /sys is mounted"
	}
	return text
}

const (
	bindingVersion = 1
	bindingPurpose = "pngw board 1 device secret"
	maxBinding     = 16 << 10 // of the binding's file, in bytes
	maxSeals       = 32
)

// A binding is the content of the file beside the root key, as JSON.
type binding struct {
	Version     int      `json:"version"`
	Model       string   `json:"model"`       // at init, for messages
	Fingerprint string   `json:"fingerprint"` // at init, for messages
	Seals       []idSeal `json:"seals"`
}

// An idSeal is the device secret sealed with XChaCha20-Poly1305 under the root key and one id.
type idSeal struct {
	Source string `json:"source"` // of the id; "none" where the board had none
	Sealed []byte `json:"sealed"` // nonce (24) | sealed device secret (32) | tag (16)
}

// unbound is what the secret is sealed for on a board without ids.
const unbound = "none:"

// newBinding makes a device secret and seals it for every id of the board.
func newBinding(rootKey []byte, id Identity) ([]byte, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	b := binding{Version: bindingVersion, Model: id.Model, Fingerprint: id.Fingerprint()}
	ids := id.IDs
	if len(ids) == 0 {
		ids = []string{unbound}
	}
	for _, one := range ids[:min(len(ids), maxSeals)] {
		source, _, _ := strings.Cut(one, ":")
		nonce := make([]byte, chacha20poly1305.NonceSizeX)
		rand.Read(nonce)
		sealed := idAEAD(rootKey, one).Seal(nonce, nonce, secret, []byte(bindingPurpose))
		b.Seals = append(b.Seals, idSeal{Source: source, Sealed: sealed})
	}
	text, err := json.MarshalIndent(b, "", "\t")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

func parseBinding(text []byte) (*binding, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var b binding
	if err := d.Decode(&b); err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	if b.Version != bindingVersion {
		return nil, fmt.Errorf("version %d: this pngw knows only %d", b.Version, bindingVersion)
	}
	if len(b.Seals) == 0 || len(b.Seals) > maxSeals {
		return nil, fmt.Errorf("damaged: %d seals", len(b.Seals))
	}
	for _, s := range b.Seals {
		if len(s.Sealed) != chacha20poly1305.NonceSizeX+32+chacha20poly1305.Overhead {
			return nil, errors.New("damaged: a seal has the wrong length")
		}
	}
	return &b, nil
}

// open returns the device secret if one of the board's ids is one that it was sealed for.
func (b *binding) open(rootKey []byte, id Identity) (secret [32]byte, ok bool) {
	for _, s := range b.Seals {
		for _, one := range append([]string{unbound}, id.IDs...) {
			if !strings.HasPrefix(one, s.Source+":") {
				continue
			}
			nonce, box := s.Sealed[:chacha20poly1305.NonceSizeX], s.Sealed[chacha20poly1305.NonceSizeX:]
			if plain, err := idAEAD(rootKey, one).Open(nil, nonce, box, []byte(bindingPurpose)); err == nil {
				return [32]byte(plain), true
			}
		}
	}
	return secret, false
}

// sources returns where the ids came from, each once.
func (b *binding) sources() []string {
	var all []string
	for _, s := range b.Seals {
		all = append(all, s.Source)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// sources is the same of a board's own ids, which are sorted.
func (id Identity) sources() []string {
	var all []string
	for _, one := range id.IDs {
		source, _, _ := strings.Cut(one, ":")
		all = append(all, source)
	}
	return slices.Compact(all)
}

// idAEAD returns the AEAD of a root key and one id.
func idAEAD(rootKey []byte, id string) cipher.AEAD {
	salt := sha256.Sum256([]byte(id))
	key, err := hkdf.Key(sha256.New, rootKey, salt[:], bindingPurpose, chacha20poly1305.KeySize)
	if err != nil {
		panic(err) // only for a key length that HKDF cannot give
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a wrong key length
	}
	return aead
}
