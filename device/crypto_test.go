package device

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/crypto/chacha20poly1305"

	"cpns.example.net/pngw/cpns"
)

// TestFailingCryptography has each call of the cryptography fail, one after the other, in
// each thing that a device does. Whatever fails, it holds what it held or the new key
// whole; nothing is acknowledged that is not held; and the same message again, once the
// cryptography works, gets what it would have got.
func TestFailingCryptography(t *testing.T) {
	v := vectors(t)[0]
	d := newKeeper(t, &v, "n")
	image := d.do("nor").result[0]
	fresh := strings.Repeat("ff", norSize)
	steps := []struct {
		name      string
		nor       string
		before    func() // brings the device there
		msg, want []byte
		held      [2]int // indexes, before and after
	}{
		{"notification", fresh, func() { d.hello(v.Nonce) }, v.Notification, v.Ack, [2]int{0, 1}},
		{"challenge", image, func() { d.do("script %x", v.RandPNE) }, v.AuthChallenge, v.AuthResponse, [2]int{1, 1}},
		{"update", image, d.challenged, v.Update, v.UpdateAck, [2]int{1, 2}},
		{"stay", image, d.challenged, v.Stay, v.StayAck, [2]int{1, 1}},
	}
	index := func() (n int) {
		var holds, epoch int
		if _, err := fmt.Sscan(d.held(), &holds, &epoch, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, s := range steps {
		failures := 0
		for calls := 0; ; calls++ {
			d.do("power")
			d.do("nor %s", s.nor)
			d.restart()
			s.before()
			if got := index(); got != s.held[0] {
				t.Fatalf("%s: it begins with index %d", s.name, got)
			}
			d.do("cryptoleft %d", calls)
			a := d.message(d.now, s.msg)
			left := d.do("cryptoleft -1").result[0]
			now := index()
			acknowledged := len(a.said) == 1 && string(a.said[0]) == string(s.want)
			switch {
			case now != s.held[0] && now != s.held[1]:
				t.Fatalf("%s, %d calls: it holds index %d", s.name, calls, now)
			case acknowledged && now != s.held[1]:
				t.Fatalf("%s, %d calls: acknowledged, and index %d is held", s.name, calls, now)
			}
			// Nobody is told that what they sent is wrong.
			for _, e := range a.events {
				if e.kind == kindRefused && (e.why != whyCrypto || e.status != 0) && (e.why != whyNotStored || e.status != 4) {
					t.Errorf("%s, %d calls: %+v", s.name, calls, e)
				}
			}
			if s.name == "challenge" && !acknowledged {
				d.do("script %x", v.RandPNE)
			}
			if got := d.message(d.now, s.msg); len(got.said) != 1 || string(got.said[0]) != string(s.want) {
				t.Fatalf("%s, %d calls: the same again got %x, %v", s.name, calls, got.said, got.events)
			}
			if index() != s.held[1] {
				t.Fatalf("%s, %d calls: after the same again it holds index %d", s.name, calls, index())
			}
			if got, _ := d.restart(); got != s.held[1] {
				t.Fatalf("%s, %d calls: after a power cut it holds index %d", s.name, calls, got)
			}
			if left != "0" {
				break // no call has failed
			}
			failures++
		}
		if failures < 2 {
			t.Errorf("%s: %d calls failed, want some", s.name, failures)
		}
		t.Logf("%s: %d calls", s.name, failures)
	}

	// A hello: nothing is said, the device tells why, and says it later.
	for calls := range 3 { // HKDF, HMAC, SHA-256
		d.do("power")
		d.do("nor %s", image)
		d.restart()
		d.now += 100_000
		d.do("up %d", d.now)
		d.do("cryptoleft %d", calls)
		a := d.do("poll %d", d.now)
		d.do("cryptoleft -1")
		if len(a.said) != 0 || len(a.events) != 1 || a.events[0].kind != kindNoHello || a.events[0].why != whyCrypto {
			t.Errorf("a hello, %d calls: %x, %v; want to be told that the cryptography failed", calls, a.said, a.events)
		}
		d.now += 10_000
		if a := d.do("poll %d", d.now); len(a.said) != 1 {
			t.Errorf("a hello, %d calls: nothing came of it later", calls)
		}
	}
	// Starting: it refuses.
	d.do("cryptoleft 0")
	if got := d.do("boot %d", d.now).result[0]; got != "6" {
		t.Errorf("starting without cryptography: %s, want 6", got)
	}
	d.do("cryptoleft -1")
}

// TestSmallOrder seals a notification under what X25519 with a point of small order
// gives, as somebody could who has TK and not the device's public key's other half: the
// secret is zero, and everybody's.
func TestSmallOrder(t *testing.T) {
	v := vectors(t)[0]
	points := map[string][]byte{
		"0":                  make([]byte, 32),
		"1":                  append([]byte{1}, make([]byte, 31)...),
		"p - 1":              append(append([]byte{0xec}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f),
		"p":                  append(append([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f),
		"0 with its top bit": append(make([]byte, 31), 0x80),
	}
	for _, p := range ports {
		t.Run(p.name, func(t *testing.T) {
			d := newTwin(t, p, &v, "x")
			d.hello(v.X25519.PNEPrivate, v.X25519.Nonce)
			hello := sha256.Sum256(d.said)
			for name, point := range points {
				a := d.message(d.now, sealUnderZero(t, &v, hello[:], point))
				if len(a.events) != 1 || a.events[0].status != int(cpns.AckCannotDecrypt) || strings.HasPrefix(d.held(), "1 ") {
					t.Errorf("the point %s: %v, holds %s; want status 1", name, a.events, d.held())
				}
			}
			// What it is made by is right: with another secret than zero it opens.
			pair := cpns.NewX25519Pair([32]byte{9})
			m, err := cpns.ParseMessage(d.said)
			if err != nil {
				t.Fatal(err)
			}
			n, err := cpns.SealNotification(cpns.TK(v.TK), m.(*cpns.Hello), pair, v.Gateway, v.Epoch, 1, (*cpns.EUKey)(v.EUKeys[0]), [12]byte{})
			if err != nil {
				t.Fatal(err)
			}
			msg, err := n.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if a := d.message(d.now, msg); len(a.events) != 1 || a.events[0].kind != kindStored {
				t.Errorf("an honest notification: %v", a.events)
			}
		})
	}
}

// sealUnderZero makes the notification of EUKey_1 whose shared secret is zero.
func sealUnderZero(t *testing.T, v *vector, hello, point []byte) []byte {
	t.Helper()
	e, g := string(v.Entity), string(v.Gateway)
	key, err := hkdf.Key(sha256.New, append(bytes.Clone(v.TK), make([]byte, 32)...), hello, "CPNS EUKey Assignment Notification\x00"+e, 32)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(value any) []byte {
		t.Helper()
		b, err := cbor.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	protected, iv := []byte{0xa1, 0x01, 0x18, 0x18}, make([]byte, 12)
	aad := encode([]any{"Encrypt0", protected, encode([]any{2, e, g, v.Epoch, 1, point})})
	sealed := aead.Seal(nil, iv, v.EUKeys[0], aad)
	return encode([]any{2, e, g, v.Epoch, 1, []any{protected, map[int][]byte{5: iv}, sealed}, point})
}
