package api

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/audit"
	"cpns.example.net/pngw/agent/hooks"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/cpns"
)

// Config is what a Server is made of; all of it is required, but for the agent.
type Config struct {
	Agent     *agent.Agent // nil for a gateway that has no name yet
	Enroller  *step0.Enroller
	Enrolled  *step0.Enrolment // that the agent was made with, nil for none
	Waits     string           // why there is no agent
	Source    string           // of PSK1
	Clock     agent.Clock
	Version   string
	Server    string // base URL of the CPNS Server, for people
	Read      Read
	LinkTypes map[string]string // by link name
	Events    *Events
	Hooks     *hooks.Runner
	Audit     *audit.Log   // nil for none
	Written   func() int64 // bytes that the store has written; nil for not known

	DeviceMetrics bool                  // metrics name devices
	Applications  map[string]func() int // how many devices have keys for each
	Page          Pager                 // nil for no page
	Signs         func() *Signs         // nil for none
	Log           *slog.Logger
}

// Server answers the API.
type Server struct {
	Config
	start time.Time
}

// New makes a Server. Its uptime counts from now.
func New(c Config) *Server {
	return &Server{Config: c, start: time.Now()}
}

// Times within which a client of this machine should have said what it wants.
const (
	headerTimeout   = 5 * time.Second
	readTimeout     = 10 * time.Second
	writeTimeout    = 10 * time.Second // of an answer that is ready, or of one line of a stream
	idleTimeout     = 30 * time.Second
	shutdownTimeout = 5 * time.Second
)

// Serve answers on l, which it closes, until ctx ends. Requests that are under
// way see ctx end and get some seconds to say so to their clients.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withWho,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(Limit(l, maxConnections))
	if stop() {
		srv.Close()
		return err
	}
	<-stopped
	return nil
}

func (s *Server) handler() http.Handler {
	routes := Routes{
		"GET /v1/status":        s.status,
		"GET /v1/links":         s.links,
		"GET /v1/pnes":          s.list,
		"GET /v1/pnes/*":        s.show,
		"DELETE /v1/pnes/*":     s.forget,
		"GET /v1/discovered":    s.discovered,
		"GET /v1/metrics":       s.metrics,
		"GET /v1/events":        s.events,
		"GET /v1/audit":         s.auditLog,
		"POST /v1/probe":        s.probe,
		"POST /v1/provision":    s.provision,
		"POST /v1/authenticate": s.authenticate,
		"POST /v1/readmit":      s.readmit,
		"GET /v1/enrolment":     s.enrolment,
		"POST /v1/enrol":        s.enrol,
		"POST /v1/page/pin":     s.setPIN,
	}
	otherwise := func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, problem{"no such resource or method"})
	}
	inTime := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = &punctual{w, http.NewResponseController(w)}
		if s.Agent == nil && !withoutAgent[r.URL.Path] {
			answer(w, http.StatusServiceUnavailable, problem{s.Waits})
			return
		}
		routes.Answer(w, r, otherwise)
	})
	return http.MaxBytesHandler(inTime, maxRequest) // outside: it has to know net/http's own writer
}

// punctual gives each write of an answer its time, from when it begins: what the
// agent did before, such as waiting for slow flash, is none of the client's
// fault.
type punctual struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Unwrap is for http.ResponseController.
func (p *punctual) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *punctual) WriteHeader(status int) {
	p.begin()
	p.ResponseWriter.WriteHeader(status)
}

func (p *punctual) Write(b []byte) (int, error) {
	p.begin()
	return p.ResponseWriter.Write(b)
}

// begin cannot fail on a connection of this server, and if it did the write
// would.
func (p *punctual) begin() { p.control.SetWriteDeadline(time.Now().Add(writeTimeout)) }

// answer writes v as the whole answer.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here is the client's going away, which concerns nobody else.
	json.NewEncoder(w).Encode(v)
}

// fail answers with what an agent's error means to a client.
func (s *Server) fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		status = http.StatusNotFound
	case errors.Is(err, fs.ErrInvalid):
		status = http.StatusConflict
	}
	answer(w, status, problem{err.Error()})
}

// entity is the PNE that the path names.
func entity(w http.ResponseWriter, r *http.Request) (cpns.EntityID, bool) {
	e, err := cpns.ParseEntityID(Below(r, "/v1/pnes/")) // to the end, slashes and all
	if err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
		return "", false
	}
	return e, true
}
