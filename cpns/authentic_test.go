package cpns

import (
	"errors"
	"slices"
	"testing"
)

// TestNotAuthentic changes, one by one, everything that a message is bound to:
// none of it may go unnoticed.
func TestNotAuthentic(t *testing.T) {
	const e, g, epoch, index = EntityID("pne-1"), GatewayID("gw-1"), Epoch(3), Index(2)
	set := chain(8)
	key, next, other := &set[1], &set[2], &set[5]
	tk, otherTK := TK("0123456789abcdef"), TK("0123456789abcdeF")
	nonce, randGW, randPNE := &[NonceSize]byte{1}, &[NonceSize]byte{2}, &[NonceSize]byte{3}
	pair, otherPair := NewX25519Pair([32]byte{1: 5}), NewX25519Pair([32]byte{1: 6})
	public := pair.Public()
	hello, err := NewHello(tk, Hello{Entity: e, Nonce: *nonce, Epoch: epoch, Index: 1, Algs: []int64{AlgChaCha20Poly1305}})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := hello.Hash()
	if err != nil {
		t.Fatal(err)
	}
	otherHash := [32]byte{1}
	context := NotificationContext(&hash)
	iv := [IVSize]byte{4}

	helloTag := func(change func(m *Hello)) error {
		m := *hello
		m.Algs = slices.Clone(m.Algs)
		change(&m)
		return m.Verify(tk)
	}
	notification := func(change func(m *Notification)) error {
		m, err := SealNotification(tk, hello, nil, g, epoch, index, key, iv)
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		_, err = m.Open(tk, &hash, nil)
		return err
	}
	acknowledgement := func(change func(m *Acknowledgement)) error {
		m := NewAcknowledgement(key, context, e, g, epoch, index)
		change(m)
		return m.Verify(key, context, g)
	}
	response := func(change func(m *AuthResponse)) error {
		m := NewAuthResponse(key, g, randGW, randPNE, e, epoch, index)
		change(m)
		return m.Verify(key, g, randGW)
	}
	update := func(change func(m *EUKeyUpdate)) error {
		m, err := SealEUKeyUpdate(tk, key, g, randGW, randPNE, e, epoch, index+1, next, iv)
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		_, err = m.Open(tk, key, g, randGW, randPNE)
		return err
	}

	if err := errors.Join(
		helloTag(func(*Hello) {}), notification(func(*Notification) {}), acknowledgement(func(*Acknowledgement) {}),
		response(func(*AuthResponse) {}), update(func(*EUKeyUpdate) {}),
	); err != nil {
		t.Fatalf("unchanged: %v", err)
	}

	good, err := SealNotification(tk, hello, nil, g, epoch, index, key, iv)
	if err != nil {
		t.Fatal(err)
	}
	openNotification := func(tk TK, hello *[32]byte, pair *X25519Pair) error {
		_, err := good.Open(tk, hello, pair)
		return err
	}
	withKey := *hello
	withKey.X25519 = &public
	agreed, err := SealNotification(tk, &withKey, otherPair, g, epoch, index, key, iv)
	if err != nil {
		t.Fatal(err)
	}
	agreedHash, err := withKey.Hash()
	if err != nil {
		t.Fatal(err)
	}
	openAgreed := func(change func(m *Notification), pair *X25519Pair) error {
		m := *agreed
		change(&m)
		_, err := m.Open(tk, &agreedHash, pair)
		return err
	}
	if err := openAgreed(func(*Notification) {}, pair); err != nil {
		t.Fatalf("unchanged, with X25519: %v", err)
	}
	goodUpdate, err := SealEUKeyUpdate(tk, key, g, randGW, randPNE, e, epoch, index+1, next, iv)
	if err != nil {
		t.Fatal(err)
	}
	openUpdate := func(tk TK, held *EUKey, g GatewayID, randGW, randPNE *[NonceSize]byte) error {
		_, err := goodUpdate.Open(tk, held, g, randGW, randPNE)
		return err
	}
	ack := NewAcknowledgement(key, context, e, g, epoch, index)
	auth := NewAuthResponse(key, g, randGW, randPNE, e, epoch, index)

	tests := []struct {
		name string
		err  error
	}{
		{"hello: entity", helloTag(func(m *Hello) { m.Entity = "pne-2" })},
		{"hello: nonce", helloTag(func(m *Hello) { m.Nonce[0]++ })},
		{"hello: epoch", helloTag(func(m *Hello) { m.Epoch++ })},
		{"hello: index", helloTag(func(m *Hello) { m.Index++ })},
		{"hello: algorithm", helloTag(func(m *Hello) { m.Algs[0]++ })},
		{"hello: one algorithm more", helloTag(func(m *Hello) { m.Algs = append(m.Algs, 1) })},
		{"hello: X25519", helloTag(func(m *Hello) { m.X25519 = &public })},
		{"hello: MAC", helloTag(func(m *Hello) { m.mac.tag[0]++ })},
		{"hello: TK", hello.Verify(otherTK)},

		{"notification: entity", notification(func(m *Notification) { m.Entity = "pne-2" })},
		{"notification: gateway", notification(func(m *Notification) { m.Gateway = "gw-2" })},
		{"notification: epoch", notification(func(m *Notification) { m.Epoch++ })},
		{"notification: index", notification(func(m *Notification) { m.Index++ })},
		{"notification: IV", notification(func(m *Notification) { m.sealed.iv[0]++ })},
		{"notification: ciphertext", notification(func(m *Notification) { m.sealed.ciphertext[0]++ })},
		{"notification: TK", openNotification(otherTK, &hash, nil)},
		{"notification: hello", openNotification(tk, &otherHash, nil)},
		{"notification: no X25519", openNotification(tk, &hash, pair)},
		{"notification: X25519 too many", openAgreed(func(*Notification) {}, nil)},
		{"notification: pair", openAgreed(func(*Notification) {}, otherPair)},
		{"notification: X25519", openAgreed(func(m *Notification) { m.X25519 = &public }, pair)},

		{"acknowledgement: entity", acknowledgement(func(m *Acknowledgement) { m.Entity = "pne-2" })},
		{"acknowledgement: epoch", acknowledgement(func(m *Acknowledgement) { m.Epoch++ })},
		{"acknowledgement: index", acknowledgement(func(m *Acknowledgement) { m.Index++ })},
		{"acknowledgement: status", acknowledgement(func(m *Acknowledgement) { m.Status = AckStale })},
		{"acknowledgement: no MAC", acknowledgement(func(m *Acknowledgement) { m.mac = nil })},
		{"acknowledgement: MAC", acknowledgement(func(m *Acknowledgement) { m.mac.tag[31]++ })},
		{"acknowledgement: key", ack.Verify(next, context, g)},
		{"acknowledgement: gateway", ack.Verify(key, context, "gw-2")},
		{"acknowledgement: context", ack.Verify(key, NotificationContext(&otherHash), g)},
		{"acknowledgement: type", ack.Verify(key, AckContext{TypeEUKeyUpdate, hash[:]}, g)},

		{"auth-response: entity", response(func(m *AuthResponse) { m.Entity = "pne-2" })},
		{"auth-response: rand-pne", response(func(m *AuthResponse) { m.RandPNE[0]++ })},
		{"auth-response: epoch", response(func(m *AuthResponse) { m.Epoch++ })},
		{"auth-response: index", response(func(m *AuthResponse) { m.Index++ })},
		{"auth-response: MAC", response(func(m *AuthResponse) { m.mac.tag[0]++ })},
		{"auth-response: key", auth.Verify(other, g, randGW)},
		{"auth-response: gateway", auth.Verify(key, "gw-2", randGW)},
		{"auth-response: rand-gw", auth.Verify(key, g, nonce)},

		{"eukey-update: entity", update(func(m *EUKeyUpdate) { m.Entity = "pne-2" })},
		{"eukey-update: epoch", update(func(m *EUKeyUpdate) { m.Epoch++ })},
		{"eukey-update: index", update(func(m *EUKeyUpdate) { m.Index++ })},
		{"eukey-update: IV", update(func(m *EUKeyUpdate) { m.sealed.iv[0]++ })},
		{"eukey-update: ciphertext", update(func(m *EUKeyUpdate) { m.sealed.ciphertext[0]++ })},
		{"eukey-update: TK", openUpdate(otherTK, key, g, randGW, randPNE)},
		{"eukey-update: held", openUpdate(tk, other, g, randGW, randPNE)},
		{"eukey-update: gateway", openUpdate(tk, key, "gw-2", randGW, randPNE)},
		{"eukey-update: rand-gw", openUpdate(tk, key, g, nonce, randPNE)},
		{"eukey-update: rand-pne", openUpdate(tk, key, g, randGW, nonce)},
	}
	for _, test := range tests {
		if !errors.Is(test.err, ErrNotAuthentic) {
			t.Errorf("%s changed: got error %v, want ErrNotAuthentic", test.name, test.err)
		}
	}
}

