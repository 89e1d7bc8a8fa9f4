package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

func (s *Server) provision(w http.ResponseWriter, r *http.Request) {
	req, ok := receiveProvision(w, r)
	if !ok {
		return
	}
	defer clear(req.PasswordHash[:])

	s.Log.Info("keys requested", "user", req.User, "devices", len(req.Entities))
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	lines := newStream(w, cancel)
	outcomes, err := s.Agent.Provision(ctx, req, func(step agent.Step) { lines.write(step) })
	s.auditProvision(r, &req, outcomes, err)
	for _, o := range outcomes {
		// Of a request that was cut short, what it did is told, and not how its
		// parts came to fail.
		if err == nil || o.Result == agent.ResultAssigned || o.Result == agent.ResultHeld || o.Result == agent.ResultDelivered {
			lines.write(o)
		}
	}
	lines.end(r, err)
}

// receiveProvision reads a request. Its text, which has the hash in it, is gone
// when the waiting begins. Where it is not ok it has answered.
func receiveProvision(w http.ResponseWriter, r *http.Request) (req agent.ProvisionRequest, ok bool) {
	text, ok := body(w, r)
	defer clear(text)
	if !ok {
		return req, false
	}
	req, err := parseProvision(text)
	if err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
	}
	return req, err == nil
}

// parseProvision checks all that Provision relies on.
func parseProvision(text []byte) (req agent.ProvisionRequest, err error) {
	var b provisionRequest
	if !decode(text, &b) {
		return req, errors.New("the body is not a provision request")
	}
	if req.User, err = cpns.ParseUserID(b.User); err != nil {
		return req, err
	}
	if req.PasswordHash, err = ParsePasswordHash(b.PasswordHash); err != nil {
		return req, err
	}
	if req.Entities, err = ParseEntities(b.Entities); err != nil {
		return req, err
	}
	if req.Wait, err = parseWait(b.WaitMS); err != nil {
		return req, err
	}
	req.Remember, req.Reassign, req.Hold = b.Remember, b.Reassign, b.Hold
	return req, nil
}

// ParsePasswordHash takes a Hash(Password) in hex.
func ParsePasswordHash(text string) (h cpns.PasswordHash, err error) {
	hash, err := hex.DecodeString(text)
	if err != nil || len(hash) != len(h) {
		return h, fmt.Errorf("password_hash: not %d bytes in hex", len(h))
	}
	copy(h[:], hash)
	clear(hash)
	return h, nil
}

func parseWait(ms int64) (time.Duration, error) {
	if ms < 0 || ms > MaxWait.Milliseconds() {
		return 0, fmt.Errorf("wait_ms: %d is not in 0 to %d", ms, MaxWait.Milliseconds())
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// ParseEntities checks the devices of a request: one or more, no two the same.
func ParseEntities(list []string) (entities []cpns.EntityID, err error) {
	if len(list) < 1 || len(list) > MaxEntities {
		return nil, fmt.Errorf("%d devices: want 1 to %d at once", len(list), MaxEntities)
	}
	seen := map[cpns.EntityID]bool{}
	for i, v := range list {
		e, err := cpns.ParseEntityID(v)
		if err != nil {
			return nil, fmt.Errorf("device %d of %d: %w", i+1, len(list), err)
		}
		if seen[e] {
			return nil, fmt.Errorf("%s is there twice", e)
		}
		seen[e] = true
		entities = append(entities, e)
	}
	return entities, nil
}
