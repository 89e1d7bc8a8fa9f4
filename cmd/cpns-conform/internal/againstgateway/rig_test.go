package againstgateway

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"flag"
	"os"
	"os/signal"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/memnet"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/transport"
)

// An ether is a line in memory between the kit's devices and the toy.
type ether struct {
	up chan []byte // bytes, to the toy

	mu    sync.Mutex
	seats map[*seat]bool
}

type seat struct {
	air   *ether
	heard func([]byte)
}

func (a *ether) Join(_ context.Context, _ string, heard func([]byte)) (Seat, error) {
	s := &seat{a, heard}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seats[s] = true
	return s, nil
}

func (a *ether) Retry() time.Duration { return transport.RetryStream }

func (a *ether) Write(ctx context.Context, b []byte) error {
	select {
	case a.up <- bytes.Clone(b):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A post is a broker in memory.
type post struct {
	*ether
	g *toy
}

type postSeat struct {
	*seat
	topic string
	g     *toy
}

func (p *post) Join(ctx context.Context, entity string, heard func([]byte)) (Seat, error) {
	s, err := p.ether.Join(ctx, entity, heard)
	return &postSeat{s.(*seat), entity, p.g}, err
}

func (p *post) Retry() time.Duration { return transport.RetryMQTT }

// Write hides the line's: a broker carries no bytes.
func (p *post) Write() {}

func (s *postSeat) Send(_ context.Context, msg []byte) error {
	s.g.mail(s.topic, msg)
	return nil
}

// atBroker has the toy and the kit's devices at a broker.
func atBroker(c *Config, g *toy) {
	g.retry = transport.RetryMQTT
	c.Medium = &post{c.Medium.(*ether), g}
}

// down brings a message to all devices.
func (a *ether) down(msg []byte) {
	a.mu.Lock()
	var all []*seat
	for s := range a.seats {
		all = append(all, s)
	}
	a.mu.Unlock()
	for _, s := range all {
		s.heard(msg)
	}
}

func (s *seat) Send(ctx context.Context, msg []byte) error {
	return s.air.Write(ctx, transport.EncodeFrame(nil, msg))
}

func (s *seat) Leave() {
	s.air.mu.Lock()
	defer s.air.mu.Unlock()
	delete(s.air.seats, s)
}

// tryToy runs the suite, or what args choose of it, on a toy with a fault.
func tryToy(t *testing.T, fault string, change func(*Config, *toy), check func(t *testing.T, r *report), args ...string) {
	t.Helper()
	tryBench(t, fault, change, func(t *testing.T, b *Bench) { check(t, run(t, b, args...)) })
}

// tryBench calls f with a toy between the kit's server and devices.
func tryBench(t *testing.T, fault string, change func(*Config, *toy), f func(t *testing.T, b *Bench)) {
	t.Helper()
	// The goroutine that package signal has for all must not be the bubble's.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		certs, err := NewCertificates("cpns.example.net")
		if err != nil {
			t.Fatal(err)
		}
		air := &ether{up: make(chan []byte, 64), seats: map[*seat]bool{}}
		listener := memnet.Listen()
		g := &toy{
			fault: fault, id: "gw-1", psk: random(32), user: "alice", hash: aliceHash(),
			roots: x509.NewCertPool(), dial: listener.DialContext, send: air.down, retry: transport.RetryStream,
			records: map[string]*record{}, hellos: map[string][]byte{}, names: map[string]int{},
		}
		g.roots.AppendCertsFromPEM(certs.CA)
		g.boot()
		ctx, cancel := context.WithCancel(t.Context())
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			for {
				select {
				case b := <-air.up:
					g.feed(b)
				case <-ctx.Done():
					return
				}
			}
		}()
		config := Config{
			GatewayID: "gw-1", PSK1: g.psk, User: "alice", Password: []byte("correct horse"),
			passwordHash: aliceHash(), Listener: listener, TLS: certs, Medium: air,
			Do: g.do, Authenticate: g.authenticate, State: g.state, Restart: g.restart,
			Quiet: 3 * time.Second, Patience: 10 * time.Second,
		}
		if change != nil {
			change(&config, g)
		}
		b, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			b.Close()
			g.restart(ctx) // ends what the toy repeats
			g.die()
			cancel()
			<-fed
		}()
		f(t, b)
	})
}

var aliceHash = sync.OnceValue(func() []byte { return wire.HashPassword("alice", []byte("correct horse")) })

func run(t *testing.T, b *Bench, args ...string) *report {
	t.Helper()
	var o conform.Options
	f := flag.NewFlagSet("", flag.ContinueOnError)
	o.Declare(f)
	if err := f.Parse(append([]string{"--json", "-"}, args...)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := Suite.Run(t.Context(), &o, &command.Console{Stdout: &out, Stderr: &out}, conform.Party[*Bench]{
		Name:  "gw-1",
		Reach: func(context.Context) (*Bench, func(), error) { return b, func() {}, nil },
	})
	got := new(report)
	if jsonErr := json.Unmarshal(out.Bytes(), got); jsonErr != nil {
		t.Fatalf("%v; no report: %v\n%s", err, jsonErr, out.String())
	}
	return got
}

// A report is what a test wants of one.
type report struct {
	Seconds float64
	Cases   []struct {
		Name, Verdict, Expected, Seen, Reason string
		Seconds                               float64
	}
}
