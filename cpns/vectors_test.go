package cpns

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
)

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
