// Package server is the CPNS Server's side of the key assignment: it knows the
// CPNS Users, the gateways that share a PSK1 with it and the Temporary Keys of
// the PNEs, and answers EUKey Assignment Requests over HTTPS (CR "EUKey
// Assignment" 7.4.2.1.1.2; protocol section 3).
//
// A request passes through the files in this order:
//
//	connlimit.go  who gets a connection
//	proxies.go    whose it is, where a proxy is in between
//	http.go       method, type, size, form, PSK1: what is answered in plain HTTP
//	remembered.go PSK1s that need not be asked for
//	ratelimit.go  who pays for a request
//	assign.go     the procedure of the clause, and the order of its checks
//	claim.go      PNEs that nobody owns
//	epoch.go      what an assignment is counted by
//	lockout.go    users who fail too often
//	replay.go     the same request again
//	seal.go       what lies in the store, under the master key
//	audit.go      what is written down about it
//
// replicas.go says what several servers on one store share.
//
// serve.go puts it on a listener, with tickets.go, noise.go, health.go and prune.go beside it;
// status.go is the listener of those who watch, for whom tally.go counts and metrics.go
// writes.
//
// What is in the audit log is chained: auditkey.go gives each event its MAC, sealer.go puts
// seals on them (chain.go, and tail.go, which finds every event once), verifychain.go looks
// whether all is there. follow.go reads on, package syslog sends it elsewhere.
//
// Server answers gateways. Operator is what the server's operator does: users,
// gateways, PNEs and the audit log. Both work on one Store, at the same time and
// in different processes if need be: nothing that a decision rests on is cached, so
// that what an operator changes holds for the next request. store.go is the contract of a store,
// package storetest its test, package sqlite the store that is used by default,
// package postgres that of several servers.
//
// Step 0 by TLS, by which a gateway gets its PSK1, has files of its own: step0.go
// (who is at the other end), psk1.go (a PSK1 for a gateway), enrol.go and
// enroljson.go (a gateway that is not known yet), invite.go and approve.go (what the
// operator does about it). By GBA it is gba.go, with package bsf. keyuse.go says which
// PSK1s of a gateway are good.
//
// Left to others: where the master key and the certificate come from.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Config is what a Server is made of.
type Config struct {
	Store     Store
	MasterKey *MasterKey
	Log       *slog.Logger

	// NextKey gives the other master key where it is being changed, or is going to be:
	// nil for none. It is asked again and again.
	NextKey func() (*MasterKey, error)

	// Name is what people know this server by among those of its store.
	Name string

	// SetLength is the number of EUKeys in a set, 2 to 1024; 0 means
	// cpns.DefaultSetLength. It holds for new assignments.
	SetLength int

	// FirstClaim says who gets a PNE that nobody owns; ClaimByAnyone where it is
	// "". DailyClaims is how many of those a user gets through one gateway in a
	// day; 0 means DefaultDailyClaims.
	FirstClaim  FirstClaim
	DailyClaims int

	// ProxyProtocol are the networks of the balancers whose connections begin
	// with a PROXY protocol header, all of them; ForwardedFor those of the
	// proxies whose X-Forwarded-For says where a request came from.
	ProxyProtocol, ForwardedFor []netip.Prefix

	// Anchors say what gateways know this server by; without them there is no
	// step 0 by TLS, neither enrolment nor PSK1. PSK1Lifetime is how long a PSK1
	// from there is good; 0 means DefaultPSK1Lifetime.
	Anchors      func() Anchors
	PSK1Lifetime time.Duration

	// Sealed is told of the events under each seal that this server has put on the
	// audit log: of several servers, each event is told to one. It does not wait.
	Sealed func(Seal, []Event)

	// TicketSecret reads the secret that servers share for their session tickets; nil
	// where each has its own.
	TicketSecret func() (*TicketSecret, error)

	// BSF is the operator's bootstrapping server; nil where there is no GBA.
	BSF BSF

	// Now is the clock; where it is nil, the store's own, or time.Now.
	Now func() time.Time

	// NextEpoch gives the epoch that follows a PNE's last one, false where none
	// is left; the one of section 3, which follows the clock, where it is nil.
	NextEpoch func(last cpns.Epoch, now time.Time) (cpns.Epoch, bool)

	// Rand gives RAND_SVR, initialisation vectors and nonces; crypto/rand
	// where it is nil.
	Rand io.Reader
}

