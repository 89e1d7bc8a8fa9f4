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
		UpdateStay     hex12 `json:"update_stay"`

		RequestWithHello   hex12 `json:"request_with_hello"`
		NotificationX25519 hex12 `json:"notification_x25519"`
	} `json:"iv"`
	Request            hexBytes `json:"request"`
	RequestWithHello   hexBytes `json:"request_with_hello"`
	Response           hexBytes `json:"response"`
	ResponseFailedTime hexBytes `json:"response_failed_time"`

	Nonce   hex16 `json:"nonce"`
	RandGW  hex16 `json:"rand_gw"`
	RandPNE hex16 `json:"rand_pne"`
	Epoch   Epoch `json:"epoch"`

	ResponseEpoch Epoch `json:"response_epoch"`

	Identify              hexBytes `json:"identify"`
	IdentifyAny           hexBytes `json:"identify_any"`
	Hello                 hexBytes `json:"hello"`
	HelloHash             hex32    `json:"hello_hash"`
	Notification          hexBytes `json:"notification"`
	Acknowledgement       hexBytes `json:"acknowledgement"`
	AuthChallenge         hexBytes `json:"auth_challenge"`
	AuthResponse          hexBytes `json:"auth_response"`
	EUKeyUpdate           hexBytes `json:"eukey_update"`
	UpdateAcknowledgement hexBytes `json:"update_acknowledgement"`
	EUKeyUpdateUsedUp     hexBytes `json:"eukey_update_used_up"`
	SessionKey            hex32    `json:"session_key"`

	// Of a failure with each status, 1 to 4.
	AcknowledgementFailed []hexBytes `json:"acknowledgement_failed"`

	EUKeyUpdateStay       hexBytes `json:"eukey_update_stay"`
	StayAcknowledgement   hexBytes `json:"stay_acknowledgement"`
	StaySessionKey        hex32    `json:"stay_session_key"`
	UsedUpAcknowledgement hexBytes `json:"used_up_acknowledgement"`
	UsedUpSessionKey      hex32    `json:"used_up_session_key"`

	ApplicationKeys map[string]hex32 `json:"application_keys"`
	PSKIdentityOf   *string          `json:"psk_identity"` // of the Entity ID; null where it has none

	X25519 struct {
		PNEPrivate      hex32    `json:"pne_private"`
		PNEPublic       hex32    `json:"pne_public"`
		GatewayPrivate  hex32    `json:"gateway_private"`
		GatewayPublic   hex32    `json:"gateway_public"`
		SharedSecret    hex32    `json:"shared_secret"`
		Nonce           hex16    `json:"nonce"`
		Epoch           Epoch    `json:"epoch"`
		Index           Index    `json:"index"`
		Algs            []int64  `json:"algs"`
		Hello           hexBytes `json:"hello"`
		HelloHash       hex32    `json:"hello_hash"`
		Notification    hexBytes `json:"notification"`
		Acknowledgement hexBytes `json:"acknowledgement"`
	} `json:"x25519"`
}

// messages are the CPNS-1 messages of the case.
func (v *vector) messages() []hexBytes {
	return append([]hexBytes{
		v.Identify, v.IdentifyAny, v.Hello, v.Notification, v.Acknowledgement,
		v.AuthChallenge, v.AuthResponse, v.EUKeyUpdate, v.UpdateAcknowledgement,
		v.EUKeyUpdateStay, v.StayAcknowledgement, v.EUKeyUpdateUsedUp, v.UsedUpAcknowledgement,
		v.X25519.Hello, v.X25519.Notification, v.X25519.Acknowledgement,
	}, v.AcknowledgementFailed...)
}

// set is the EUKey set of the case, EUKey_1 first.
func (v *vector) set() []EUKey {
	set := make([]EUKey, len(v.EUKeys))
	for i := range set {
		set[i] = EUKey(v.EUKeys[i])
	}
	return set
}

// nonces are the case's rand-gw and rand-pne.
func (v *vector) nonces() (randGW, randPNE *[NonceSize]byte) {
	return (*[NonceSize]byte)(&v.RandGW), (*[NonceSize]byte)(&v.RandPNE)
}

// pairs are the X25519 pairs of the case.
func (v *vector) pairs() (pne, gateway *X25519Pair) {
	return NewX25519Pair(v.X25519.PNEPrivate), NewX25519Pair(v.X25519.GatewayPrivate)
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
