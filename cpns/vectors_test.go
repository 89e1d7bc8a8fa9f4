package cpns

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
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

func TestVectors(t *testing.T) {
	for _, file := range vectorFiles(t, "protocol*.json") {
		for i, v := range loadVectors(t, file) {
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(file), i), func(t *testing.T) {
				t.Run("formulas", v.testFormulas)
				t.Run("request", v.testRequest)
				t.Run("response", v.testResponse)
				t.Run("assignment", v.testAssignment)
				t.Run("authentication", v.testAuthentication)
			})
		}
	}
}

func (v *vector) testFormulas(t *testing.T) {
	hash := HashPassword(v.User, []byte(v.Password))
	equal(t, "Hash(Password)", hash[:], v.PasswordHash[:])
	authData := UserAuthenticationData(&hash, (*[32]byte)(&v.RandPNGW), v.Time)
	equal(t, "H(AuthData)", authData[:], v.AuthDataHash[:])
	seed := SeedPNE((*[32]byte)(&v.RandSVR), (*[32]byte)(&v.RandPNGW))
	equal(t, "SeedPNE", seed[:], v.Seed[:])

	want := v.set()
	if len(want) != v.N {
		t.Fatalf("the case has %d EUKeys, and says n = %d", len(want), v.N)
	}
	got := make([]EUKey, v.N)
	DeriveSet(got, &seed)
	for i := range want {
		equal(t, fmt.Sprintf("EUKey_%d", i+1), got[i][:], want[i][:])
	}
	if err := CheckSet(want); err != nil {
		t.Error(err)
	}
}

func (v *vector) testRequest(t *testing.T) {
	want := &EUKeyAssignmentRequest{
		EntityID: v.EntityID, UserID: v.User, RandPNGW: v.RandPNGW, Time: v.Time, UserAuthenticationData: v.AuthDataHash,
	}
	body, err := SealRequest(PSK1(v.PSK1), v.PSKIdentity, v.IV.Request, want)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "request", body, v.Request)

	sealed, err := ParseRequest(v.Request)
	if err != nil {
		t.Fatal(err)
	}
	if sealed.Identity != v.PSKIdentity {
		t.Errorf("PSK1 identity %q, want %q", sealed.Identity, v.PSKIdentity)
	}
	got, err := sealed.Open(PSK1(v.PSK1))
	if err != nil {
		t.Fatal(err)
	}
	if *got != *want {
		t.Errorf("request: got %+v, want %+v", got, want)
	}
}

func (v *vector) testResponse(t *testing.T) {
	tests := []struct {
		name string
		body []byte
		iv   [IVSize]byte
		want EUKeyAssignmentResponse
	}{
		{"success", v.Response, v.IV.Response, EUKeyAssignmentResponse{
			Status: Success, ServerTime: v.Time + 1, Epoch: v.Epoch, TK: TK(v.TK), EUKeys: v.set(),
		}},
		{"failed", v.ResponseFailedTime, v.IV.ResponseFailed, EUKeyAssignmentResponse{
			Status: TimeOutOfWindow, ServerTime: v.Time + 1000, TK: TK{}, EUKeys: []EUKey{},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body, err := SealResponse(PSK1(v.PSK1), v.PSKIdentity, v.Request, test.iv, &test.want)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "response", body, test.body)
			got, err := OpenResponse(PSK1(v.PSK1), v.PSKIdentity, v.Request, test.body)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, &test.want) {
				t.Error("the response opens to other values")
			}
		})
	}
}

