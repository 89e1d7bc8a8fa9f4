package step0

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"cpns.example.net/pngw/cpns"
)

// enrolmentJSON is what a gateway asks to be taken in by.
type enrolmentJSON struct {
	Gateway *cpns.GatewayID `json:"gateway_id"`
	Proof   *string         `json:"proof"`
	Model   string          `json:"model"`
	Serial  string          `json:"serial"`
	MACs    []string        `json:"macs"`
}

// enrolledJSON is the answer where it is.
type enrolledJSON struct {
	Gateway string   `json:"gateway_id"`
	CA      string   `json:"ca"`
	Pins    []string `json:"pins"`
}

const (
	maxCA        = 16 << 10
	defaultRetry = 30 * time.Second // between two questions, where the server names no time
)

// try asks the server once, and keeps what it decides. retry is when to ask again,
// where it has answered.
func (e *Enroller) try(ctx context.Context, r *record) (retry time.Duration, answered bool) {
	code := r.pending
	cert, fp, err := r.keys.open()
	if err != nil {
		return e.undecided(r, err.Error(), false), true
	}
	ctx, cancel := context.WithTimeout(ctx, exchanging)
	defer cancel()
	a, err := e.cfg.Exchange(ctx, Question{
		Server: code.Server, Pins: []cpns.Pin{code.Pin}, Certificate: cert, Path: cpns.EnrolmentPath,
		Body: func(export Export) ([]byte, error) { return e.question(code, fp, export) },
	})
	if err != nil {
		e.undecided(r, noAnswer(err), true)
		return 0, false
	}
	p := a.problem()
	switch {
	case a.Status == http.StatusOK:
		enrolled, err := readEnrolled(a, code.Server)
		if err != nil {
			return e.undecided(r, fmt.Sprintf("%s took this gateway in, and what it said of it is of no use: %v", code.Server, err), true), true
		}
		return e.decide(r, enrolled, ""), true
	case a.Status == http.StatusAccepted:
		e.undecided(r, a.waiting(code.Server, fp), false)
	case a.Status == http.StatusTooManyRequests:
		e.undecided(r, code.Server+" asks to wait: "+p.Detail, false)
	case a.Status == http.StatusForbidden && refusal(p.Type):
		return e.decide(r, nil, p.Detail), true
	default:
		e.undecided(r, a.unusual(code.Server).Error(), true)
	}
	if a.RetryAfter > 0 {
		return a.RetryAfter, true
	}
	return defaultRetry, true
}

// waiting says what a gateway waits for that is pending. The server names the key that it
// was shown, which is another's where something in between has a key of its own: nobody
// should approve that one.
func (a *Answer) waiting(server string, fp cpns.SPKIHash) string {
	var in struct {
		Fingerprint string `json:"fingerprint"`
	}
	if err := a.decode(&in); err == nil && in.Fingerprint != "" && in.Fingerprint != fp.Fingerprint() {
		return middle(server, "it was shown the key "+clean(in.Fingerprint)+", which is not this gateway's").Error()
	}
	return "waiting for the operator of " + server + " to approve this gateway"
}

// refusal tells the answers that another try with the same code does not change.
func refusal(kind string) bool {
	return kind == cpns.ProblemCodeUsed || kind == cpns.ProblemCodeExpired || kind == cpns.ProblemEnrolmentRefused
}

// question is the body; the proof in it is good on this connection only.
func (e *Enroller) question(code *cpns.EnrolmentCode, fp cpns.SPKIHash, export Export) ([]byte, error) {
	q := enrolmentJSON{Model: e.cfg.Hints.Model, Serial: e.cfg.Hints.Serial, MACs: e.cfg.Hints.MACs}
	if q.MACs == nil {
		q.MACs = []string{} // null is no array
	}
	if code.ID != "" {
		q.Gateway = &code.ID
	} else if e.cfg.Gateway != "" {
		q.Gateway = &e.cfg.Gateway
	}
	if code.Secret != nil {
		exported, err := export(cpns.ExporterEnrolment, nil, cpns.ExporterSize)
		if err != nil {
			return nil, err
		}
		if len(exported) != cpns.ExporterSize {
			return nil, errors.New("the connection exports too little")
		}
		proof := cpns.EnrolmentProof(code.Secret, fp, (*[cpns.ExporterSize]byte)(exported))
		text := cpns.Base64.EncodeToString(proof[:])
		q.Proof = &text
	}
	body, err := json.Marshal(q)
	if err == nil && len(body) > cpns.MaxEnrolmentBody {
		err = fmt.Errorf("an enrolment of %d bytes", len(body))
	}
	return body, err
}

func readEnrolled(a *Answer, server string) (*Enrolment, error) {
	var in enrolledJSON
	if err := a.decode(&in); err != nil {
		return nil, err
	}
	id, err := cpns.ParseGatewayID(in.Gateway)
	if err != nil {
		return nil, err
	}
	pins, err := parsePins(in.Pins)
	if err != nil {
		return nil, err
	}
	if len(in.CA) > maxCA {
		return nil, fmt.Errorf("a CA of %d bytes", len(in.CA))
	}
	if block, _ := pem.Decode([]byte(in.CA)); block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("a CA that is no certificate")
	}
	return &Enrolment{Gateway: id, Server: server, CA: in.CA, Pins: pins}, nil
}

// undecided notes what came of a try, unless another code was begun meanwhile.
func (e *Enroller) undecided(asked *record, detail string, unreachable bool) time.Duration {
	e.mu.Lock()
	changed := e.last != detail
	if e.record.pending == asked.pending {
		e.tries++
		e.last, e.noReach = detail, unreachable
	}
	e.mu.Unlock()
	if changed {
		e.log.Info("not enrolled yet", "server", asked.pending.Server, "reason", detail)
	}
	return defaultRetry
}

// decide keeps a server's decision. Where it cannot be kept, the server is asked again:
// it says the same.
func (e *Enroller) decide(asked *record, enrolled *Enrolment, refused string) time.Duration {
	e.change.Lock()
	r := e.current()
	if r.pending != asked.pending { // another code was begun meanwhile
		e.change.Unlock()
		return minRetry
	}
	next := *r
	next.pending, next.refused = nil, refused
	if enrolled != nil {
		next.enrolled = enrolled
	} else if refused == "" {
		next.refused = "the server refused, and did not say why"
	}
	err := e.keep(&next)
	e.change.Unlock()
	if err != nil {
		return e.undecided(asked, err.Error(), false)
	}
	if enrolled == nil {
		e.log.Warn("enrolment refused", "server", asked.pending.Server, "reason", next.refused)
		return maxRetry
	}
	e.log.Info("enrolled", "gateway", enrolled.Gateway, "server", enrolled.Server)
	if e.cfg.Enrolled != nil && !reflect.DeepEqual(enrolled, r.enrolled) {
		e.cfg.Enrolled()
	}
	return maxRetry
}
