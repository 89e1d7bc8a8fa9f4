package server

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// ServeStatus answers whoever watches the server, in plain HTTP on a listener of its own:
// /healthz with 200 as long as the process works, /readyz with 200 while the store can be
// written to, /metrics in Prometheus' text format. It ends with ctx, at once: a server that
// finishes its last requests is not ready for others.
func (s *Server) ServeStatus(ctx context.Context, ln net.Listener, also Watched) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", serveAlive)
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		var text strings.Builder
		s.WriteMetrics(&text, also)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.Write([]byte(text.String())) // an error is the client's going away
	})
	hs := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          log.New(noiseWriter{s}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if hs.Shutdown(grace) != nil {
			hs.Close()
		}
	})
	defer stop()
	err := hs.Serve(newLimitListener(ln, nil, nil, func(error) {}))
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving status pages: %w", err)
	}
	return nil
}
