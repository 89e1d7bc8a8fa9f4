package pne_test

import (
	"strings"
	"testing"
	"unsafe"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// TestSize holds the sizes that docs/integrating.md counts with: names, TK, epoch and
// index at their longest.
func TestSize(t *testing.T) {
	const n = 64
	e, g := cpns.EntityID(strings.Repeat("e", n)), cpns.GatewayID(strings.Repeat("g", n))
	tk := make(cpns.TK, n)
	epoch, index, key, rand := cpns.Epoch(1<<32-1), cpns.Index(1024), new(cpns.EUKey), new([16]byte)
	pair := cpns.NewX25519Pair([32]byte{1})
	public := pair.Public()
	hello := func(x *[32]byte) []byte {
		m, err := cpns.NewHello(tk, cpns.Hello{Entity: e, Epoch: epoch, Index: index, Algs: []int64{cpns.AlgChaCha20Poly1305}, X25519: x})
		if err != nil {
			t.Fatal(err)
		}
		return marshal(t, m)
	}
	notification := func(hello []byte) []byte {
		m, err := cpns.SealNotification(tk, parse[*cpns.Hello](t, hello), pair, g, epoch, index, key, [12]byte{})
		if err != nil {
			t.Fatal(err)
		}
		return marshal(t, m)
	}
	update, err := cpns.SealEUKeyUpdate(tk, key, g, rand, rand, e, epoch, index, key, [12]byte{})
	if err != nil {
		t.Fatal(err)
	}
	ack := len(marshal(t, cpns.NewAcknowledgement(key, cpns.UpdateContext(rand, rand), e, g, epoch, index)))
	response := len(marshal(t, cpns.NewAuthResponse(key, g, rand, rand, e, epoch, index)))
	sizes := []struct {
		what      string
		got, want int
	}{
		{"hello", len(hello(nil)), 138},
		{"hello with X25519", len(hello(&public)), 172},
		{"notification", len(notification(hello(nil))), 213},
		{"notification with X25519", len(notification(hello(&public))), 247},
		{"acknowledgement", ack, 118},
		{"auth-challenge", len(marshal(t, &cpns.AuthChallenge{Entity: e, Gateway: g})), 151},
		{"auth-response", response, 134},
		{"eukey-update", len(marshal(t, update)), 147},
	}
	for _, s := range sizes {
		if s.got != s.want {
			t.Errorf("%s: %d bytes, documented are %d", s.what, s.got, s.want)
		}
	}
	device := int(unsafe.Sizeof(pne.Device{}) + unsafe.Sizeof(pne.Config{}) + unsafe.Sizeof(pne.Schedule{}) + unsafe.Sizeof(pne.Line{}))
	device += 3*n + len(hello(&public)) + ack + response // Entity ID, TK, gateway ID, and what was said
	if device > 1200 {
		t.Errorf("a device takes %d bytes, documented are 1200", device)
	}
	t.Logf("%d bytes", device)
}
