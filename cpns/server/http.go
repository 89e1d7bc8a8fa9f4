package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"cpns.example.net/pngw/cpns"
)

const (
	answerTime = 10 * time.Second // for one request, waiting included
	retryStore = 5 * time.Second  // what a client is told to wait when the store did not answer
)

// ServeHTTP answers EUKey Assignment Requests at cpns.AssignmentPath, and
// /healthz with 200 while the store answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	s.mux.ServeHTTP(w, r.WithContext(ctx))
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc(cpns.AssignmentPath, s.serveAssignment)
	mux.HandleFunc("/healthz", s.serveHealth)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &problem{status: http.StatusNotFound, detail: "EUKey Assignment Requests go to " + cpns.AssignmentPath})
	})
	return mux
}

// serveAssignment: EUKey Assignment Request -> EUKey Assignment Response, or a
// problem where PSK1 did not authenticate a request that can be answered.
func (s *Server) serveAssignment(w http.ResponseWriter, r *http.Request) {
	source := sourceOf(remoteAddr(r))
	if d := s.sources.wait(source, s.now()); d > 0 {
		tooMany("this address sent too many requests that were refused", d).write(w)
		return
	}
	in, err := s.receive(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	// A request from another time may be anybody's copy: the address pays.
	if !inWindow(in.request.Time, s.now()) {
		s.sources.charge(source, s.now(), 1)
	} else if d := s.gateways.take(in.gateway.ID, s.now()); d > 0 {
		s.logNoise(noiseGateway, "gateway", in.gateway.ID, "remote", remoteAddr(r))
		tooMany("this gateway sends too many requests", d).write(w)
		return
	}
	out, err := s.assign(r.Context(), in.gateway.ID, remoteAddr(r).String(), in.request)
	if err == nil {
		err = s.respond(w, in, out)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	switch out.response.Status {
	case cpns.UserAuthenticationFailed, cpns.UserLocked:
		s.gateways.charge(in.gateway.ID, s.now(), failureCost-1)
	}
	s.log.Info("EUKey assignment", "status", out.response.Status.String(), "user", in.request.UserID,
		"entity_id", in.request.EntityID, "gateway", in.gateway.ID, "epoch", out.response.Epoch, "remote", remoteAddr(r))
}

// received is a request that its gateway has sealed under its PSK1.
type received struct {
	gateway Gateway
	psk     cpns.PSK1
	body    []byte
	request *cpns.EUKeyAssignmentRequest
}

// receive reads, parses and opens a request. Its errors are problems, or the
// server's own.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) (*received, error) {
	if err := checkHeader(r); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, cpns.MaxRequestBody))
	if err != nil {
		return nil, bodyProblem(err)
	}
	sealed, err := cpns.ParseRequest(body)
	if err != nil {
		return nil, &problem{status: http.StatusBadRequest, detail: "the body is not an EUKey Assignment Request"}
	}
	gateway, psk, err := s.gatewayOf(r.Context(), sealed.Identity)
	if err != nil {
		return nil, err
	}
	request, err := sealed.Open(psk)
	if errors.Is(err, cpns.ErrMalformed) {
		// Whoever sealed this holds PSK1.
		return nil, &problem{status: http.StatusBadRequest, detail: "what is sealed in the body is not an EUKey Assignment Request"}
	}
	if err != nil {
		return nil, &problem{status: http.StatusUnauthorized, detail: "no PSK1 of that identity opens the body"}
	}
	return &received{gateway: gateway, psk: psk, body: body, request: request}, nil
}

// gatewayOf finds the gateway and the PSK1 that an identity names. One that is
// not known gets a PSK1 that nobody has, so that both are refused alike.
func (s *Server) gatewayOf(ctx context.Context, id cpns.PSKIdentity) (Gateway, cpns.PSK1, error) {
	var g Gateway
	err := s.store.View(ctx, func(tx Tx) (err error) {
		g, err = tx.GatewayByIdentity(id)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		g, err = s.nowhere, nil
	}
	if err != nil {
		return Gateway{}, nil, fmt.Errorf("finding the gateway: %w", err)
	}
	psk, err := s.vault.open(columnPSK1, string(g.ID), g.PSK1)
	if err != nil {
		return Gateway{}, nil, err
	}
	return g, psk, nil
}

// respond seals and sends the answer to in.
func (s *Server) respond(w http.ResponseWriter, in *received, out answer) error {
	if out.busy {
		tooMany("too many requests of this gateway are waiting", slowestDelay).write(w)
		return nil
	}
	// The response key follows from the request's bytes; the same bytes may be
	// answered twice, hence a random IV.
	var iv [cpns.IVSize]byte
	if _, err := io.ReadFull(s.rand, iv[:]); err != nil {
		return fmt.Errorf("drawing an initialisation vector: %w", err)
	}
	body, err := cpns.SealResponse(in.psk, in.gateway.Identity, in.body, iv, &out.response)
	if err != nil {
		return fmt.Errorf("sealing the response: %w", err)
	}
	h := w.Header()
	if out.retryAfter > 0 {
		h.Set("Retry-After", seconds(out.retryAfter))
	}
	h.Set("Content-Type", cpns.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.Write(body) // an answer that is lost is asked for again
	return nil
}

func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	if err := s.store.View(r.Context(), s.vault.verifyKeyCheck); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	io.WriteString(w, "ok\n")
}
