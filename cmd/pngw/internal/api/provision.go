package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

func (s *Server) provision(w http.ResponseWriter, r *http.Request) {
	// To its end: only then does net/http watch for the client's going away.
	text, err := io.ReadAll(r.Body)
	defer clear(text)
	if err != nil {
		status := http.StatusBadRequest
		if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
			status = http.StatusRequestEntityTooLarge
		}
		answer(w, status, problem{"the body is not there, or too long"})
		return
	}
	req, err := parseProvision(text)
	if err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	defer clear(req.PasswordHash[:])

	s.Log.Info("keys requested", "user", req.User, "devices", len(req.Entities))
	w.Header().Set("Content-Type", "application/x-ndjson")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	lines := &stream{w: w, control: http.NewResponseController(w), giveUp: cancel}
	outcomes, err := s.Agent.Provision(ctx, req, func(step agent.Step) { lines.write(step) })
	for _, o := range outcomes {
		// Of a request that was cut short, what it did is told, and not how its
		// parts came to fail.
		if err == nil || o.Result == agent.ResultAssigned || o.Result == agent.ResultDelivered {
			lines.write(o)
		}
	}
	switch {
	case r.Context().Err() != nil && lines.err == nil:
		lines.write(problem{"the agent is stopping"})
	case err != nil:
		lines.write(problem{err.Error()})
	}
}

// parseProvision checks all that Provision relies on.
func parseProvision(text []byte) (req agent.ProvisionRequest, err error) {
	var b provisionRequest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&b) != nil {
		// The decoder's error may quote the body, which has a secret.
		return req, errors.New("the body is not a provision request")
	}
	if req.User, err = cpns.ParseUserID(b.User); err != nil {
		return req, err
	}
	hash, err := hex.DecodeString(b.PasswordHash)
	if err != nil || len(hash) != len(req.PasswordHash) {
		return req, fmt.Errorf("password_hash: not %d bytes in hex", len(req.PasswordHash))
	}
	copy(req.PasswordHash[:], hash)
	clear(hash)

	if len(b.Entities) < 1 || len(b.Entities) > MaxEntities {
		return req, fmt.Errorf("entity_ids: %d of them, want 1 to %d", len(b.Entities), MaxEntities)
	}
	seen := map[cpns.EntityID]bool{}
	for _, v := range b.Entities {
		e, err := cpns.ParseEntityID(v)
		if err != nil {
			return req, err
		}
		if seen[e] {
			return req, fmt.Errorf("entity_ids: %s is there twice", e)
		}
		seen[e] = true
		req.Entities = append(req.Entities, e)
	}
	if b.WaitMS < 0 || b.WaitMS > MaxWait.Milliseconds() {
		return req, fmt.Errorf("wait_ms: %d is not in 0 to %d", b.WaitMS, MaxWait.Milliseconds())
	}
	req.Wait = time.Duration(b.WaitMS) * time.Millisecond
	return req, nil
}

// stream writes lines as they come. Each has its own time to be written, so
// that the stream may take as long as the devices do, and a client that has
// stopped reading does not hold anything up for longer than that.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	giveUp  context.CancelFunc
	err     error
}

func (s *stream) write(v any) {
	if s.err != nil {
		return
	}
	line, err := json.Marshal(v)
	if err == nil {
		err = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	if err == nil {
		_, err = s.w.Write(append(line, '\n'))
	}
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		s.err = err
		s.giveUp()
	}
}
