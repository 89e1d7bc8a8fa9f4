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
	case "identify", "hello", "notification", "acknowledgement", "auth_challenge", "auth_response", "eukey_update":
		message, err := ParseMessage(r.Hex)
		return func() error { return openMessage(message, v) }, err
	}
	return nil, fmt.Errorf("unknown kind %q", r.Kind)
}

// openMessage opens or verifies a message under everything of v that a receiver
// could hold, and returns nil if it is accepted under any of it.
func openMessage(message Message, v *vector) (err error) {
	nonce, randGW, randPNE := v.nonces()
	for i := range v.EUKeys {
		key := EUKey(v.EUKeys[i])
		switch m := message.(type) {
		case *Notification:
			_, err = m.Open(TK(v.TK), nonce)
		case *Acknowledgement:
			err = m.Verify(&key, nonce[:])
			if err != nil {
				err = m.Verify(&key, AuthContext(randGW, randPNE))
			}
		case *AuthResponse:
			err = m.Verify(&key, v.GatewayID, randGW)
		case *EUKeyUpdate:
			_, err = m.Open(TK(v.TK), &key, v.GatewayID, randGW, randPNE)
		default:
			return fmt.Errorf("there is nothing to open in %v", message.MessageType())
		}
		if err == nil {
			return nil
		}
	}
	return err
}
