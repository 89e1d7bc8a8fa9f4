package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"cpns.example.net/pngw/cpns"
)

const (
	answerTime = 10 * time.Second // for one request, waiting included
	retryStore = 5 * time.Second  // what a client is told to wait when the store did not answer
)

// ServeHTTP answers EUKey Assignment Requests at cpns.AssignmentPath, /healthz with
// 200, and /readyz with 200 while the store can be written to.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	s.mux.ServeHTTP(w, r.WithContext(ctx))
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc(cpns.AssignmentPath, s.afterEntering(s.serveAssignment))
	if s.anchors != nil {
		mux.HandleFunc(cpns.PSK1Path, s.afterEntering(s.servePSK1))
		mux.HandleFunc(cpns.EnrolmentPath, s.afterEntering(s.serveEnrolment))
	}
	mux.HandleFunc("/healthz", serveAlive)
	mux.HandleFunc("/readyz", s.serveReady)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, s.visitOf(r), &problem{status: http.StatusNotFound, detail: "EUKey Assignment Requests go to " + cpns.AssignmentPath})
	})
	return mux
}

// A visit is a request and the address that pays for it until it has proved to be
// a gateway's.
type visit struct {
	from  netip.Addr
	stake *reservation[netip.Prefix] // nil where the address owes, or has its stake back
	owes  time.Duration              // what the address has to wait for, 0 where it owes nothing
}

// visitOf reserves what the request costs its address if it is refused.
func (s *Server) visitOf(r *http.Request) *visit {
	v := &visit{from: s.remoteAddr(r)}
	v.stake, v.owes = s.sources.reserve(sourceOf(v.from), s.now(), 1)
	return v
}

// settle ends the stake, as lost or given back.
func (s *Server) settle(v *visit, lost bool) {
	if v.stake == nil {
		return
	}
	price := 0.0
	if lost {
		price = 1
	}
	v.stake.settle(s.now(), price)
	v.stake = nil
}

// serveAssignment: EUKey Assignment Request -> EUKey Assignment Response, or a
// problem where PSK1 did not authenticate a request that can be answered.
func (s *Server) serveAssignment(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	v := s.visitOf(r)
	in, err := s.receive(w, r, v)
	if err != nil {
		s.fail(w, v, err)
		return
	}
	// From here on the sender is a gateway, and is answered whatever its address
	// owes. A request from another time may be anybody's copy: the address pays.
	current := inWindow(in.request.Time, s.now())
	s.settle(v, !current)
	proved(r.Context())
	var out *answer
	if current {
		out, err = s.assignWithin(r.Context(), v, in)
	} else {
		out = s.refuse(cpns.TimeOutOfWindow)
	}
	if err == nil {
		err = s.respond(w, in, out)
	}
	if err != nil {
		s.fail(w, v, err)
		return
	}
	s.tally.assigned(out, time.Since(begin))
	log := s.log.Info
	if !current {
		log = func(_ string, args ...any) { s.logNoise(noiseOutOfWindow, args...) }
	}
	log("EUKey assignment", "status", out.response.Status.String(), "user", in.request.UserID,
		"entity_id", in.request.EntityID, "gateway", in.under.Gateway, "epoch", out.response.Epoch, "remote", v.from)
}

// assignWithin answers a request within its gateway's budget, which pays for a
// failed user authentication until it is known to be none.
func (s *Server) assignWithin(ctx context.Context, v *visit, in *received) (*answer, error) {
	budget, wait := s.gateways.reserveOrWait(ctx, in.under.Gateway, s.now, failureCost, gatewayWaiting)
	if budget == nil {
		return nil, &problem{status: http.StatusTooManyRequests, detail: "this gateway sends too many requests", retryAfter: wait, gateway: in.under.Gateway}
	}
	price := 1.0
	defer func() { budget.settle(s.now(), price) }()
	out, err := s.assign(ctx, in.under, in.psk, v.from.String(), in.request)
	if err != nil {
		return nil, err
	}
	switch out.response.Status {
	case cpns.UserAuthenticationFailed, cpns.UserLocked:
		price = failureCost
	}
	return out, nil
}

// received is a request that its gateway has sealed under its PSK1.
type received struct {
	under   PSK1
	psk     cpns.PSK1 // its key
	body    []byte
	request *cpns.EUKeyAssignmentRequest
}

// receive reads, parses and opens a request. Its errors are problems, or the
// server's own.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, v *visit) (*received, error) {
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
	under, psk, err := s.rememberedPSK1(sealed.Identity)
	if err != nil {
		return nil, err
	}
	request, err := sealed.Open(psk)
	if err == nil && under.Identity != "" && inWindow(request.Time, s.now()) {
		return &received{under: under, psk: psk, body: body, request: request}, nil // assign looks whether it is still so
	}
	all, err := s.psk1sOf(r.Context(), v, sealed.Identity)
	if err != nil {
		return nil, err
	}
	// The second is tried only where the first does not open, and always then, whether
	// there are two, one or none.
	for _, p := range all {
		under = p
		if psk, err = s.vault.open(columnPSK1, psk1Row(p.Gateway, p.Identity), p.Key); err != nil {
			return nil, err
		}
		if request, err = sealed.Open(psk); !errors.Is(err, cpns.ErrNotAuthentic) {
			break
		}
	}
	if errors.Is(err, cpns.ErrMalformed) {
		// Whoever sealed this holds PSK1.
		return nil, &problem{status: http.StatusBadRequest, detail: "what is sealed in the body is not an EUKey Assignment Request"}
	}
	if err != nil {
		return nil, errUnauthorized
	}
	s.remembered.add(under)
	return &received{under: under, psk: psk, body: body, request: request}, nil
}

// psk1sOf finds the PSK1s that an identity names, the one in use and the one beside it.
// One that is not known, or is over, is replaced by one that nobody has, so that all are
// refused alike. The operator's bootstrapping server, where there is one, is asked for
// what may be its own.
func (s *Server) psk1sOf(ctx context.Context, v *visit, id cpns.PSKIdentity) (all [2]PSK1, err error) {
	known := false
	err = s.store.View(ctx, func(tx Tx) (err error) {
		all, known, err = lookUp(tx, id, s.now())
		return err
	})
	if err == nil && !known && s.bsf != nil && isBTID(id) {
		if all[0], err = s.bootstrapped(ctx, v, id); errors.Is(err, ErrNotFound) {
			all[0], err = PSK1{}, nil
		}
	}
	if err != nil {
		if _, isProblem := errors.AsType[*problem](err); isProblem {
			return all, err
		}
		return all, fmt.Errorf("finding the PSK1: %w", err)
	}
	in, err := s.standIns()
	if err != nil {
		return all, err
	}
	for n := range all {
		if all[n].Identity == "" || !all[n].good(s.now()) {
			all[n] = in.nowhere
		}
	}
	return all, nil
}

// respond seals and sends the answer to in.
func (s *Server) respond(w http.ResponseWriter, in *received, out *answer) error {
	// The response key follows from the request's bytes; the same bytes may be
	// answered twice, hence a random IV.
	var iv [cpns.IVSize]byte
	if _, err := io.ReadFull(s.rand, iv[:]); err != nil {
		return fmt.Errorf("drawing an initialisation vector: %w", err)
	}
	body, err := cpns.SealResponse(in.psk, in.under.Named(), in.body, iv, &out.response)
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
