package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"cpns.example.net/pngw/transport"
)

// maxScrapers bounds the connections of who reads metrics and health.
const maxScrapers = 4

// Export answers GET /metrics and GET /healthz on l, which it closes, until ctx ends. It
// is for this machine: neither asks who reads.
func (s *Server) Export(ctx context.Context, l net.Listener) error {
	routes := Routes{"GET /metrics": s.metrics, "GET /healthz": s.health}
	srv := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { routes.Answer(w, r, http.NotFound) }),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 8 << 10,
		ErrorLog:       slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext:    func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	err := srv.Serve(Limit(l, maxScrapers))
	if errors.Is(err, http.ErrServerClosed) && ctx.Err() != nil {
		return nil
	}
	return err
}

// healthTime is how long the agent may take to say that it is there.
const healthTime = 5 * time.Second

// Health says what keeps the gateway from its work: faults are for a person to mend, and
// what it waits for may come by itself.
func (s *Server) Health(ctx context.Context) (faults, waits []string) {
	if s.Agent == nil {
		return nil, []string{s.Waits}
	}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	st, err := s.Agent.Status(ctx)
	if err != nil {
		return []string{"the agent does not answer: " + err.Error()}, nil
	}
	if len(st.Unwritten) > 0 {
		faults = append(faults, "the store cannot be written: "+st.Unwritten[0])
	}
	if len(st.Faults) > 0 {
		faults = append(faults, "a record does not open: "+st.Faults[0])
	}
	if !st.ClockSet {
		waits = append(waits, "the clock is not set")
	}
	if st.PSK1.Waiting != "" {
		waits = append(waits, "PSK1: "+st.PSK1.Waiting)
	}
	links := s.Agent.Links()
	for _, l := range links {
		if l.State != transport.Up {
			waits = append(waits, "link "+l.Name+": "+l.Detail)
		}
	}
	if s.Page != nil {
		if p := s.Page.Page(); p.Detail != "" {
			waits = append(waits, "the page "+p.URL+" is not served: "+p.Detail)
		}
	}
	if s.Signs != nil {
		waits = append(waits, s.Signs().faults()...)
	}
	return faults, waits
}

// faults are what is in the way of lights and button: devices get their keys all the same.
func (s *Signs) faults() (all []string) {
	for _, l := range s.Lights {
		if l.Fault != "" {
			all = append(all, "light "+l.Name+": "+l.Fault)
		}
	}
	if b := s.Button; b != nil && b.Fault {
		all = append(all, "button "+b.Name+": "+b.Detail)
	}
	return all
}

// health answers 200 where nothing is at fault, and 503 where something is, with a line
// for each.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	faults, waits := s.Health(r.Context())
	var b strings.Builder
	status := http.StatusOK
	if len(faults) > 0 {
		status = http.StatusServiceUnavailable
	} else {
		b.WriteString("ok\n")
	}
	for _, f := range faults {
		b.WriteString("fault: " + f + "\n")
	}
	for _, f := range waits {
		b.WriteString("waits: " + f + "\n")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, b.String()) // an error is the client's going away
}