// testAssignment is identify, hello, notification, acknowledgement.
func (v *vector) testAssignment(t *testing.T) {
	nonce, _, _ := v.nonces()
	key := EUKey(v.EUKeys[0])

	sameMessage(t, v.IdentifyAny, &Identify{})
	sameMessage(t, v.Identify, &Identify{Entity: v.EntityID})
	sameMessage(t, v.Hello, &Hello{Entity: v.EntityID, Nonce: *nonce, Algs: []int64{AlgChaCha20Poly1305}})

	notification, err := SealNotification(TK(v.TK), nonce, v.EntityID, v.GatewayID, v.Epoch, 1, &key, v.IV.Notification)
	if err != nil {
		t.Fatal(err)
	}
	parsed := sameMessage(t, v.Notification, notification)
	got, err := parsed.Open(TK(v.TK), nonce)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "EUKey of the notification", got[:], key[:])

	acknowledgement := sameMessage(t, v.Acknowledgement, NewAcknowledgement(&key, nonce[:], v.EntityID, v.Epoch, 1))
	if err := acknowledgement.Verify(&key, nonce[:]); err != nil {
		t.Error(err)
	}
	failed := sameMessage(t, v.AcknowledgementFailed, NewFailedAcknowledgement(AckCannotDecrypt, v.EntityID, v.Epoch, 1))
	if err := failed.Verify(&key, nonce[:]); !errors.Is(err, ErrNotAuthentic) {
		t.Errorf("an acknowledgement of a failure verifies: %v", err)
	}
}

// testAuthentication is the mutual authentication and the two ends of its update.
func (v *vector) testAuthentication(t *testing.T) {
	_, randGW, randPNE := v.nonces()
	set := v.set()
	held, next, last := &set[0], &set[1], &set[len(set)-1]

	sameMessage(t, v.AuthChallenge, &AuthChallenge{Entity: v.EntityID, Gateway: v.GatewayID, RandGW: *randGW})
	response := sameMessage(t, v.AuthResponse, NewAuthResponse(held, v.GatewayID, randGW, randPNE, v.EntityID, v.Epoch, 1))
	if err := response.Verify(held, v.GatewayID, randGW); err != nil {
		t.Error(err)
	}

	update, err := SealEUKeyUpdate(TK(v.TK), held, v.GatewayID, randGW, randPNE, v.EntityID, v.Epoch, 2, next, v.IV.Update)
	if err != nil {
		t.Fatal(err)
	}
	parsed := sameMessage(t, v.EUKeyUpdate, update)
	got, err := parsed.Open(TK(v.TK), held, v.GatewayID, randGW, randPNE)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "EUKey of the update", got[:], next[:])
	if !held.Precedes(got) {
		t.Error("the EUKey of the update does not follow the one held")
	}

	context := AuthContext(randGW, randPNE)
	acknowledgement := sameMessage(t, v.UpdateAcknowledgement, NewAcknowledgement(next, context, v.EntityID, v.Epoch, 2))
	if err := acknowledgement.Verify(next, context); err != nil {
		t.Error(err)
	}

	n := Index(len(set))
	usedUp, err := SealEUKeyUpdate(TK(v.TK), last, v.GatewayID, randGW, randPNE, v.EntityID, v.Epoch, n, nil, v.IV.UpdateUsedUp)
	if err != nil {
		t.Fatal(err)
	}
	parsed = sameMessage(t, v.EUKeyUpdateUsedUp, usedUp)
	got, err = parsed.Open(TK(v.TK), last, v.GatewayID, randGW, randPNE)
	if got != nil || err != nil {
		t.Errorf("the update of a used up set opens to %v, %v, want nil, nil", got, err)
	}

	sessionKey := DeriveSessionKey(next, randGW, randPNE, v.EntityID, v.GatewayID)
	equal(t, "session key", sessionKey[:], v.SessionKey[:])
}

// sameMessage checks that made marshals to wire, and that wire parses to what
// was made; it returns what was parsed.
func sameMessage[M Message](t *testing.T, wire []byte, made M) M {
	t.Helper()
	b, err := made.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, made.MessageType().String(), b, wire)
	parsed, err := ParseMessage(wire)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(parsed, Message(made)) {
		t.Errorf("parsed %+v, want %+v", parsed, made)
	}
	again, err := parsed.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, made.MessageType().String()+" marshaled again", again, wire)
	return parsed.(M)
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
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
