package page

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"cpns.example.net/pngw/agent/certificate"
	"cpns.example.net/pngw/cpns"
)

// Store keeps sealed records by name: agent.Store has it.
type Store interface {
	Put(name string, value []byte) error
	Get(name string) ([]byte, error) // fs.ErrNotExist where there is none
}

// recordName is the one record; no Entity ID has a space.
const recordName = "the page"

// record is all that the page keeps.
type record struct {
	CAKey   []byte `json:"ca_key"` // private halves of P-256 keys, 32 bytes
	Key     []byte `json:"key"`
	CA      []byte `json:"ca"` // in DER
	Gateway string `json:"gateway"`
	PIN     *PIN   `json:"pin,omitempty"`
}

// SaltSize is the size of a PIN's salt, in bytes.
const SaltSize = 16

// A PIN is what is kept of one. Key is SHA-256 of what Argon2id makes of it: whoever
// reads the record has to try PINs at Argon2id's price, and cannot log in by what it
// says. The page that asks for the PIN computes Argon2id, not the router, which has no
// 7 MiB to spare for everybody who asks.
type PIN struct {
	Salt []byte `json:"salt"`
	Key  []byte `json:"key"`
}

// NewPIN makes what is kept of a PIN out of its salt and Argon2id's 32 bytes.
func NewPIN(salt, stretched []byte) (*PIN, error) {
	if len(salt) != SaltSize || len(stretched) != sha256.Size {
		return nil, fmt.Errorf("a PIN comes as %d bytes of salt and the %d that Argon2id made", SaltSize, sha256.Size)
	}
	sum := sha256.Sum256(stretched)
	return &PIN{salt, sum[:]}, nil
}

func (p *PIN) fits(stretched []byte) bool {
	sum := sha256.Sum256(stretched)
	return subtle.ConstantTimeCompare(sum[:], p.Key) == 1
}

// load reads the record, and makes it where there is none.
func load(s Store, gateway string) (*record, error) {
	value, err := s.Get(recordName)
	if errors.Is(err, fs.ErrNotExist) {
		return create(s, gateway)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the page's keys: %w", err)
	}
	defer clear(value)
	r := new(record)
	if json.Unmarshal(value, r) != nil || r.PIN != nil && len(r.PIN.Key) != sha256.Size {
		return nil, errors.New("reading the page's keys: the record is not of this program") // the decoder would quote it
	}
	return r, nil
}

func create(s Store, gateway string) (*record, error) {
	r := &record{Gateway: gateway}
	for _, k := range []*[]byte{&r.CAKey, &r.Key} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		if *k, err = key.Bytes(); err != nil {
			return nil, err
		}
	}
	ca, err := parseKey(r.CAKey)
	if err != nil {
		return nil, err
	}
	if r.CA, err = certificate.CA(ca, gateway); err != nil {
		return nil, err
	}
	return r, r.keep(s)
}

func (r *record) keep(s Store) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	defer clear(value)
	if err := s.Put(recordName, value); err != nil {
		return fmt.Errorf("keeping the page's keys: %w", err)
	}
	return nil
}

func parseKey(private []byte) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), private)
	if err != nil {
		return nil, errors.New("the page's key is none")
	}
	return key, nil
}

// SetPIN keeps a PIN where no page is served: with the store of the agent that is to
// serve it.
func SetPIN(s Store, gateway cpns.GatewayID, pin *PIN) error {
	r, err := load(s, string(gateway))
	if err != nil {
		return err
	}
	r.PIN = pin
	return r.keep(s)
}
