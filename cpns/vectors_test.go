package cpns

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
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
				t.Run("hello", v.testHello)
				t.Run("x25519", v.testX25519)
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
	hello, err := ParseMessage(v.Hello)
	if err != nil {
		t.Fatal(err)
	}
	want := &EUKeyAssignmentRequest{
		EntityID: v.EntityID, UserID: v.User, RandPNGW: v.RandPNGW, Time: v.Time, UserAuthenticationData: v.AuthDataHash,
	}
	v.testRequestIs(t, want, v.IV.Request, v.Request)
	want.PNEHello = hello.(*Hello)
	v.testRequestIs(t, want, v.IV.RequestWithHello, v.RequestWithHello)
}

func (v *vector) testRequestIs(t *testing.T, want *EUKeyAssignmentRequest, iv hex12, wire []byte) {
	t.Helper()
	body, err := SealRequest(PSK1(v.PSK1), v.PSKIdentity, iv, want)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "request", body, wire)

	sealed, err := ParseRequest(wire)
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
	if !reflect.DeepEqual(got, want) {
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
			Status: Success, ServerTime: v.Time + 1, Epoch: v.ResponseEpoch, TK: TK(v.TK), EUKeys: v.set(),
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

// testHello is a hello that says that nothing is held, and its answer.
func (v *vector) testHello(t *testing.T) {
	key := EUKey(v.EUKeys[0])
	sameMessage(t, v.IdentifyAny, &Identify{})
	sameMessage(t, v.Identify, &Identify{Entity: v.EntityID})

	made, err := NewHello(TK(v.TK), Hello{Entity: v.EntityID, Nonce: v.Nonce, Algs: []int64{AlgChaCha20Poly1305}})
	if err != nil {
		t.Fatal(err)
	}
	hello := sameMessage(t, v.Hello, made)
	hash := v.testHelloIs(t, hello, v.HelloHash)
	notification, err := SealNotification(TK(v.TK), hello, nil, v.GatewayID, v.Epoch, 1, &key, v.IV.Notification)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sameMessage(t, v.Notification, notification).Open(TK(v.TK), &hash, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "EUKey of the notification", got[:], key[:])
	v.testAcknowledgement(t, v.Acknowledgement, &key, NotificationContext(&hash), v.Epoch, 1)

	if len(v.AcknowledgementFailed) != int(AckNotStored) {
		t.Fatalf("%d acknowledgements of failures, want one of each status", len(v.AcknowledgementFailed))
	}
	for i, wire := range v.AcknowledgementFailed {
		failed := sameMessage(t, wire, NewFailedAcknowledgement(AckStatus(i+1), v.EntityID, v.Epoch, 1))
		if err := failed.Verify(&key, NotificationContext(&hash), v.GatewayID); !errors.Is(err, ErrNotAuthentic) {
			t.Errorf("an acknowledgement of a failure verifies: %v", err)
		}
	}
}

func (v *vector) testHelloIs(t *testing.T, hello *Hello, want hex32) [32]byte {
	t.Helper()
	if err := hello.Verify(TK(v.TK)); err != nil {
		t.Error(err)
	}
	hash, err := hello.Hash()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "H(hello)", hash[:], want[:])
	return hash
}

func (v *vector) testAcknowledgement(t *testing.T, wire []byte, key *EUKey, c AckContext, epoch Epoch, index Index) {
	t.Helper()
	m := sameMessage(t, wire, NewAcknowledgement(key, c, v.EntityID, v.GatewayID, epoch, index))
	if err := m.Verify(key, c, v.GatewayID); err != nil {
		t.Error(err)
	}
}

// testX25519 is a hello with an X25519 key, and its answer: EUKey_1 of the epoch
// that the other messages have.
func (v *vector) testX25519(t *testing.T) {
	x := &v.X25519
	key := EUKey(v.EUKeys[0])
	pne, gateway := v.pairs()
	public := gateway.Public()
	equal(t, "the gateway's public key", public[:], x.GatewayPublic[:])
	public = pne.Public()
	// The top bit of a public key means nothing, and a vector may have set it.
	topless := x.PNEPublic
	topless[31] &= 0x7f
	equal(t, "the PNE's public key", public[:], topless[:])
	for _, side := range []struct {
		own   *X25519Pair
		other hex32
	}{{pne, x.GatewayPublic}, {gateway, x.PNEPublic}} {
		z, err := side.own.shared((*[X25519Size]byte)(&side.other))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "shared secret", z, x.SharedSecret[:])
	}

	made, err := NewHello(TK(v.TK), Hello{
		Entity: v.EntityID, Nonce: x.Nonce, Epoch: x.Epoch, Index: x.Index, Algs: x.Algs, X25519: (*[X25519Size]byte)(&x.PNEPublic),
	})
	if err != nil {
		t.Fatal(err)
	}
	hello := sameMessage(t, x.Hello, made)
	hash := v.testHelloIs(t, hello, x.HelloHash)
	notification, err := SealNotification(TK(v.TK), hello, gateway, v.GatewayID, v.Epoch, 1, &key, v.IV.NotificationX25519)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sameMessage(t, x.Notification, notification).Open(TK(v.TK), &hash, pne)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "EUKey of the notification", got[:], key[:])
	v.testAcknowledgement(t, x.Acknowledgement, &key, NotificationContext(&hash), v.Epoch, 1)
}

