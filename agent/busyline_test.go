package agent

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/scripts/rs485"
	"cpns.example.net/pngw/transport"
)

// TestBusyLine: on a line on which many do not answer, each message waits long for its
// turn, and still leaves five times: the schedule counts what has left
// (docs/protocol.md, section 5).
func TestBusyLine(t *testing.T) {
	for _, tt := range []struct{ devices, baud int }{{1, 115200}, {3, 1200}, {12, 9600}, {40, 115200}, {60, 115200}} {
		t.Run(fmt.Sprintf("%d devices at %d baud", tt.devices, tt.baud), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { busyLine(t, tt.devices, tt.baud) })
		})
	}
}

func busyLine(t *testing.T, devices, baud int) {
	store := &memStore{records: map[string][]byte{}}
	var hellos [][]byte
	for i := range devices {
		wire, err := store.add(t, cpns.EntityID(fmt.Sprintf("pne-%05d", i))).Hello()
		if err != nil {
			t.Fatal(err)
		}
		hellos = append(hellos, wire)
	}
	bus := rs485.New(rs485.Config{Baud: baud})
	near := &challenges{Link: bus.NewLink("wire"), hello: make(chan []byte), left: map[cpns.EntityID]int{}}
	a, err := New(Config{
		Gateway: testGateway, PSK: &filePSK{}, Server: poster{}, Store: store, Clock: &testClock{},
		Links: []transport.Link{near}, Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	time.Sleep(time.Minute) // the identify of the start is over
	for _, wire := range hellos {
		near.hello <- wire
	}
	time.Sleep(time.Hour)
	if n := a.waits(t); n != 0 {
		t.Errorf("%d messages are still believed to wait", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	bus.Close()
	if len(near.left) != devices {
		t.Errorf("%d of %d devices were challenged", len(near.left), devices)
	}
	for id, n := range near.left {
		if n != 5 {
			t.Errorf("the challenge of %s has left %d times, want 5", id, n)
		}
	}
}

// waits is how many messages the agent believes to wait for their turn.
func (a *Agent) waits(t *testing.T) (n int) {
	t.Helper()
	if err := a.do(t.Context(), func() { n = len(a.queued) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// challenges is a link that counts them, for each device, as they leave. Nobody is at
// its other end: hellos come from the test.
type challenges struct {
	transport.Link
	hello chan []byte
	left  map[cpns.EntityID]int // the port's goroutine's, until the agent has ended
}

func (c *challenges) Run(ctx context.Context, h transport.Handler) error {
	var up sync.WaitGroup
	defer up.Wait()
	up.Go(func() {
		for {
			select {
			case wire := <-c.hello:
				h.Message(transport.Message{Data: wire})
			case <-ctx.Done():
				return
			}
		}
	})
	return c.Link.Run(ctx, h)
}

func (c *challenges) Send(ctx context.Context, peer string, wire []byte) error {
	err := c.Link.Send(ctx, peer, wire)
	msg, bad := cpns.ParseMessage(wire)
	if ch, ok := msg.(*cpns.AuthChallenge); err == nil && bad == nil && ok {
		c.left[ch.Entity]++
	}
	return err
}

// TestNothingWaitsOnDeadLinks: what a link that is down did not take, or what a newer
// message took the place of, is not believed to wait: the repeats end in their time.
func TestNothingWaitsOnDeadLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const id = cpns.EntityID("pne-0001")
		store := &memStore{records: map[string][]byte{}}
		store.add(t, id)
		down, _ := transport.NewPair("wire", "device")
		a, err := New(Config{
			Gateway: testGateway, PSK: &filePSK{}, Server: poster{}, Store: store, Clock: &testClock{},
			Links: []transport.Link{deadLink{down}, deadLink{newHub(1)}}, Log: quiet,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		begin := time.Now()
		var got ProofResult
		if err := a.Authenticate(ctx, AuthenticateRequest{Entities: []cpns.EntityID{id}}, func(p Proof) { got = p.Result }); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); got != ProofNoAnswer || took > 31*transport.RetryMQTT*5/4+time.Second {
			t.Errorf("%q after %v", got, took)
		}
		if n := a.waits(t); n != 0 {
			t.Errorf("%d messages are believed to wait", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// deadLink is a link that never comes up.
type deadLink struct{ transport.Link }

func (deadLink) Run(ctx context.Context, _ transport.Handler) error { <-ctx.Done(); return nil }

func (deadLink) Send(context.Context, string, []byte) error { return transport.ErrLinkDown }