// Server answers EUKey Assignment Requests. It is an http.Handler, to be served
// over TLS only; Serve does that with the limits and timeouts that it needs.
type Server struct {
	store     *boundStore
	vault     *vault
	log       *slog.Logger
	setLength int
	now       func() time.Time
	rand      io.Reader
	mux       *http.ServeMux

	firstClaim  FirstClaim
	dailyClaims int
	nextEpoch   func(cpns.Epoch, time.Time) (cpns.Epoch, bool)

	passed func() time.Duration // since the server was made, whatever the clock says
	clock  clockWatch

	bsf          BSF
	bootstraps   *limiter[netip.Prefix]
	unknown      unknown
	asking       chan struct{}
	anchors      func() Anchors
	psk1Lifetime time.Duration

	pruneEvery time.Duration
	auditRows  int
	sealEvery  time.Duration
	sealRows   int
	tellSealed func(Seal, []Event)
	headAt     time.Duration // when the head of the audit log was logged last, by passed

	proxyProtocol, forwarders proxies

	ticketSecret func() (*TicketSecret, error)

	replica Replica // by which the servers of a store count each other
	nextKey func() (*MasterKey, error)

	counting sync.Mutex  // held while this server counts them
	keyErr   string      // what nextKey has failed with last
	serving  atomic.Bool // by Serve
	entered  atomic.Bool // this server is among those of its store

	ready *look
	tally *tally
	stats Store // the store itself, which may have counts of its own

	sources  *limiter[netip.Prefix]
	gateways *limiter[cpns.GatewayID]
	slowed   slowed
	noise    *limiter[string]

	strangers atomic.Pointer[standIns]

	remembered psk1Memory
}

// standIns stand in for a user and a gateway that do not exist, so that refusing them
// takes the same steps as refusing a wrong key.
type standIns struct {
	under   KeyID // master key
	nobody  User
	nowhere PSK1
}

