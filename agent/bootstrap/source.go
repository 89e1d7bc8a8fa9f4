// Package bootstrap is PSK1 by 3GPP GBA (docs/protocol.md, section 8), for a gateway
// with a SIM: the agent's source of it that package gba does the work for. PSK1 is
// Ks_NAF, its identity the B-TID. Command pngw makes a Source, runs it beside the agent
// and hands it to the agent; package gba knows nothing of either.
//
// A key is over before its time where the SIM that it is of is pulled out or
// exchanged (TS 33.220, 4.4.11): Run looks at the SIM now and then. Of Ks nothing is
// kept, not even in memory: there is one NAF.
package bootstrap

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/gba"
)

// Config says whose keys, from where, for whom. BSF and IMPI may be empty: the SIM
// says.
type Config struct {
	Card      Card
	BSF, IMPI string
	Roots     *x509.CertPool // that a BSF by https is verified against; nil for the system's
	NAFID     []byte         // gba.NAFID of the CPNS Server
	HTTP      *http.Client   // nil for one of its own
	Clock     Clock
	Log       *slog.Logger
}

// Card is a SIM that can tell how it is asked.
type Card interface {
	gba.Card
	Access() string
}

// Clock tells the time, and whether it can be believed.
type Clock interface {
	Now() (t time.Time, set bool)
}

// Bounds.
const (
	atMost      = 3 * time.Minute  // for one bootstrap, whoever is slow
	minLifetime = 10 * time.Second // a request takes no longer

	// A SIM is looked at this often, more often while there is none.
	lookEvery = 10 * time.Minute
	lookAgain = time.Minute

	// After a failure nobody is asked for failFirst, doubling up to failLast: the
	// agent comes every few seconds while a request waits.
	failFirst = 10 * time.Second
	failLast  = 5 * time.Minute
	// So many bootstraps in that time: a server that takes none of the keys would
	// have the operator make them without an end.
	burst       = 3
	burstWithin = 10 * time.Minute
)

// Source implements agent.PSKSource.
type Source struct {
	cfg  Config
	turn chan struct{} // who has the token uses the SIM

	mu      sync.Mutex
	seen    string        // what Detail says of the SIM
	imsi    string        // whose SIM the latest key is of, "" for no key
	over    chan struct{} // of the latest key, nil for none
	fails   time.Duration // the pause after the latest failure, 0 after a success
	next    time.Time     // before that nobody is asked
	why     error
	history [burst]time.Time // of bootstraps, the latest first
}

// New makes a Source. It asks nothing yet.
func New(cfg Config) *Source {
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots},
			TLSHandshakeTimeout:    15 * time.Second,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		}}
	}
	return &Source{cfg: cfg, turn: make(chan struct{}, 1)}
}

// Name is part of agent.PSKSource.
func (*Source) Name() string { return "gba" }

// Detail is what is known of the SIM, or why nothing is.
func (s *Source) Detail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// PSK1 is part of agent.PSKSource: it bootstraps.
func (s *Source) PSK1(ctx context.Context) (*agent.PSK, error) {
	now, set := s.cfg.Clock.Now()
	if !set {
		return nil, &agent.PSKWaitError{Reason: fmt.Sprintf("the router's clock says %s, which is in the past: waiting for NTP", now.UTC().Format(time.RFC3339))}
	}
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.give()
	if err := s.held(); err != nil {
		return nil, err
	}
	psk, err := s.bootstrap(ctx)
	if ctx.Err() != nil {
		if psk != nil {
			clear(psk.Key)
		}
		return nil, context.Cause(ctx) // says nothing of the SIM or the BSF
	}
	if err != nil {
		err = &agent.PSKWaitError{Reason: "bootstrapping with the SIM", Err: err}
	}
	s.settle(err)
	return psk, err
}

func (s *Source) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Source) give() { <-s.turn }

// held is why nobody is asked now, nil where somebody may be.
func (s *Source) held() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.next) {
		return s.why
	}
	return nil
}

// settle says when the next bootstrap may be.
func (s *Source) settle(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if err != nil {
		s.fails = min(max(2*s.fails, failFirst), failLast)
		s.next, s.why = now.Add(s.fails), err
		return
	}
	s.fails = 0
	copy(s.history[1:], s.history[:])
	s.history[0] = now
	first := s.history[burst-1]
	if first.IsZero() {
		return
	}
	s.next = first.Add(burstWithin)
	s.why = &agent.PSKWaitError{Reason: "bootstrapped too often within " + burstWithin.String() +
		"; if the server refuses the keys, compare its --ua, --naf-host and this gateway's --impi with what is configured here"}
}

// bootstrap is one run. The SIM has been taken.
func (s *Source) bootstrap(ctx context.Context) (*agent.PSK, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, atMost, fmt.Errorf("it takes more than %s", atMost))
	defer cancel()
	psk, err := s.run(ctx)
	if err != nil && errors.Is(err, context.DeadlineExceeded) {
		err = context.Cause(ctx)
	}
	return psk, err
}

func (s *Source) run(ctx context.Context) (*agent.PSK, error) {
	who, err := s.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the SIM who it is: %w", err)
	}
	defer s.cfg.HTTP.CloseIdleConnections()
	now := func() time.Time { t, _ := s.cfg.Clock.Now(); return t }
	b, err := gba.Bootstrap(ctx, gba.Config{
		BSF: s.cfg.BSF, IMPI: s.cfg.IMPI, Card: known{s.cfg.Card, who}, HTTP: s.cfg.HTTP, Now: now,
	})
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	id, err := cpns.ParsePSKIdentity(b.BTID)
	if err != nil {
		return nil, fmt.Errorf("the BSF's B-TID: %w", err)
	}
	began := now()
	lifetime := b.Expires.Sub(began)
	if lifetime < minLifetime {
		return nil, fmt.Errorf("the BSF's key is good for %s only: is the router's clock right?", lifetime.Round(time.Second))
	}
	key, err := b.KsNAF(s.cfg.NAFID)
	if err != nil {
		return nil, err
	}
	defer clear(key[:])
	s.cfg.Log.Info("bootstrapped", "impi", b.IMPI, "bsf", cmp.Or(s.cfg.BSF, "http://"+who.BSF()), "sim", s.cfg.Card.Access())
	// Around two thirds, so that those who came together do not come together again.
	renew := lifetime*3/5 + rand.N(lifetime*2/15)
	return &agent.PSK{
		Identity: id, Key: append(cpns.PSK1{}, key[:]...),
		Until: b.Expires, Renew: began.Add(renew), Over: s.begin(who.IMSI),
	}, nil
}

// known is a SIM that has just said who it is.
type known struct {
	gba.Card
	who gba.Subscriber
}

func (k known) Subscriber(context.Context) (gba.Subscriber, error) { return k.who, nil }
