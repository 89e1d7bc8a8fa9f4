package server

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// How long a look at the store holds: whoever asks for the server's health, however
// often, causes no more looks than one in that time.
const (
	healthKept = time.Second
	readyKept  = 5 * time.Second
)

// A look is what the last look at the store showed.
type look struct {
	kept time.Duration
	look func(context.Context) error

	mu  sync.Mutex // held while looking: who asks meanwhile gets the same
	at  time.Time
	err error
}

// result looks at the store, unless that was done just now.
func (l *look) result(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since := now.Sub(l.at); l.at.IsZero() || since < 0 || since >= l.kept {
		// Not the context of who asks: the result is the others' too.
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		l.at, l.err = now, l.look(ctx)
	}
	return l.err
}

// isHealthy says whether the store can be read, and is the master key's.
func (s *Server) isHealthy(ctx context.Context) error {
	return s.store.View(ctx, s.vault.verifyKeyCheck)
}

// readySetting is written by every look at whether the server is ready: a store
// that can only be read answers no request.
const readySetting = "ready-check"

func (s *Server) isReady(ctx context.Context) error {
	return s.store.Update(ctx, func(tx Tx) error {
		if err := s.vault.verifyKeyCheck(tx); err != nil {
			return err
		}
		return tx.SetSetting(readySetting, []byte(s.now().UTC().Format(time.RFC3339)))
	})
}

// serveHealth answers with what a look shows.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request, l *look) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if err := l.result(s.now()); err != nil {
		s.logNoise(noiseHealth, "error", err, "path", r.URL.Path)
		errUnavailable.write(w)
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n")
}
