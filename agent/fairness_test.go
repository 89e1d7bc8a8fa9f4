package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

// add puts a PNE that holds a key into the store, and gives the device.
func (s *memStore) add(t *testing.T, id cpns.EntityID) *pne.Device {
	var d *pne.Device
	tk := make(cpns.TK, 16)
	rand.Read(tk)
	s.records[string(id)], d = deliveredRecord(t, id, tk, pne.Volatile{})
	return d
}

// TestPresentAmongAbsent: on a shared line a device that is there proves its key,
// however many are asked before it that are not: that never were since the start,
// that are on the broker's side, or that have just gone.
func TestPresentAmongAbsent(t *testing.T) {
	tests := []struct {
		name   string
		absent int
		gone   bool // they said hello before
		broker bool
		lost   int // identifies that it does not hear
		within time.Duration
	}{
		{name: "a few never there", absent: 20, within: 3 * time.Second},
		{name: "many never there", absent: 200, within: 10 * time.Second},
		{name: "a crowd on a broker", absent: 1000, broker: true, within: 30 * time.Second},
		{name: "identifies are lost", absent: 20, lost: 2, within: 10 * time.Second},
		{name: "many gone", absent: 60, gone: true, within: 4 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memStore{records: map[string][]byte{}}
				var away []*pne.Device
				for i := range tt.absent {
					away = append(away, store.add(t, cpns.EntityID(fmt.Sprintf("pne-%05d", i))))
				}
				const here = cpns.EntityID("pne-99999")
				device := store.add(t, here)
				gw, far := transport.NewPair("wire", "device")
				links := []transport.Link{gw}
				if tt.broker {
					links = append(links, newHub(1))
				}
				a, err := New(Config{Gateway: testGateway, PSK: &filePSK{}, Server: poster{}, Store: store, Clock: &testClock{}, Links: links, Log: quiet})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 2)
				go func() { ended <- a.Run(ctx) }()
				go func() {
					ended <- far.Run(ctx, transport.Handler{Message: func(m transport.Message) {
						reply, ev := device.Handle(m.Data)
						if ev.Kind == pne.Identify && tt.lost > 0 {
							tt.lost--
							return
						}
						if ev.Kind == pne.Identify {
							time.Sleep(mrand.N(time.Second))
							reply, _ = device.Hello()
						}
						if reply != nil {
							far.Send(ctx, "", reply)
						}
					}})
				}()
				time.Sleep(5 * time.Second)
				if tt.gone {
					for _, d := range away {
						wire, err := d.Hello()
						if err != nil {
							t.Fatal(err)
						}
						far.Send(ctx, "", wire)
					}
					time.Sleep(5 * time.Minute) // until nobody waits for them
				}
				begin := time.Now()
				var got ProofResult
				var took time.Duration
				err = a.Authenticate(ctx, AuthenticateRequest{}, func(p Proof) {
					if p.Entity == here {
						got, took = p.Result, time.Since(begin)
					}
				})
				if err != nil || got != ProofAuthenticated || took > tt.within {
					t.Errorf("%q after %v of %v, %v", got, took, time.Since(begin), err)
				}
				cancel()
				for range 2 {
					if err := <-ended; err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}
