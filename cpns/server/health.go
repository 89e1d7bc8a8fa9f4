package server

import (
	"context"
	"io"
	"net/http"
	"time"
)

// readyKept is how long a look at the store holds: whoever asks whether the server is
// ready, however often, causes no more looks than one in that time.
const readyKept = 5 * time.Second

// A look is what the last look at the store showed.
type look struct {
	kept time.Duration
	look func(context.Context) error

	turn chan struct{} // holds one: who looks; who asks meanwhile gets the same
	at   time.Time     // when it ended
	err  error
}

func newLook(kept time.Duration, f func(context.Context) error) *look {
	return &look{kept: kept, look: f, turn: make(chan struct{}, 1)}
}

// result looks at the store, unless that was done just now. Whoever asks while a
// look takes long waits for that one and no other.
func (l *look) result(ctx context.Context, now func() time.Time) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if since := now().Sub(l.at); l.at.IsZero() || since < 0 || since >= l.kept {
		// Not as long as who asks stays: the result is the others' too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
		defer cancel()
		l.err = l.look(ctx)
		l.at = now()
	}
	return l.err
}

// readySetting is written by every look at whether the server is ready: a store
// that can only be read answers no request.
const readySetting = "ready-check"

func (s *Server) isReady(ctx context.Context) error {
	return s.store.Update(ctx, func(tx Tx) error {
		if err := s.vault.bind(tx); err != nil {
			return err
		}
		return tx.SetSetting(readySetting, []byte(s.now().UTC().Format(time.RFC3339)))
	})
}

// Ready says why the store cannot be written to, nil where it can. It looks at most every
// five seconds, however often it is asked.
func (s *Server) Ready(ctx context.Context) error { return s.ready.result(ctx, s.now) }

// serveReady answers with what a look shows.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	if err := s.Ready(r.Context()); err != nil {
		s.logNoise(noiseHealth, "error", err, "path", r.URL.Path)
		errUnavailable.write(w)
		return
	}
	serveAlive(w, r)
}

// serveAlive answers that the process works. It does not look at the store: whoever
// restarts a server that is not alive would restart all of them where the database is
// away.
func serveAlive(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n")
}