// New makes a Server. It fails with ErrWrongMasterKey where the store was
// initialised under another master key. Where the store is not available it makes one
// that answers 503 until it is.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Store == nil || c.MasterKey == nil || c.Log == nil {
		return nil, errors.New("a server needs a store, a master key and a log")
	}
	if c.SetLength == 0 {
		c.SetLength = cpns.DefaultSetLength
	}
	if c.SetLength < cpns.MinSetLength || c.SetLength > cpns.MaxSetLength {
		return nil, fmt.Errorf("a set of %d EUKeys: it has %d to %d", c.SetLength, cpns.MinSetLength, cpns.MaxSetLength)
	}
	if c.FirstClaim == "" {
		c.FirstClaim = ClaimByAnyone
	}
	if _, err := ParseFirstClaim(string(c.FirstClaim)); err != nil {
		return nil, err
	}
	if c.DailyClaims == 0 {
		c.DailyClaims = DefaultDailyClaims
	}
	if c.DailyClaims < 0 {
		return nil, fmt.Errorf("%d first claims a day: at least 1", c.DailyClaims)
	}
	if err := checkProxies(c.ProxyProtocol, c.ForwardedFor); err != nil {
		return nil, err
	}
	if c.PSK1Lifetime == 0 {
		c.PSK1Lifetime = DefaultPSK1Lifetime
	}
	if err := CheckPSK1Lifetime(c.PSK1Lifetime); err != nil {
		return nil, err
	}
	if c.NextEpoch == nil {
		c.NextEpoch = nextEpoch
	}
	if c.Now == nil {
		c.Now = clockOf(c.Store)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	v, err := newVault(c.MasterKey, c.Rand)
	if err != nil {
		return nil, err
	}
	tally := &tally{began: time.Now()}
	if c.NextKey != nil {
		next, err := c.NextKey()
		if err != nil { // whether it is needed says the store
			c.Log.Error("reading the next master key", "error", err)
		}
		if next != nil {
			if err := v.learn(next); err != nil {
				return nil, err
			}
		}
	}
	store := &boundStore{Store: signingStore{tallyingStore{c.Store, tally}, v}, check: v.bound}
	if err := store.bind(ctx); err != nil && !errors.Is(err, ErrUnavailable) {
		return nil, err
	}
	made := time.Now()
	s := &Server{
		store:     store,
		vault:     v,
		tally:     tally,
		stats:     c.Store,
		log:       c.Log,
		setLength: c.SetLength,
		now:       c.Now,
		rand:      c.Rand,
		sources:   newLimiter[netip.Prefix](sourceRate, sourceBurst, sourcesKept),
		gateways:  newLimiter[cpns.GatewayID](gatewayRate, gatewayBurst, gatewaysKept),
		slowed:    slowed{most: slowedPerGateway, waiting: make(map[cpns.GatewayID]int)},
		noise:     newLimiter[string](noiseRate, noiseBurst, len(noises)),

		firstClaim:  c.FirstClaim,
		dailyClaims: c.DailyClaims,
		nextEpoch:   c.NextEpoch,

		passed:     func() time.Duration { return time.Since(made) },
		pruneEvery: pruneEvery,
		sealEvery:  sealEvery,
		sealRows:   sealRows,
		tellSealed: c.Sealed,
		auditRows:  AuditRows,

		bsf:          c.BSF,
		bootstraps:   newLimiter[netip.Prefix](bootstrapRate, bootstrapBurst, sourcesKept),
		asking:       make(chan struct{}, bootstrapsAtOnce),
		anchors:      c.Anchors,
		psk1Lifetime: c.PSK1Lifetime,

		ticketSecret: c.TicketSecret,

		replica: Replica{ID: rand.Text(), Name: c.Name},
		nextKey: c.NextKey,

		proxyProtocol: c.ProxyProtocol,
		forwarders:    c.ForwardedFor,
	}
	s.ready = newLook(readyKept, s.isReady)
	if _, err := s.standIns(); err != nil {
		return nil, err
	}
	s.mux = s.routes()
	return s, nil
}

// standIns are sealed under the master key that counts.
func (s *Server) standIns() (*standIns, error) {
	under := s.vault.state.Load().current.id
	if has := s.strangers.Load(); has != nil && has.under == under {
		return has, nil
	}
	made, err := s.makeStandIns(under)
	if err == nil {
		s.strangers.Store(made)
	}
	return made, err
}

// makeStandIns seals random secrets that nobody has for the user and the gateway
// that stand in for unknown ones. No ID is empty, so theirs collide with none.
func (s *Server) makeStandIns(under KeyID) (*standIns, error) {
	var hashes PasswordHashes
	psk := make([]byte, cpns.RandSize)
	for _, b := range [][]byte{hashes.NFC[:], hashes.NFD[:], psk} {
		if _, err := io.ReadFull(rand.Reader, b); err != nil {
			return nil, fmt.Errorf("making stand-ins: %w", err)
		}
	}
	made := &standIns{under: under}
	var err error
	if made.nobody.PasswordHash, err = hashes.seal(s.vault, ""); err != nil {
		return nil, err
	}
	made.nowhere.Key, err = s.vault.seal(columnPSK1, psk1Row("", ""), psk)
	return made, err
}

// Initialize binds a new store to its master key. It fails with ErrExists where
// the store is bound already.
func Initialize(ctx context.Context, store Store, key *MasterKey) error {
	v, err := newVault(key, rand.Reader)
	if err != nil {
		return err
	}
	return store.Update(ctx, func(tx Tx) error {
		if _, err := v.addAuditKey(tx); err != nil {
			return err
		}
		return v.addKeyCheck(tx)
	})
}
