package cpns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refused is a message that must be refused, for one fault: without any key
// (stage decode), or well formed but not acceptable under the keys (stage open).
type refused struct {
	Kind  string   `json:"kind"`
	Why   string   `json:"why"`
	Stage string   `json:"stage"`
	Hex   hexBytes `json:"hex"`
}

func TestRefused(t *testing.T) {
	for _, file := range vectorFiles(t, "refused*.json") {
		good := goodVector(t, file)
		for _, test := range loadCases[refused](t, file) {
			t.Run(fmt.Sprintf("%s/%s/%s", filepath.Base(file), test.Kind, test.Why), func(t *testing.T) {
				open, err := test.decode(good)
				switch test.Stage {
				case "decode":
					if !errors.Is(err, ErrMalformed) {
						t.Fatalf("decoding: got error %v, want ErrMalformed", err)
					}
				case "open":
					if err != nil {
						t.Fatalf("decoding: %v, want it refused only when opened", err)
					}
					if err := open(); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNotAuthentic) {
						t.Fatalf("opening: got error %v, want ErrMalformed or ErrNotAuthentic", err)
					}
				default:
					t.Fatalf("unknown stage %q", test.Stage)
				}
			})
		}
	}
}

// goodVector is the first case of the protocol.json beside a refused.json, or of
// ours where there is none: keys and context of the refused messages.
func goodVector(tb testing.TB, refusedFile string) *vector {
	tb.Helper()
	folder, name := filepath.Split(refusedFile)
	file := filepath.Join(folder, strings.Replace(name, "refused", "protocol", 1))
	if _, err := os.Stat(file); err != nil {
		file = filepath.Join("testdata", "protocol.json")
	}
	return loadVectors(tb, file)[0]
}

// decode runs the stage that needs no key, and returns the stage that does.
func (r *refused) decode(v *vector) (open func() error, err error) {
	switch r.Kind {
	case "request":
		sealed, err := ParseRequest(r.Hex)
		return func() error {
			_, err := sealed.Open(PSK1(v.PSK1))
			return err
		}, err
	case "response":
		_, err := parseBody(r.Hex, MaxResponseBody)
		return func() error {
			_, err := OpenResponse(PSK1(v.PSK1), v.PSKIdentity, v.Request, r.Hex)
			return err
		}, err
	case "identify", "hello", "notification", "acknowledgement", "auth_challenge", "auth_response", "eukey_update", "notification_x25519":
		message, err := ParseMessage(r.Hex)
		return func() error { return openMessage(message, v, r.Kind == "notification_x25519") }, err
	}
	return nil, fmt.Errorf("unknown kind %q", r.Kind)
}

// openMessage opens or verifies a message under everything of v that a receiver
// could hold, and returns nil if it is accepted under any of it.
func openMessage(message Message, v *vector, x25519 bool) (err error) {
	randGW, randPNE := v.nonces()
	for i := range v.EUKeys {
		key := EUKey(v.EUKeys[i])
		switch m := message.(type) {
		case *Hello:
			err = answer(m, v)
		case *Notification:
			if x25519 {
				pne, _ := v.pairs()
				_, err = m.Open(TK(v.TK), (*[32]byte)(&v.X25519.HelloHash), pne)
			} else {
				_, err = m.Open(TK(v.TK), (*[32]byte)(&v.HelloHash), nil)
			}
		case *Acknowledgement:
			err = m.Verify(&key, NotificationContext((*[32]byte)(&v.HelloHash)), v.GatewayID)
			if err != nil {
				err = m.Verify(&key, UpdateContext(randGW, randPNE), v.GatewayID)
			}
		case *AuthResponse:
			err = m.Verify(&key, v.GatewayID, randGW)
		case *EUKeyUpdate:
			err = follow(m, v, Index(i+1))
		default:
			return fmt.Errorf("there is nothing to open in %v", message.MessageType())
		}
		if err == nil && isFor(message, v) {
			return nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: another PNE's", ErrNotAuthentic)
	}
	return err
}

// isFor reports whether a message names the case's PNE: who receives it looks at that first.
func isFor(message Message, v *vector) bool {
	switch m := message.(type) {
	case *Hello:
		return m.Entity == v.EntityID
	case *Notification:
		return m.Entity == v.EntityID
	case *Acknowledgement:
		return m.Entity == v.EntityID
	case *AuthResponse:
		return m.Entity == v.EntityID
	case *EUKeyUpdate:
		return m.Entity == v.EntityID
	}
	return false
}

// answer is what a gateway does with a hello: it sees whether it is the PNE's,
// then seals a key for it.
func answer(m *Hello, v *vector) error {
	if err := m.Verify(TK(v.TK)); err != nil {
		return err
	}
	_, gateway := v.pairs()
	_, err := SealNotification(TK(v.TK), m, gateway, v.GatewayID, v.Epoch, 1, &EUKey{}, [IVSize]byte{})
	return err
}

// follow is what a PNE that holds the key at index does with an update.
func follow(m *EUKeyUpdate, v *vector, index Index) error {
	randGW, randPNE := v.nonces()
	held := EUKey(v.EUKeys[index-1])
	next, err := m.Open(TK(v.TK), &held, v.GatewayID, randGW, randPNE)
	switch {
	case err != nil:
		return err
	case next == nil && m.Index == index, next != nil && m.Index == index+1 && held.Precedes(next):
		return nil
	}
	return fmt.Errorf("%w: the key or the index does not follow", ErrNotAuthentic)
}