// testAuthentication is the mutual authentication and the three ends that its
// update has: the next key, the same key, and the last one.
func (v *vector) testAuthentication(t *testing.T) {
	randGW, randPNE := v.nonces()
	set := v.set()
	n := Index(len(set))

	sameMessage(t, v.AuthChallenge, &AuthChallenge{Entity: v.EntityID, Gateway: v.GatewayID, RandGW: *randGW})
	response := sameMessage(t, v.AuthResponse, NewAuthResponse(&set[0], v.GatewayID, randGW, randPNE, v.EntityID, v.Epoch, 1))
	if err := response.Verify(&set[0], v.GatewayID, randGW); err != nil {
		t.Error(err)
	}

	v.testUpdate(t, "moving on", v.EUKeyUpdate, v.IV.Update, 1, 2, v.UpdateAcknowledgement, v.SessionKey)
	v.testUpdate(t, "staying", v.EUKeyUpdateStay, v.IV.UpdateStay, 1, 1, v.StayAcknowledgement, v.StaySessionKey)
	v.testUpdate(t, "used up", v.EUKeyUpdateUsedUp, v.IV.UpdateUsedUp, n, n, v.UsedUpAcknowledgement, v.UsedUpSessionKey)

	session := SessionKey(v.SessionKey)
	for _, label := range []string{ApplicationTLS13, ApplicationTLS12} {
		want, ok := v.ApplicationKeys[label]
		if !ok {
			t.Fatalf("the case has no application key %q", label)
		}
		got := DeriveApplicationKey(&session, label)
		equal(t, "application key "+label, got[:], want[:])
	}
	testIdentity(t, v.EntityID, v.PSKIdentityOf)
}

// testUpdate is one eukey-update, from the key at held to the one at index; where
// that is the same, it carries none.
func (v *vector) testUpdate(t *testing.T, what string, wire []byte, iv hex12, heldIndex, index Index, ack []byte, session hex32) {
	t.Helper()
	randGW, randPNE := v.nonces()
	set := v.set()
	held, key := &set[heldIndex-1], &set[index-1]
	var next *EUKey
	if index != heldIndex {
		next = key
	}
	update, err := SealEUKeyUpdate(TK(v.TK), held, v.GatewayID, randGW, randPNE, v.EntityID, v.Epoch, index, next, iv)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sameMessage(t, wire, update).Open(TK(v.TK), held, v.GatewayID, randGW, randPNE)
	switch {
	case err != nil:
		t.Fatal(err)
	case next == nil && got != nil:
		t.Errorf("%s: the update opens to a key, want none", what)
	case next != nil && (*got != *next || !held.Precedes(got)):
		t.Errorf("%s: the update opens to another key", what)
	}
	v.testAcknowledgement(t, ack, key, UpdateContext(randGW, randPNE), v.Epoch, index)
	gotSession := DeriveSessionKey(key, randGW, randPNE, v.EntityID, v.GatewayID)
	equal(t, what+": session key", gotSession[:], session[:])
}

// testIdentity: want is nil where e has no application keys.
func testIdentity(t *testing.T, e EntityID, want *string) {
	t.Helper()
	got, ok := ApplicationIdentity(e)
	if ok != (want != nil) || ok && got != *want {
		t.Errorf("identity of %s: got %q, %v", e, got, ok)
	}
}

// TestApplicationIdentity takes the names of the vectors.
func TestApplicationIdentity(t *testing.T) {
	for _, file := range vectorFiles(t, "protocol*.json") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var vectors struct {
			Names []struct {
				Entity   EntityID `json:"entity_id"`
				Identity *string  `json:"psk_identity"`
			} `json:"names"`
		}
		if err := json.Unmarshal(content, &vectors); err != nil {
			t.Fatal(err)
		}
		if len(vectors.Names) == 0 {
			t.Fatalf("%s: zero names found", file)
		}
		for _, n := range vectors.Names {
			testIdentity(t, n.Entity, n.Identity)
		}
	}
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
