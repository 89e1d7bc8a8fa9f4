package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cpns"
)

// mint is a source that makes a new key each time, good for a while.
type mint struct {
	mu     sync.Mutex
	made   int
	life   time.Duration // 0: the same key for ever, as from a file
	err    error
	asking chan struct{} // where it is not nil, PSK1 waits for it
	over   chan struct{} // of its keys
}

func (m *mint) Name() string { return "mint" }

func (m *mint) PSK1(ctx context.Context) (*PSK, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asking != nil {
		select {
		case <-m.asking:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if m.err != nil {
		return nil, m.err
	}
	if m.life == 0 {
		return &PSK{Identity: "for ever", Key: make(cpns.PSK1, 32)}, nil
	}
	m.made++
	p := &PSK{Identity: cpns.PSKIdentity(fmt.Sprint("psk-", m.made)), Key: make(cpns.PSK1, 32), Until: time.Now().Add(m.life), Renew: time.Now().Add(2 * m.life / 3), Over: m.over}
	p.Key[0] = byte(m.made)
	return p, nil
}

func newMint(life time.Duration) (*mint, *pskKeeper) {
	m := &mint{life: life}
	return m, newPSKKeeper(m, time.Now, slog.New(slog.DiscardHandler))
}

// peek is what the keeper keeps, not a copy.
func (k *pskKeeper) peek() (current, old *PSK) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current, k.old
}

func wantPSK(t *testing.T, k *pskKeeper, want cpns.PSKIdentity) *PSK {
	t.Helper()
	p, err := k.get(t.Context())
	if err != nil || p.Identity != want {
		t.Fatalf("got %+v, %v, want %s", p, err, want)
	}
	return p
}

// TestPSKIsKeptAndRenewed: one key for many requests, another at two thirds of its
// life, the old one until the new one has been used, and nothing of it afterwards.
func TestPSKIsKeptAndRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, k := newMint(3 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.run(ctx) })
		first := wantPSK(t, k, "psk-1")
		wantPSK(t, k, "psk-1").wipe() // a copy: the keeper's stays
		if again := wantPSK(t, k, "psk-1"); again.Key[0] != 1 {
			t.Fatal("wiping a copy wiped the key")
		}
		time.Sleep(2*time.Hour + time.Second)
		synctest.Wait()
		second := wantPSK(t, k, "psk-2")
		_, kept := k.peek()
		if kept == nil || kept.Identity != "psk-1" {
			t.Fatal("the key before is not kept until the new one has been used")
		}
		// The server does not know the new one: the old one goes on.
		next, err := k.refused(ctx, second)
		if err != nil || next == nil || next.Identity != "psk-1" {
			t.Fatalf("after a refusal: %+v, %v", next, err)
		}
		// Nor the old one: one more is made.
		next, err = k.refused(ctx, first)
		if err != nil || next == nil || next.Identity != "psk-3" {
			t.Fatalf("after another refusal: %+v, %v", next, err)
		}
		k.used(next)
		synctest.Wait()
		if _, old := k.peek(); old != nil || kept.Key[0] != 0 {
			t.Error("a key that is over is not overwritten")
		}
		if s := k.status(); s.Source != "mint" || s.Identity != "psk-3" || s.Until == "" || s.Waiting != "" {
			t.Errorf("status %+v", s)
		}

		// While the source fails the key in use serves until it is over, then none does.
		m.mu.Lock()
		m.err = &PSKWaitError{Reason: "waiting for the test"}
		m.mu.Unlock()
		time.Sleep(2*time.Hour + 30*time.Minute)
		synctest.Wait()
		wantPSK(t, k, "psk-3")
		if s := k.status(); !strings.Contains(s.Waiting, "waiting for the test") {
			t.Errorf("status %+v", s)
		}
		last, _ := k.peek()
		time.Sleep(time.Hour)
		if p, err := k.get(ctx); err == nil || !waitsForPSK(err) {
			t.Errorf("a key that is over is used: %+v, %v", p, err)
		}
		synctest.Wait()
		if last.Key[0] != 0 {
			t.Error("a key whose time is over is not overwritten")
		}
		cancel()
		running.Wait()
	})
}

