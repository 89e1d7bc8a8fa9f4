// Package page is the technician's page: what pngw's commands do, for a phone on the
// router's network. It is off unless option web says at which address it is served.
//
// It talks to the same agent as the local API (package api), behind a login by PIN, over
// HTTPS with a certificate of a CA of the gateway's own:
//
//	GET  /                  the page itself, and its parts: static.go
//	GET  /ca.crt            the CA's certificate, to be trusted by a phone
//	GET  /session           whether somebody is logged in, and what a login takes: [state]
//	POST /login, /logout    session.go
//	GET  /v1/watch          what happens, as server-sent events: watch.go
//	GET  /v1/pnes           the PNEs: agent.PNE, an array
//	POST /v1/device         {"text": "CPNS:1:..."}: the Entity ID of what was scanned or typed
//	POST /v1/jobs           take devices in: job.go, batch.go
//	POST /v1/table          what would be done about the rows of a table: batch.go
//	POST /v1/readmit        {"entity_id": "urn:dev:1"}: end its alarm
//
// Neither a PIN nor a password reaches the router: the browser computes Argon2id of both
// (docs/decisions/0030-the-page.md). Nothing that is answered has a key in it.
package page

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/certificate"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/sleep"
)

// Config is what a Page is made of.
type Config struct {
	Address netip.AddrPort
	Store   Store
	Gateway cpns.GatewayID // "" for one that has no name yet
	Clock   agent.Clock
	Log     *slog.Logger
}

// Page serves the page.
type Page struct {
	address  netip.AddrPort
	store    Store
	log      *slog.Logger
	shown    shown
	sessions sessions

	gateway cpns.GatewayID

	// Of Run.
	ctx     context.Context //nolint:containedctx // of the jobs, which outlive the requests that begin them
	api     *api.Server
	agent   *agent.Agent // nil for a gateway that has no name yet
	running sync.WaitGroup

	mu      sync.Mutex
	record  *record
	jobs    map[string]*job
	begun   int           // jobs
	changed chan struct{} // closed when a job changes, and made anew
	down    string        // why the page is not served now, "" where it is
}

// New reads the page's keys, and makes them where there are none.
func New(c Config) (*Page, error) {
	r, err := load(c.Store, string(c.Gateway))
	if err != nil {
		return nil, err
	}
	return &Page{
		address: c.Address, store: c.Store, log: c.Log, record: r, gateway: c.Gateway,
		shown:    shown{record: r, at: c.Address.Addr(), now: func() time.Time { t, _ := c.Clock.Now(); return t }},
		sessions: sessions{now: time.Now},
		jobs:     map[string]*job{}, changed: make(chan struct{}), down: "it begins",
	}, nil
}

// Page is the page's account of itself.
func (p *Page) Page() api.Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	return api.Page{URL: p.url(), Fingerprint: certificate.Fingerprint(p.record.CA), CA: p.record.CA, PIN: p.record.PIN != nil, Detail: p.down}
}

func (p *Page) url() string { return "https://" + p.host() }

// host is the address as browsers say it, without the port where that is the one of HTTPS.
func (p *Page) host() string {
	text := p.address.String()
	if p.address.Port() == 443 {
		return strings.TrimSuffix(text, ":443")
	}
	return text
}

// SetPIN changes the PIN. Whoever is logged in has to log in anew.
func (p *Page) SetPIN(salt, stretched []byte) error {
	pin, err := NewPIN(salt, stretched)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next := *p.record
	next.PIN = pin
	if err := next.keep(p.store); err != nil {
		return err
	}
	p.record.PIN = pin
	p.sessions.forget()
	p.log.Info("the page has a new PIN")
	return nil
}

// Times within which a phone should have said what it wants.
const (
	headerTimeout = 10 * time.Second // the TLS handshake too
	readTimeout   = 20 * time.Second
	writeTimeout  = 20 * time.Second // of an answer, or of one event of a stream
	idleTimeout   = time.Minute
	stopTimeout   = time.Second
	listenAgain   = 5 * time.Second // where the address is not there yet
)

// Connections at one time. What is above waits in the kernel; one source has at most its part.
const (
	maxConnections = 40
	maxOfSource    = 16
)

// Run serves until ctx ends, and waits for the jobs. s is the API that it shows, a the
// agent, nil for none. That the address cannot be had is said by [Page.Page] and in the
// log, and tried again: at boot the router's own address may come late.
func (p *Page) Run(ctx context.Context, s *api.Server, a *agent.Agent) {
	p.ctx, p.api, p.agent = ctx, s, a
	defer p.running.Wait()
	for told := ""; ; {
		err := p.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if err.Error() != told {
			told = err.Error()
			p.log.Error("the page is not served, and tried again", "url", p.url(), "reason", told)
		}
		p.setDown(told)
		if sleep.For(ctx, listenAgain) != nil {
			return
		}
	}
}

func (p *Page) setDown(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = why
}

func (p *Page) serve(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", p.address.String())
	if err != nil {
		return err
	}
	p.setDown("")
	p.log.Info("the page is served", "url", p.url())
	srv := &http.Server{
		Handler:           http.MaxBytesHandler(p.handler(), maxRequest),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	defer stop()
	err = srv.Serve(tls.NewListener(api.Limit(&fair{Listener: l, open: map[netip.Prefix]int{}}, maxConnections), &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: p.shown.certificate,
	}))
	if errors.Is(err, http.ErrServerClosed) {
		<-ctx.Done()
	}
	return err
}

// fair is a listener that closes what a source has too many of: one phone must not
// keep the others out.
type fair struct {
	net.Listener
	mu   sync.Mutex
	open map[netip.Prefix]int
}

func (f *fair) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := source(addrOf(c.RemoteAddr().String()))
		f.mu.Lock()
		full := f.open[from] >= maxOfSource
		if !full {
			f.open[from]++
		}
		f.mu.Unlock()
		if !full {
			return &fairConn{Conn: c, of: f, from: from}, nil
		}
		c.Close()
	}
}

type fairConn struct {
	net.Conn
	once sync.Once
	of   *fair
	from netip.Prefix
}

func (c *fairConn) Close() error {
	c.once.Do(func() {
		c.of.mu.Lock()
		defer c.of.mu.Unlock()
		if c.of.open[c.from]--; c.of.open[c.from] == 0 {
			delete(c.of.open, c.from)
		}
	})
	return c.Conn.Close()
}

// addrOf is the address of "address:port".
func addrOf(text string) netip.Addr {
	a, _ := netip.ParseAddrPort(text)
	return a.Addr()
}
