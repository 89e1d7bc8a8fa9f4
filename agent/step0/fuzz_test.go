package step0

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// FuzzAnswers: whatever a server answers, it is taken or refused, and what is taken is
// within its bounds.
func FuzzAnswers(f *testing.F) {
	f.Add("application/json", []byte(`{"gateway_id":"gw-1","ca":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n","pins":["AAAAAAAAAAAAAAAAAAAAAA"]}`))
	f.Add("application/json; charset=utf-8", []byte(`{"identity":"AAAA","lifetime":604800,"confirmation":"AAAA","pins":[]}`))
	f.Add("application/problem+json", []byte(`{"type":"urn:cpns:code-used","detail":"used"}`))
	e := &Enroller{log: slog.New(slog.DiscardHandler), now: time.Now}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		a := &Answer{Status: 200, Type: kind, Body: body, Export: func(string, []byte, int) ([]byte, error) { return make([]byte, cpns.ExporterSize), nil }}
		if got, err := readEnrolled(a, "h:1"); err == nil {
			if _, err := cpns.ParseGatewayID(string(got.Gateway)); err != nil || len(got.Pins) == 0 || len(got.Pins) > maxPins || len(got.CA) > maxCA {
				t.Errorf("took %+v", got)
			}
			keys, err := newKeyPair()
			if err != nil {
				t.Fatal(err)
			}
			m := oneRecord{}
			if err := (&record{keys: keys, enrolled: got}).save(&m); err != nil {
				t.Fatal(err)
			}
			again, err := load(&m)
			if err != nil || again.enrolled.Gateway != got.Gateway || again.enrolled.CA != got.CA || len(again.enrolled.Pins) != len(got.Pins) {
				t.Errorf("kept %+v, found %+v, %v", got, again, err)
			}
		}
		if psk, _, err := e.readPSK1(a, "h:1", cpns.SPKIHash{}); err == nil && (len(psk.Key) != cpns.ExporterSize || !psk.Renew.Before(psk.Until)) {
			t.Errorf("took %+v", psk)
		}
		if p := a.problem(); len(p.Detail) > maxDetail {
			t.Errorf("shows %d bytes", len(p.Detail))
		}
	})
}

type oneRecord struct{ value []byte }

func (m *oneRecord) Put(_ string, value []byte) error {
	m.value = append([]byte{}, value...)
	return nil
}

func (m *oneRecord) Get(string) ([]byte, error) {
	if m.value == nil {
		return nil, errors.New("none")
	}
	return append([]byte{}, m.value...), nil
}
