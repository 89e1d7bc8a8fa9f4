// Package admin is the way for programs and people to do from elsewhere what the
// commands of cpns-server do on the server's machine: HTTPS and JSON under /admin/v1,
// on a listener of its own (docs/admin-api.md).
//
// A request passes through the files in this order:
//
//	admin.go     the listener, limits, and the order of the checks
//	caller.go    who asks: a client certificate or a token, what strangers may cost
//	endpoints.go all there is to ask for, and the role that it takes
//	strict.go    what is JSON here
//	users.go, gateways.go, enrolments.go, pnes.go, audit.go, tokens.go
//	             what each does, all of it through server.Operator
//	problem.go   what a refusal looks like
//
// openapi.go describes all that as an OpenAPI document, made of the same list. Client,
// in client.go and client*.go, asks: it has the methods of server.Operator, so that a
// command works on either.
//
// Left to others: where certificates come from, and who listens.
package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/admin/page"
)

// Prefix is what the paths of all endpoints begin with.
const Prefix = "/admin/v1"

// What a request may take. An import is larger than everything else and takes longer.
const (
	headerTime  = 5 * time.Second
	headerBytes = 16 << 10
	idleTime    = 60 * time.Second
	answerTime  = 15 * time.Second
	slowTime    = 60 * time.Second
	stopTime    = 10 * time.Second

	bodyBytes     = 64 << 10
	slowBodyBytes = 4 << 20
)

// Config is what the admin API is made of.
type Config struct {
	Operator *server.Operator
	Log      *slog.Logger
	Now      func() time.Time // time.Now where it is nil

	// Certificate gives the server's certificate.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAs are who signs client certificates; nil where nobody does.
	ClientCAs *x509.CertPool
	// Version is that of the program.
	Version string
	// Ready says why the store cannot be written to, nil where it can; nil where nobody
	// can tell.
	Ready func(context.Context) error
	// Page has the operators' page served at the root.
	Page bool
}

// Server answers the admin API.
type Server struct {
	op      *server.Operator
	keeper  *server.Gatekeeper
	log     *slog.Logger
	now     func() time.Time
	version string
	ready   func(context.Context) error
	tls     *tls.Config
	mux     *http.ServeMux
	origin  *http.CrossOriginProtection
	hashing chan struct{} // a place for each password that is being hashed

	strangers *server.Budget[netip.Prefix] // who sends no credential, or none that holds
	callers   *server.Budget[string]       // by ID of their credential
	noise     *server.Budget[string]       // log lines that anybody can cause
}

// What callers may ask for in a second, and what strangers may.
const (
	callerRate, callerBurst     = 200, 1000
	strangerRate, strangerBurst = 1, 20
	noiseRate, noiseBurst       = 10, 100
	sourcesKept                 = 4096
	passwordsAtOnce             = 2
)

// New makes a Server.
func New(c Config) (*Server, error) {
	if c.Operator == nil || c.Log == nil || c.Certificate == nil {
		return nil, errors.New("the admin API needs an operator, a log and a certificate")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	s := &Server{
		op: c.Operator, keeper: c.Operator.Gatekeeper(), log: c.Log, now: c.Now, version: c.Version, ready: c.Ready,
		origin:    http.NewCrossOriginProtection(),
		hashing:   make(chan struct{}, passwordsAtOnce),
		strangers: server.NewBudget[netip.Prefix](strangerRate, strangerBurst, sourcesKept),
		callers:   server.NewBudget[string](callerRate, callerBurst, sourcesKept),
		noise:     server.NewBudget[string](noiseRate, noiseBurst, 1),
		tls: &tls.Config{
			MinVersion:     tls.VersionTLS13,
			GetCertificate: c.Certificate,
			NextProtos:     []string{"http/1.1"},
		},
	}
	if c.ClientCAs != nil {
		s.tls.ClientCAs, s.tls.ClientAuth, s.tls.Time = c.ClientCAs, tls.VerifyClientCertIfGiven, c.Now
	}
	s.mux = s.routes()
	if c.Page {
		page.Register(s.mux)
	}
	return s, nil
}

// Serve answers on ln, over TLS 1.3, until ctx ends; then it lets the requests under
// way finish, for 10 seconds at most.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       slowTime,
		WriteTimeout:      2 * slowTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          log.New(noiseWriter{s}, "", 0),
		ConnContext:       server.WithConnection,
		TLSConfig:         s.tls,
		Protocols:         new(http.Protocols),
	}
	hs.Protocols.SetHTTP1(true)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if err := hs.Shutdown(grace); err != nil {
			hs.Close()
			s.log.Warn("requests of the admin API were cut off", "error", err)
		}
	})
	err := hs.ServeTLS(server.LimitConnections(ln), "", "")
	cancel()
	wg.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin API: %w", err)
	}
	return nil
}

// noiseWriter takes what package http says of connections that go wrong.
type noiseWriter struct{ s *Server }

func (w noiseWriter) Write(line []byte) (int, error) {
	w.s.logNoise("admin connection", "error", string(line))
	return len(line), nil
}

// logNoise logs what anybody can cause, as long as it is not too much.
func (s *Server) logNoise(message string, args ...any) {
	if s.noise.Take("", s.now()) == 0 {
		s.log.Info(message, args...)
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	s.mux.ServeHTTP(w, r)
}

// routes has a handler for each path, which finds the endpoint of the method.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	paths := make(map[string]map[string]*endpoint)
	for _, e := range endpoints() {
		if paths[e.path] == nil {
			paths[e.path] = make(map[string]*endpoint)
		}
		paths[e.path][e.method] = e
	}
	for path, methods := range paths {
		mux.HandleFunc(Prefix+path, func(w http.ResponseWriter, r *http.Request) {
			e := methods[r.Method]
			if e == nil {
				s.fail(w, r, methodNotAllowed(methods))
				return
			}
			s.answer(w, r, e)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &problem{status: http.StatusNotFound, kind: kindNoEndpoint, detail: "there is nothing here: " + Prefix + "/openapi.json says what there is"})
	})
	return mux
}

// answer does what an endpoint is for, after all checks of who asks, and how.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, e *endpoint) {
	allowed := answerTime
	if e.slow {
		allowed = slowTime
	}
	ctx, cancel := context.WithTimeout(r.Context(), allowed)
	defer cancel()
	c, err := s.admit(r.WithContext(ctx), e)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if e.role != "" {
		server.Proved(r.Context())
	}
	var status int
	var out []byte
	if err = checkRequest(r, e); err == nil {
		var body []byte
		if body, err = readBody(w, r, e); err == nil {
			status, out, err = c.do(ctx, e, body)
			clear(body) // it may have had a secret in it
		}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if out != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	w.Write(out)
}

// readBody reads a body of the size that the endpoint allows.
func readBody(w http.ResponseWriter, r *http.Request, e *endpoint) ([]byte, error) {
	if e.body == nil {
		return nil, nil
	}
	most := int64(bodyBytes)
	if e.slow {
		most = slowBodyBytes
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &problem{status: http.StatusRequestEntityTooLarge, kind: kindTooLarge, detail: fmt.Sprintf("the body has at most %d bytes", most)}
	}
	if err != nil {
		return nil, malformed("the body ended early or came too slowly")
	}
	return body, nil
}
