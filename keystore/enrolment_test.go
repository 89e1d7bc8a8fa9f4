package keystore

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"

	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/cpns"
)

// A taker is a CPNS Server that takes every gateway in, and remembers their keys.
type taker struct {
	asked map[string]bool // fingerprints of gateways
	pins  string          // that it gives with a PSK1
	heard func(fp string) // nil for nobody
}

const newPins = "BAAAAAAAAAAAAAAAAAAAAA"

const takersCA = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

func (s *taker) exchange(_ context.Context, q step0.Question) (*step0.Answer, error) {
	shown, err := x509.ParseCertificate(q.Certificate.Certificate[0])
	if err != nil {
		return nil, err
	}
	fp := cpns.HashSPKI(shown.RawSubjectPublicKeyInfo).Fingerprint()
	s.asked[fp] = true
	if s.heard != nil {
		s.heard(fp)
	}
	exported := func(string, []byte, int) ([]byte, error) { return make([]byte, cpns.ExporterSize), nil }
	var answer any = map[string]any{"gateway_id": "gw-1", "ca": takersCA, "pins": []string{"AAAAAAAAAAAAAAAAAAAAAA"}}
	if q.Path == cpns.PSK1Path {
		c := cpns.Confirmation(make(cpns.PSK1, cpns.ExporterSize), "an-identity")
		answer = map[string]any{"identity": "an-identity", "lifetime": 600, "confirmation": cpns.Base64.EncodeToString(c[:]), "pins": []string{s.pins}}
	} else if _, err := q.Body(exported); err != nil {
		return nil, err
	}
	body, err := json.Marshal(answer)
	return &step0.Answer{Status: 200, Type: "application/json", Body: body, Export: exported}, err
}

// enrol does it all over a store, as far as that lets it: a code is taken up, a server
// takes the gateway in, and a PSK1 brings new pins.
func (s *taker) enrol(t *testing.T, store *Store) (is step0.Status) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e, err := step0.New(step0.Config{Store: store, Exchange: s.exchange, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if e.Status().State == step0.StateNone {
			if err := e.Begin(&cpns.EnrolmentCode{Server: "h:1", Secret: &cpns.EnrolmentSecret{1}}, false); err != nil {
				if len(s.asked) > 0 {
					t.Error("a server has been asked for a key that is not kept")
				}
				is = e.Status()
				return
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.Run(ctx) })
		synctest.Wait()
		if e.Status().State == step0.StateEnrolled {
			if _, err := e.PSK1(ctx); err != nil {
				t.Errorf("no PSK1: %v", err)
			}
		}
		cancel()
		running.Wait()
		is = e.Status()
	})
	return is
}

// wantResumable checks what a fault or a power cut has left: nothing, where no server has
// been asked; else the key pair that it was asked for, and with it the gateway is
// enrolled in the end, whatever else there was.
func (s *taker) wantResumable(t *testing.T, store *Store) {
	t.Helper()
	e, err := step0.New(step0.Config{Store: store, Exchange: s.exchange, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Errorf("the gateway does not start: %v", err)
		return
	}
	left := e.Status()
	if left.State == step0.StateNone && len(s.asked) > 0 || left.State != step0.StateNone && len(s.asked) > 0 && !s.asked[left.Fingerprint] {
		t.Errorf("left is %+v; the server knows %v", left, s.asked)
	}
	asked := maps.Clone(s.asked)
	end := (&taker{asked: asked, pins: s.pins}).enrol(t, store)
	if end.State != step0.StateEnrolled || end.Gateway != "gw-1" || len(asked) != 1 || cpns.Base64.EncodeToString(end.Pins[0][:]) != newPins {
		t.Errorf("in the end %+v; the server knows %v", end, asked)
	}
}

// TestEnrolmentFaults: with every system call failing that the store makes on the way,
// the gateway is enrolled or goes on with the same key pair.
func TestEnrolmentFaults(t *testing.T) {
	calls := eachFault(t, func(t *testing.T, d *faultyDisk) {
		server := &taker{asked: map[string]bool{}, pins: newPins}
		s := newStore(t)
		server.heard = func(fp string) { // whatever comes now, the gateway has that key
			now, err := Open(lay(t, image(record(t, s.folder.path).names)), &testSecret)
			if err != nil {
				t.Fatal(err)
			}
			defer now.Close()
			e, err := step0.New(step0.Config{Store: now, Exchange: server.exchange, Log: slog.New(slog.DiscardHandler)})
			if err != nil || e.Status().Fingerprint != fp {
				t.Errorf("asked with key %s, and what is kept is %v, %v", fp, e.Status(), err)
			}
		}
		back := s.on(d)
		server.enrol(t, s)
		back()
		server.wantResumable(t, reopen(t, s))
	})
	if calls < 3 {
		t.Errorf("only %d system calls: code, enrolment and pins are all kept", calls)
	}
}

// TestEnrolmentPowerCuts: the same with the power cut behind each of them.
func TestEnrolmentPowerCuts(t *testing.T) {
	s := newStore(t)
	r := record(t, s.folder.path)
	before := maps.Clone(r.names)
	back := s.on(r)
	first := -1 // events that were behind when the server was first asked
	server := &taker{asked: map[string]bool{}, pins: newPins, heard: func(string) {
		if first < 0 {
			first = len(r.events)
		}
	}}
	if is := server.enrol(t, s); is.State != step0.StateEnrolled {
		t.Fatalf("%+v", is)
	}
	back()
	images := 0
	for n := range len(r.events) + 1 {
		for _, image := range powerCuts(before, r.events[:n]) {
			images++
			knew := &taker{asked: map[string]bool{}, pins: newPins}
			if n >= first {
				knew.asked = server.asked
			}
			left, err := Open(lay(t, image), &testSecret)
			if err != nil {
				t.Fatal(err)
			}
			knew.wantResumable(t, left)
			left.Close()
			if t.Failed() {
				t.Fatalf("after a power cut behind event %d of %d", n, len(r.events))
			}
		}
	}
	t.Logf("%d folders after power cuts behind %d events; the server was asked behind event %d", images, len(r.events), first)
}
