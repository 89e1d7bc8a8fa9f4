package cpns

import (
	"crypto/sha256"
	"testing"
	"time"
)

// BenchmarkChain computes a chain of 1,024 keys against 1,024 bare SHA-256 sums
// of 32 bytes, in the same run.
func BenchmarkChain(b *testing.B) {
	set := make([]EUKey, MaxSetLength)
	seed := [32]byte{1}
	sum := seed
	var ours, bare time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		DeriveSet(set, &seed)
		middle := time.Now()
		for range MaxSetLength {
			sum = sha256.Sum256(sum[:])
		}
		ours += middle.Sub(start)
		bare += time.Since(middle)
	}
	b.ReportMetric(float64(ours)/float64(bare), "chain/bare")
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "chain-ns")
	b.ReportMetric(float64(bare.Nanoseconds())/float64(b.N), "bare-ns")
}

func BenchmarkCheckSet(b *testing.B) {
	set := chain(MaxSetLength)
	b.ReportAllocs()
	for b.Loop() {
		if err := CheckSet(set); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDelivery is what the gateway does for one PNE between its hello and
// its "delivered": verify the hello, seal and marshal the notification, parse and verify the
// acknowledgement.
func BenchmarkDelivery(b *testing.B) {
	key, tk := &EUKey{1}, make(TK, 32)
	hello, err := NewHello(tk, Hello{Entity: "pne-1", Algs: []int64{AlgChaCha20Poly1305}})
	if err != nil {
		b.Fatal(err)
	}
	hash, err := hello.Hash()
	if err != nil {
		b.Fatal(err)
	}
	context := NotificationContext(&hash)
	acknowledgement, err := NewAcknowledgement(key, context, "pne-1", "gw-1", 1, 1).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := hello.Verify(tk); err != nil {
			b.Fatal(err)
		}
		notification, err := SealNotification(tk, hello, nil, "gw-1", 1, 1, key, [IVSize]byte{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := notification.Marshal(); err != nil {
			b.Fatal(err)
		}
		m, err := ParseMessage(acknowledgement)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.(*Acknowledgement).Verify(key, context, "gw-1"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

func BenchmarkRequest(b *testing.B) {
	psk := make(PSK1, 32)
	request := &EUKeyAssignmentRequest{EntityID: "pne-1", UserID: "alice"}
	body, err := SealRequest(psk, "gw-1", [IVSize]byte{}, request)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := SealRequest(psk, "gw-1", [IVSize]byte{}, request); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sealed, err := ParseRequest(body)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := sealed.Open(psk); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkResponse(b *testing.B) {
	for _, n := range []struct {
		name   string
		length int
	}{{"64", DefaultSetLength}, {"1024", MaxSetLength}} {
		psk := make(PSK1, 32)
		response := &EUKeyAssignmentResponse{Epoch: 1, TK: make(TK, 32), EUKeys: chain(n.length)}
		body, err := SealResponse(psk, "gw-1", nil, [IVSize]byte{}, response)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("seal-"+n.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := SealResponse(psk, "gw-1", nil, [IVSize]byte{}, response); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("open-"+n.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := OpenResponse(psk, "gw-1", nil, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkHashPassword(b *testing.B) {
	for b.Loop() {
		HashPassword("alice", []byte("correct horse"))
	}
}

// BenchmarkHello is what a hello costs the gateway: to see that its tag is wrong, to
// answer it, and to answer it under X25519.
func BenchmarkHello(b *testing.B) {
	tk, key := make(TK, 32), &EUKey{1}
	pne, gateway := NewX25519Pair([X25519Size]byte{1: 1}), NewX25519Pair([X25519Size]byte{1: 2})
	public := pne.Public()
	hello := func(x25519 *[X25519Size]byte) *Hello {
		h, err := NewHello(tk, Hello{Entity: "urn:dev:mac:0024befffe804ff1", Algs: []int64{AlgChaCha20Poly1305}, X25519: x25519})
		if err != nil {
			b.Fatal(err)
		}
		return h
	}
	answer := func(h *Hello) {
		if err := h.Verify(tk); err != nil {
			b.Fatal(err)
		}
		if _, err := SealNotification(tk, h, gateway, "gw-0001", 1, 1, key, [IVSize]byte{}); err != nil {
			b.Fatal(err)
		}
	}
	plain, x25519 := hello(nil), hello(&public)
	b.Run("refused", func(b *testing.B) {
		for b.Loop() {
			if x25519.Verify(make(TK, 16)) == nil {
				b.Fatal("a hello under another TK verifies")
			}
		}
	})
	b.Run("answered", func(b *testing.B) {
		for b.Loop() {
			answer(plain)
		}
	})
	b.Run("answered-x25519", func(b *testing.B) {
		for b.Loop() {
			answer(x25519)
		}
	})
}
