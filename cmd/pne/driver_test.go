package main

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

const (
	testEntity  = cpns.EntityID("urn:dev:mac:0024befffe804ff1")
	testGateway = cpns.GatewayID("gw-0001")
)

var testTK = cpns.TK(bytes.Repeat([]byte{7}, 16))

// A bench is a driver at one end of a link in memory, with the test as the
// gateway at the other.
type bench struct {
	t    *testing.T
	ctx  context.Context
	gw   *transport.Memory
	out  bytes.Buffer
	set  []cpns.EUKey
	said []cpns.Message // what the device has sent
	at   []time.Time    // and when
}

// newBench starts a driver in a synctest bubble. Both ends have ended when the
// test does.
func newBench(t *testing.T, storage pne.Storage, set ...func(*driver)) *bench {
	b := &bench{t: t, set: make([]cpns.EUKey, 8)}
	cpns.DeriveSet(b.set, &[32]byte{1})
	gw, far := transport.NewPair("gateway", "pne")
	b.gw = gw
	device, err := pne.New(pne.Config{Entity: testEntity, TK: testTK, Storage: storage, Rand: cryptorand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{
		device: device,
		link:   far,
		hellos: pne.NewSchedule(device, pne.FirstPause, rand.N[time.Duration]),
		events: &eventWriter{w: &b.out, entity: testEntity},
		log:    slog.New(slog.DiscardHandler),
	}
	for _, set := range set {
		set(d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.ctx = ctx
	ended := make(chan error, 2)
	go func() { ended <- d.run(ctx) }()
	go func() { ended <- gw.Run(ctx, transport.Handler{Message: b.hear}) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	synctest.Wait()
	return b
}

func (b *bench) hear(m transport.Message) {
	msg, err := cpns.ParseMessage(m.Data)
	if err != nil {
		b.t.Error(err)
		return
	}
	b.said, b.at = append(b.said, msg), append(b.at, time.Now())
}

// wait lets time go by.
func (b *bench) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// send sends to the device and lets it act, without time going by.
func (b *bench) send(m cpns.Message) {
	b.t.Helper()
	data, err := m.Marshal()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.gw.Send(b.ctx, string(testEntity), data); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// lastSaid returns the latest message, which must be an M.
func lastSaid[M cpns.Message](b *bench) M {
	b.t.Helper()
	if len(b.said) == 0 {
		b.t.Fatal("the device has said nothing")
	}
	m, ok := b.said[len(b.said)-1].(M)
	if !ok {
		b.t.Fatalf("the device said %T", b.said[len(b.said)-1])
	}
	return m
}

// give gives the device EUKey_index, as the answer to its latest hello.
func (b *bench) give(index cpns.Index) {
	b.t.Helper()
	hello := lastSaid[*cpns.Hello](b)
	m, err := cpns.SealNotification(testTK, hello, nil, testGateway, 1, index, &b.set[index-1], [12]byte{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.send(m)
	hash, err := hello.Hash()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := lastSaid[*cpns.Acknowledgement](b).Verify(&b.set[index-1], cpns.NotificationContext(&hash), testGateway); err != nil {
		b.t.Fatal(err)
	}
}

// hellos returns when the device has said hello, since the bubble's beginning.
func (b *bench) hellos(start time.Time) (at []time.Duration) {
	for i, m := range b.said {
		if _, ok := m.(*cpns.Hello); ok {
			at = append(at, b.at[i].Sub(start))
		}
	}
	return at
}

func (b *bench) wantEvents(want ...event) {
	b.t.Helper()
	var got []event
	for d := json.NewDecoder(bytes.NewReader(b.out.Bytes())); ; {
		var e event
		if d.Decode(&e) != nil {
			break
		}
		got = append(got, e)
	}
	for i := range want {
		want[i].Entity = testEntity
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("events\n%s\nwant\n%+v", b.out.Bytes(), want)
	}
}

// TestLife takes a device from its first hello to the end of its set.
func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pne.Volatile{})
		b.give(7)
		gw, again := &cpns.AuthChallenge{Entity: testEntity, Gateway: testGateway}, &cpns.AuthChallenge{Entity: testEntity, Gateway: testGateway, RandGW: [16]byte{1}}
		for i, challenge := range []*cpns.AuthChallenge{gw, again} {
			b.send(challenge)
			response := lastSaid[*cpns.AuthResponse](b)
			held := cpns.Index(7 + i)
			if err := response.Verify(&b.set[held-1], testGateway, &challenge.RandGW); err != nil {
				t.Fatal(err)
			}
			index, next := held+1, &b.set[7]
			if held == 8 {
				index, next = held, nil // the last of the set: it stays
			}
			update, err := cpns.SealEUKeyUpdate(testTK, &b.set[held-1], testGateway, &challenge.RandGW, &response.RandPNE, testEntity, 1, index, next, [12]byte{})
			if err != nil {
				t.Fatal(err)
			}
			b.send(update)
			if err := lastSaid[*cpns.Acknowledgement](b).Verify(&b.set[index-1], cpns.UpdateContext(&challenge.RandGW, &response.RandPNE), testGateway); err != nil {
				t.Error(err)
			}
		}
		b.send(&cpns.AuthChallenge{Entity: testEntity, Gateway: "gw-0002"})
		b.wantEvents(
			event{Event: "hello"},
			event{Event: "stored", Gateway: testGateway, Epoch: 1, Index: 7},
			event{Event: "authenticated", Gateway: testGateway, Epoch: 1, Index: 7},
			event{Event: "stored", Gateway: testGateway, Epoch: 1, Index: 8},
			event{Event: "authenticated", Gateway: testGateway, Epoch: 1, Index: 8},
			event{Event: "stayed", Gateway: testGateway, Epoch: 1, Index: 8},
			event{Event: "refused", Reason: "a challenge from a gateway whose EUKey is not held"},
		)
	})
}

// TestHelloSchedule: a hello is said again and again, ever more seldom, until the
// gateway answers; the pauses are cpns/pne's.
func TestHelloSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := newBench(t, pne.Volatile{})
		b.wait(30 * time.Minute)
		at := b.hellos(start)
		if at[0] != 0 {
			t.Errorf("the first hello after %v, want at once", at[0])
		}
		limit := pne.FirstPause
		for i := 1; i < len(at); i++ {
			if pause := at[i] - at[i-1]; pause < limit/2 || pause > limit {
				t.Errorf("pause %d is %v, want %v to %v", i, pause, limit/2, limit)
			}
			limit = min(2*limit, pne.MaxPause)
		}
		if len(at) < 9 {
			t.Errorf("%d hellos in 30 minutes", len(at))
		}
		b.give(1)
		n := len(b.said)
		b.wait(24 * time.Hour)
		if len(b.said) != n {
			t.Errorf("%d messages in a day after the gateway answered", len(b.said)-n)
		}
	})
}

// TestHelloNotSent: the link takes no message for two minutes after it came up, while a
// key is held; hellos go on until one is answered.
func TestHelloNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := pne.State{Gateway: testGateway, Epoch: 1, Index: 1, EUKey: cpns.EUKey{1}}
		b := newBench(t, kept{held}, func(d *driver) { d.link = &mute{Link: d.link, until: time.Now().Add(2 * time.Minute)} })
		start := time.Now()
		b.wait(24 * time.Hour)
		at := b.hellos(start)
		if len(at) < 24*6 || at[0] < 2*time.Minute {
			t.Errorf("%d hellos in a day, the first after %v", len(at), at[:1])
		}
	})
}

