package server

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"cpns.example.net/pngw/cpns"
)

// A problem is an answer in plain HTTP: problem details as JSON (RFC 9457). It
// goes to whoever sent the request and holds nothing that is not in the protocol.
type problem struct {
	status     int
	kind       string // a URN that programs tell it by, "" for none
	detail     string
	retryAfter time.Duration
	gateway    cpns.GatewayID // whose request it was, where PSK1 has shown that
}

func (p *problem) Error() string { return http.StatusText(p.status) + ": " + p.detail }

func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch p.status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusUnauthorized:
		// RFC 9110 asks for a challenge; no registered scheme fits.
		h.Set("WWW-Authenticate", "CPNS-PSK1")
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", seconds(p.retryAfter))
	}
	w.WriteHeader(p.status)
	json.NewEncoder(w).Encode(struct {
		Type   string `json:"type,omitempty"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{p.kind, http.StatusText(p.status), p.status, p.detail})
}

// What is told in more than one place.
var (
	errUnauthorized = &problem{status: http.StatusUnauthorized, detail: "no PSK1 of that identity opens the body"}
	errUnavailable  = &problem{
		status:     http.StatusServiceUnavailable,
		detail:     "the server cannot answer at the moment: send the same request again",
		retryAfter: retryStore,
	}
)

// fail answers a request that failed. The budget of the sender's address pays for the
// sender's errors, and if that is used up the answer says nothing else. Errors of the
// server, or of a bootstrapping server, are logged and answered by 503.
func (s *Server) fail(w http.ResponseWriter, v *visit, err error) {
	p, isProblem := errors.AsType[*problem](err)
	own := isProblem && p.status == http.StatusServiceUnavailable
	owed := v.stake == nil && v.owes > 0
	s.settle(v, isProblem && !own)
	switch {
	case own: // in the log already
	case isProblem && p.gateway != "":
		s.tally.gatewayOver.Add(1)
		s.logNoise(noiseGateway, "status", p.status, "detail", p.detail, "gateway", p.gateway, "remote", v.from)
	case isProblem && owed:
		s.tally.addressOver.Add(1)
		p = &problem{status: http.StatusTooManyRequests, detail: "this address sent too many requests that were refused", retryAfter: v.owes}
		// To go on costs it another connection.
		w.Header().Set("Connection", "close")
		fallthrough
	case isProblem:
		s.logNoise(noiseRefused, "status", p.status, "detail", p.detail, "remote", v.from)
	case errors.Is(err, context.Canceled):
		s.logNoise(noiseEnded, "remote", v.from)
		p = errUnavailable
	default:
		s.log.Error("request failed", "error", err, "remote", v.from)
		p = errUnavailable
	}
	s.tally.problem(p.status)
	p.write(w)
}

// checkHeader refuses what cannot be a request before its body is read.
func checkHeader(r *http.Request) error {
	if r.Method != http.MethodPost {
		return &problem{status: http.StatusMethodNotAllowed, detail: "an EUKey Assignment Request is a POST"}
	}
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/cose" || params["cose-type"] != "cose-encrypt0" || r.Header.Get("Content-Encoding") != "" {
		return &problem{status: http.StatusUnsupportedMediaType, detail: "an EUKey Assignment Request has the type " + cpns.ContentType + " and no encoding"}
	}
	if r.ContentLength > cpns.MaxRequestBody {
		return errTooLarge
	}
	return nil
}

var errTooLarge = &problem{
	status: http.StatusRequestEntityTooLarge,
	detail: "an EUKey Assignment Request has at most " + strconv.Itoa(cpns.MaxRequestBody) + " bytes",
}

// bodyProblem is why a body could not be read.
func bodyProblem(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return errTooLarge
	}
	return &problem{status: http.StatusBadRequest, detail: "the body ended early or came too slowly"}
}

// remoteAddr is the address that the request came from, as far as configured
// proxies say.
func (s *Server) remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return s.forwarders.forwardedFor(r.Header, ap.Addr().Unmap().WithZone(""))
}

// seconds rounds up: who waits that long has waited long enough.
func seconds(d time.Duration) string {
	return strconv.Itoa(int(math.Ceil(d.Seconds())))
}
