package life

import (
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// BenchmarkHello is what one hello costs the gateway:
//
//	forged          its tag does not verify: nobody who lacks TK can make it cost more
//	notification    it says that nothing is held, of a set of 64 keys
//	x25519          the same with a key exchange
//	auth-challenge  it says that the newest set's key is held
func BenchmarkHello(b *testing.B) {
	s := newSet(1, 64)
	world := World{
		Now: time.Unix(1763800000, 0), ClockSet: true, Gateway: testGateway, Link: "wire",
		Wait: func(string) time.Duration { return time.Second }, Pair: func() *cpns.X25519Pair { return gatewayPair },
	}
	p, _ := Apply(New(testEntity, "alice"), Assigned{User: "alice", Set: s}, world)
	public := cpns.NewX25519Pair([32]byte{2}).Public()
	for _, bm := range []struct {
		name string
		tk   cpns.TK
		says cpns.Hello
	}{
		{"forged", make(cpns.TK, 16), cpns.Hello{}},
		{"notification", s.TK, cpns.Hello{}},
		{"x25519", s.TK, cpns.Hello{X25519: &public}},
		{"auth-challenge", s.TK, cpns.Hello{Epoch: 1, Index: 1}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			bm.says.Entity, bm.says.Algs = testEntity, []int64{24}
			h, err := cpns.NewHello(bm.tk, bm.says)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				Apply(p, h, world)
			}
		})
	}
}