func TestBodiesNotAuthentic(t *testing.T) {
	v := loadVectors(t, "testdata/protocol.json")[0]
	psk, otherPSK := PSK1(v.PSK1), PSK1(v.PSK1[1:])
	request, err := ParseRequest(v.Request)
	if err != nil {
		t.Fatal(err)
	}
	openRequest := func(psk PSK1) error {
		_, err := request.Open(psk)
		return err
	}
	openResponse := func(psk PSK1, id PSKIdentity, request, response []byte) error {
		_, err := OpenResponse(psk, id, request, response)
		return err
	}
	// The identity stands beside the ciphertext, and is bound to it.
	openRenamed := func() error {
		body := *request.body
		body.keyID = []byte("gw-0002")
		renamed, err := ParseRequest(encode(&body))
		if err != nil {
			t.Fatal(err)
		}
		_, err = renamed.Open(psk)
		return err
	}
	otherRequest, err := SealRequest(psk, v.PSKIdentity, [IVSize]byte{}, &EUKeyAssignmentRequest{EntityID: v.EntityID, UserID: v.User})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
	}{
		{"request: PSK1", openRequest(otherPSK)},
		{"request: PSK1 identity", openRenamed()},
		{"response: PSK1", openResponse(otherPSK, v.PSKIdentity, v.Request, v.Response)},
		{"response: PSK1 identity", openResponse(psk, "gw-0002", v.Request, v.Response)},
		{"response: request", openResponse(psk, v.PSKIdentity, otherRequest, v.Response)},
		{"response: a request in its place", openResponse(psk, v.PSKIdentity, v.Request, v.Request)},
	}
	for _, test := range tests {
		if !errors.Is(test.err, ErrNotAuthentic) {
			t.Errorf("%s: got error %v, want ErrNotAuthentic", test.name, test.err)
		}
	}
}
