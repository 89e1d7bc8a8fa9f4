package againstgateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

// What a gateway that means harm may take of the kit.
const (
	maxConnections = 64
	maxRequests    = 256 // for one device
)

const (
	assignmentPath = "/cpns/v1/eukey-assignments"
	elsewhere      = "/elsewhere" // where a redirection leads
	maxRequest     = 4096
	window         = 300 // seconds that a request's time may be away
)

// A heardRequest is a request that reached the server, as far as it can be read.
type heardRequest struct {
	method, path string
	header       http.Header
	body         []byte
	now          uint64 // when it came

	envelope  *wire.Body // nil where the body is none
	canonical bool       // also of what is sealed in it
	opened    bool       // under PSK1

	fields       int
	entity, user string
	rand, auth   []byte
	time         uint64
	hello        []byte // nil for none
}

// An answer is what the server does about a request.
type answer func(w http.ResponseWriter, r *heardRequest)

// server is the CPNS Server that the gateway asks.
type server struct {
	b       *Bench
	http    *http.Server
	ended   chan struct{}
	wrong   atomic.Bool  // show the certificate that nobody trusts
	strayed atomic.Int64 // requests where a redirection led
	foreign atomic.Int64 // requests that do not open under PSK1

	mu      sync.Mutex
	devices map[string]*device
}

func newServer(b *Bench) *server {
	s := &server{b: b, ended: make(chan struct{}), devices: make(map[string]*device)}
	s.http = &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 20 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	certs := b.TLS
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if s.wrong.Load() {
			return &certs.wrong, nil
		}
		return &certs.right, nil
	}, SessionTicketsDisabled: true, NextProtos: []string{"http/1.1"}}
	go func() {
		defer close(s.ended)
		s.http.Serve(tls.NewListener(&limitListener{b.Listener, make(chan struct{}, maxConnections)}, config))
	}()
	return s
}

func (s *server) close() {
	s.http.Close()
	<-s.ended
}

// hangUp closes the connections that are open, so that the next request makes a new one.
func (s *server) hangUp() { s.http.SetKeepAlivesEnabled(false); s.http.SetKeepAlivesEnabled(true) }

func (s *server) add(d *device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices[d.entity] = d
}

func (s *server) remove(d *device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.devices, d.entity)
}

func (s *server) find(entity string) *device {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[entity]
}

func (s *server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == elsewhere {
		s.strayed.Add(1)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxRequest+1))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge)
		return
	}
	r := &heardRequest{method: req.Method, path: req.URL.Path, header: req.Header, body: body, now: uint64(time.Now().Unix())}
	s.b.read(r)
	d := s.find(r.entity)
	if !r.opened || d == nil {
		// A probe of the gateway's, say: it is answered as by a server that knows no such
		// device.
		if r.opened {
			b := s.b.sealed(r, (&set{status: s.b.statusOf(r), time: r.now}).plaintext())
			reply(w, b.Bytes())
			return
		}
		s.foreign.Add(1)
		refuse(w, http.StatusUnauthorized)
		return
	}
	d.request(req.Context(), w, r)
}

// strangers says what else came, for who looks for a mistake in a configuration.
func (s *server) strangers() string {
	if n := s.foreign.Load(); n > 0 {
		return fmt.Sprintf("; %d requests since the beginning did not open under PSK1 and identity %q, or were for devices of nobody's", n, s.b.Identity)
	}
	return ""
}

// statusOf is what a right request for a device that nobody knows gets.
func (b *Bench) statusOf(r *heardRequest) uint64 {
	if max(r.time, r.now)-min(r.time, r.now) > window {
		return statusTime
	}
	return statusUnknownPNE
}

// Statuses of a response.
const (
	statusSuccess    = 0
	statusTime       = 2
	statusUnknownPNE = 3
	statusReused     = 6
)

// read opens a request and takes it apart.
func (b *Bench) read(r *heardRequest) {
	var err error
	if r.envelope, r.canonical, err = wire.ReadBody(r.body); err != nil {
		return
	}
	plaintext, ok := r.envelope.Open(wire.Key(b.PSK1, nil, wire.InfoRequest), []byte(b.Identity))
	if !ok {
		return
	}
	item, rest, err := wire.Decode(plaintext)
	fields, _ := item.([]any)
	if err != nil || len(fields) < 5 {
		return
	}
	r.opened, r.fields = true, len(fields)
	r.canonical = r.canonical && len(rest) == 0 && bytes.Equal(wire.Encode(item), plaintext)
	r.entity, _ = fields[0].(string)
	r.user, _ = fields[1].(string)
	r.rand, _ = fields[2].([]byte)
	r.time, _ = fields[3].(uint64)
	r.auth, _ = fields[4].([]byte)
	if len(fields) == 6 {
		r.hello, _ = fields[5].([]byte)
	}
}

// same reports whether two requests ask for the same: pne-hello does not count.
func (r *heardRequest) same(o *heardRequest) bool {
	return r.entity == o.entity && r.user == o.user && r.time == o.time && bytes.Equal(r.rand, o.rand) && bytes.Equal(r.auth, o.auth)
}

// request is a request about the device: what is to become of it says the case.
func (d *device) request(ctx context.Context, w http.ResponseWriter, r *heardRequest) {
	d.mu.Lock()
	d.t.Heard("request", r.body)
	if len(d.requests) == maxRequests {
		d.mu.Unlock()
		refuse(w, http.StatusTooManyRequests)
		return
	}
	d.requests = append(d.requests, r)
	how := d.answer
	d.mu.Unlock()
	defer func() { wake(d.news) }()
	if how != nil {
		how(w, r)
		return
	}
	d.assign(w, r)
}

// assign answers as a good server does: the same request gets the same set.
func (d *device) assign(w http.ResponseWriter, r *heardRequest) {
	d.mu.Lock()
	var s *set
	for _, a := range d.assigned {
		switch {
		case a.request.same(r):
			s = a.set
		case s == nil && bytes.Equal(a.request.rand, r.rand):
			s = &set{status: statusReused, time: r.now}
		}
	}
	if s == nil && max(r.time, r.now)-min(r.time, r.now) > window {
		s = &set{status: statusTime, time: r.now}
	}
	if s == nil {
		s = d.b.newSet(d, r)
		d.assigned = append(d.assigned, assignment{r, s})
	}
	d.mu.Unlock()
	body := d.b.sealed(r, s.plaintext())
	d.t.Sent("response", body.Bytes())
	reply(w, body.Bytes())
}

type assignment struct {
	request *heardRequest
	set     *set
}

// script has the next requests be answered otherwise; nil is as a good server.
func (d *device) script(a answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = a
}

// asked are the requests so far.
func (d *device) asked() []*heardRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.requests)
}

// newest is the set that was given last.
func (d *device) newest() *set {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.assigned) == 0 {
		return nil
	}
	return d.assigned[len(d.assigned)-1].set
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// A limitListener has connections wait while there are too many.
type limitListener struct {
	net.Listener
	places chan struct{}
}

func (l *limitListener) Accept() (net.Conn, error) {
	l.places <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