// mute is a link that takes no message until then.
type mute struct {
	transport.Link
	until time.Time
}

func (m *mute) Send(ctx context.Context, peer string, msg []byte) error {
	if time.Now().Before(m.until) {
		return errors.New("no room")
	}
	return m.Link.Send(ctx, peer, msg)
}

// kept is a Storage that holds an EUKey from before.
type kept struct{ pne.State }

func (k kept) Load() (pne.State, error) { return k.State, nil }
func (kept) Save(*pne.State) error      { return nil }

// TestIdentify: one asked by name answers at once, everybody within a second and
// not in step; for 10 s with the same bytes.
func TestIdentify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pne.Volatile{})
		b.give(1) // no more hellos of its own accord
		ask := func(e cpns.EntityID, times int) []time.Duration {
			b.wait(time.Minute)
			start, before := time.Now(), len(b.said)
			for range times {
				b.send(&cpns.Identify{Entity: e})
			}
			b.wait(10 * time.Second)
			b.said, b.at = b.said[before:], b.at[before:]
			return b.hellos(start)
		}
		if at := ask(testEntity, 1); !slices.Equal(at, []time.Duration{0}) {
			t.Errorf("asked by name: hellos after %v, want one at once", at)
		}
		delays := map[time.Duration]bool{}
		for range 20 {
			at := ask("", 1)
			if len(at) != 1 || at[0] > pne.MaxIdentifyDelay {
				t.Fatalf("everybody asked: hellos after %v, want one within %v", at, pne.MaxIdentifyDelay)
			}
			delays[at[0]] = true
		}
		if len(delays) < 10 {
			t.Errorf("20 delays of only %d lengths", len(delays))
		}
		if at := ask("pne-2", 1); len(at) != 0 {
			t.Errorf("another asked: hellos after %v, want none", at)
		}
		if at := ask(testEntity, 5); !slices.Equal(at, make([]time.Duration, 5)) {
			t.Errorf("asked 5 times at once: hellos after %v, want five at once", at)
		}
		for _, m := range b.said[1:] {
			if m.(*cpns.Hello).Nonce != b.said[0].(*cpns.Hello).Nonce {
				t.Error("asked 5 times at once: another hello, want the same bytes")
			}
		}
	})
}

// TestReconnect: each time that the link comes up a hello tells the gateway what
// is held now.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pne.Volatile{})
		b.give(1)
		b.wait(time.Minute)
		for i := range 3 {
			n := len(b.said)
			b.gw.Cut()
			b.wait(time.Minute)
			b.gw.Restore()
			synctest.Wait()
			if len(b.said) != n+1 {
				t.Fatalf("reconnection %d: %d messages, want one hello", i, len(b.said)-n)
			}
			if hello := lastSaid[*cpns.Hello](b); hello.Epoch != 1 || hello.Index != 1 {
				t.Errorf("hello says %d, %d; want 1, 1", hello.Epoch, hello.Index)
			}
		}
	})
}

// TestLinkDownAtFirst: a link that is not there costs nothing but waiting.
func TestLinkDownAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, pne.Volatile{})
		b.gw.Cut()
		b.wait(time.Hour)
		n := len(b.said)
		b.gw.Restore()
		synctest.Wait()
		if len(b.said) != n+1 {
			t.Errorf("%d messages when the link came up, want one hello at once", len(b.said)-n)
		}
		b.give(1)
	})
}
