package cpns

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// vector is one case of protocol.json: numbers for every formula and message,
// made by an implementation independent of this one.
type vector struct {
	User        UserID      `json:"user"`
	Password    string      `json:"password"`
	EntityID    EntityID    `json:"entity_id"`
	GatewayID   GatewayID   `json:"gateway_id"`
	PSKIdentity PSKIdentity `json:"psk1_identity"`
	Time        uint64      `json:"time"`
	N           int         `json:"n"`
	PSK1        hexBytes    `json:"psk1"`
	TK          hexBytes    `json:"tk"`
	RandPNGW    hex32       `json:"rand_pngw"`
	RandSVR     hex32       `json:"rand_svr"`

	PasswordHash hex32   `json:"password_hash"`
	AuthDataHash hex32   `json:"auth_data_hash"`
	Seed         hex32   `json:"seed"`
	EUKeys       []hex32 `json:"eukeys"`

	IV struct {
		Request        hex12 `json:"request"`
		Response       hex12 `json:"response"`
		ResponseFailed hex12 `json:"response_failed"`
		Notification   hex12 `json:"notification"`
		Update         hex12 `json:"update"`
		UpdateUsedUp   hex12 `json:"update_used_up"`
	} `json:"iv"`
	Request            hexBytes `json:"request"`
	Response           hexBytes `json:"response"`
	ResponseFailedTime hexBytes `json:"response_failed_time"`

	Nonce   hex16 `json:"nonce"`
	RandGW  hex16 `json:"rand_gw"`
	RandPNE hex16 `json:"rand_pne"`
	Epoch   Epoch `json:"epoch"`

	Identify              hexBytes `json:"identify"`
	IdentifyAny           hexBytes `json:"identify_any"`
	Hello                 hexBytes `json:"hello"`
	Notification          hexBytes `json:"notification"`
	Acknowledgement       hexBytes `json:"acknowledgement"`
	AcknowledgementFailed hexBytes `json:"acknowledgement_failed"`
	AuthChallenge         hexBytes `json:"auth_challenge"`
	AuthResponse          hexBytes `json:"auth_response"`
	EUKeyUpdate           hexBytes `json:"eukey_update"`
	UpdateAcknowledgement hexBytes `json:"update_acknowledgement"`
	EUKeyUpdateUsedUp     hexBytes `json:"eukey_update_used_up"`
	SessionKey            hex32    `json:"session_key"`
}

// messages are the CPNS-1 messages of the case.
func (v *vector) messages() []hexBytes {
	return []hexBytes{
		v.Identify, v.IdentifyAny, v.Hello, v.Notification, v.Acknowledgement, v.AcknowledgementFailed,
		v.AuthChallenge, v.AuthResponse, v.EUKeyUpdate, v.UpdateAcknowledgement, v.EUKeyUpdateUsedUp,
	}
}

// set is the EUKey set of the case, EUKey_1 first.
func (v *vector) set() []EUKey {
	set := make([]EUKey, len(v.EUKeys))
	for i := range set {
		set[i] = EUKey(v.EUKeys[i])
	}
	return set
}

// nonces are the case's nonce, rand-gw and rand-pne.
func (v *vector) nonces() (nonce, randGW, randPNE *[NonceSize]byte) {
	return (*[NonceSize]byte)(&v.Nonce), (*[NonceSize]byte)(&v.RandGW), (*[NonceSize]byte)(&v.RandPNE)
}

// vectorFiles lists the vectors that match pattern, in testdata and in the
// folder that CPNS_VECTORS names.
func vectorFiles(tb testing.TB, pattern string) []string {
	tb.Helper()
	files := glob(tb, "testdata", pattern)
	if len(files) == 0 {
		tb.Fatalf("zero vectors found: no testdata/%s", pattern)
	}
	if folder := os.Getenv("CPNS_VECTORS"); folder != "" {
		if len(glob(tb, folder, "protocol*.json"))+len(glob(tb, folder, "refused*.json")) == 0 {
			tb.Fatalf("zero vectors found: no protocol*.json and no refused*.json in %s", folder)
		}
		files = append(files, glob(tb, folder, pattern)...)
	}
	return files
}

func glob(tb testing.TB, folder, pattern string) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

func loadVectors(tb testing.TB, file string) []*vector { return loadCases[*vector](tb, file) }

func loadCases[C any](tb testing.TB, file string) []C {
	tb.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	var vectors struct {
		Cases []C `json:"cases"`
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	if len(vectors.Cases) == 0 {
		tb.Fatalf("%s: zero vectors found", file)
	}
	return vectors.Cases
}

// Bytes in the vectors are hex, of an exact size where the protocol gives one.
type (
	hexBytes []byte
	hex12    [12]byte
	hex16    [16]byte
	hex32    [32]byte
)

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

func (b *hex12) UnmarshalText(text []byte) error { return decodeHex(b[:], text) }
func (b *hex16) UnmarshalText(text []byte) error { return decodeHex(b[:], text) }
func (b *hex32) UnmarshalText(text []byte) error { return decodeHex(b[:], text) }

func decodeHex(dst, text []byte) error {
	if hex.DecodedLen(len(text)) != len(dst) {
		return fmt.Errorf("%d hex digits for %d bytes", len(text), len(dst))
	}
	_, err := hex.Decode(dst, text)
	return err
}