// TestPSKOverBeforeItsTime: a key that its source ends is used no more and
// overwritten at once, and so is the one before it.
func TestPSKOverBeforeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, k := newMint(3 * time.Hour)
		m.over = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.run(ctx) })
		wantPSK(t, k, "psk-1")
		time.Sleep(2*time.Hour + time.Second)
		synctest.Wait()
		current, old := k.peek()
		if current == nil || old == nil {
			t.Fatal("there are no two keys")
		}
		close(m.over)
		synctest.Wait()
		if current.Key[0] != 0 || old.Key[0] != 0 {
			t.Error("a key that is over is not overwritten")
		}
		m.mu.Lock()
		m.over = nil
		m.mu.Unlock()
		wantPSK(t, k, "psk-3")
		cancel()
		running.Wait()
	})
}

// TestPSKOfAFile: it is not kept, and a refusal leads to no second try with the same.
func TestPSKOfAFile(t *testing.T) {
	m, k := newMint(0)
	p := wantPSK(t, k, "for ever")
	if current, _ := k.peek(); current != nil {
		t.Error("the key of a file stays in memory")
	}
	if next, err := k.refused(t.Context(), p); next != nil || err != nil {
		t.Errorf("after a refusal: %+v, %v", next, err)
	}
	m.life = time.Hour // the file is another by now
	if next, err := k.refused(t.Context(), p); err != nil || next == nil || next.Identity != "psk-1" {
		t.Errorf("after a refusal, with another file: %+v, %v", next, err)
	}
}

// TestPSKIsAskedForOnce: many requests that need a key make one.
func TestPSKIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, k := newMint(time.Hour)
		m.asking = make(chan struct{})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { wantPSK(t, k, "psk-1") })
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { _, err := k.get(ctx); gone <- err }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("a request that is given up: %v", err)
		}
		close(m.asking)
		all.Wait()
	})
}

// outage is a source that is away until some time, and counts who asks in each minute
// after.
type outage struct {
	until  time.Time
	mu     sync.Mutex
	asked  map[time.Duration]int
	served int
}

func (o *outage) Name() string { return "outage" }

func (o *outage) PSK1(context.Context) (*PSK, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.asked[now.Sub(o.until).Truncate(time.Minute)]++
	if now.Before(o.until) {
		return nil, &PSKWaitError{Reason: "away"}
	}
	o.served++
	return &PSK{Identity: "back", Key: make(cpns.PSK1, 32), Until: now.Add(1000 * time.Hour), Renew: now.Add(900 * time.Hour)}, nil
}

// TestRenewalsAfterOutage: gateways whose keys were all to be renewed while the server was
// away do not come back in one minute. The clock is synctest's.
func TestRenewalsAfterOutage(t *testing.T) {
	const gateways = 1000
	synctest.Test(t, func(t *testing.T) {
		o := &outage{until: time.Now().Add(6 * time.Hour), asked: map[time.Duration]int{}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for range gateways {
			k := newPSKKeeper(o, time.Now, slog.New(slog.DiscardHandler))
			k.current = &PSK{Identity: "before", Key: make(cpns.PSK1, 32), Until: time.Now().Add(1000 * time.Hour), Renew: time.Now().Add(time.Minute)}
			running.Go(func() { k.run(ctx) })
		}
		time.Sleep(8 * time.Hour)
		synctest.Wait()
		cancel()
		running.Wait()
		peak := 0
		for minute, n := range o.asked {
			if minute >= 0 {
				peak = max(peak, n)
			}
		}
		t.Logf("%d gateways come back within 90 minutes, at most %d in one", gateways, peak)
		if o.served != gateways || peak > gateways/15 {
			t.Errorf("%d of %d have a key, at most %d came in one minute", o.served, gateways, peak)
		}
	})
}
