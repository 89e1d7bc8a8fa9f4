package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/gba"
	"cpns.example.net/pngw/scripts/gbalab/lab"
)

// rig is a gateway's SIM, and its operator.
type rig struct {
	t      *testing.T
	sims   []*lab.Subscriber
	modem  lab.Modem
	bsf    *lab.BSF
	asked  atomic.Int32 // requests that the BSF got
	down   atomic.Bool  // it answers nothing
	clock  clock
	source *Source
}

// clock is what the router believes.
type clock struct{ wrong atomic.Bool }

func (c *clock) Now() (time.Time, bool) {
	if c.wrong.Load() {
		return time.Unix(86400, 0), false
	}
	return time.Now(), true
}

const subscribers = `[
 {"imsi":"001010123456789","impi":"001010123456789@ims.mnc001.mcc001.3gppnetwork.org","k":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","opc":"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5","amf":"8000","sqn":64},
 {"imsi":"001010000000002","impi":"001010000000002@ims.mnc001.mcc001.3gppnetwork.org","k":"6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b","opc":"b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6","amf":"8000","sqn":64}]`

var nafID = gba.NAFID("cpns.example.net", [5]byte{3, 0, 0, 0, 1})

func newRig(t *testing.T) *rig {
	t.Helper()
	file := filepath.Join(t.TempDir(), "subscribers")
	err := os.WriteFile(file, []byte(subscribers), 0o600)
	r := &rig{t: t}
	var loadErr error
	r.sims, loadErr = lab.LoadSubscribers(file)
	if err := errors.Join(err, loadErr); err != nil {
		t.Fatal(err)
	}
	r.modem.SIM = r.sims[0]
	r.bsf = lab.NewBSF("bsf.example", 3*time.Hour, r.sims)
	r.source = New(Config{
		Card: &gba.Modem{Open: func(context.Context) (gba.Port, error) {
			here, there := net.Pipe()
			go func() { r.modem.Serve(there); there.Close() }()
			return here, nil
		}},
		BSF: "http://bsf.example", NAFID: nafID, Clock: &r.clock, HTTP: &http.Client{Transport: r}, Log: slog.New(slog.DiscardHandler),
	})
	return r
}

// RoundTrip is the way to the BSF.
func (r *rig) RoundTrip(req *http.Request) (*http.Response, error) {
	r.asked.Add(1)
	if r.down.Load() {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	w := httptest.NewRecorder()
	r.bsf.Ub(w, req)
	return w.Result(), nil
}

// run looks at the SIM until the test ends.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.source.Run(ctx) })
	r.t.Cleanup(func() { cancel(); running.Wait() })
	synctest.Wait()
}

func (r *rig) want() *agent.PSK {
	r.t.Helper()
	psk, err := r.source.PSK1(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return psk
}

func (r *rig) wantError(text string) {
	r.t.Helper()
	psk, err := r.source.PSK1(r.t.Context())
	var wait *agent.PSKWaitError
	if !errors.As(err, &wait) || !strings.Contains(err.Error(), text) {
		r.t.Errorf("got %v, %v, want %q", psk, err, text)
	}
}

func isOver(p *agent.PSK) bool {
	select {
	case <-p.Over:
		return true
	default:
		return false
	}
}

// TestPSK1: the BSF tells the NAF the same key under the same name.
func TestPSK1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		began := time.Now()
		psk := r.want()
		w := httptest.NewRecorder()
		question := fmt.Sprintf(`{"btId":%q,"nafId":{"nafFqdn":"cpns.example.net","uaSecProtId":"0300000001"},"gbaUAware":false}`, psk.Identity)
		r.bsf.Nbsp(w, httptest.NewRequest(http.MethodPost, lab.RetrievalPath, strings.NewReader(question)))
		var answer struct {
			Key  string    `json:"meKeyMaterial"`
			Ends time.Time `json:"keyExpiryTime"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || fmt.Sprintf("%x", []byte(psk.Key)) != answer.Key {
			t.Errorf("the NAF has another key: %d %s, %v", w.Code, w.Body, err)
		}
		renew := psk.Renew.Sub(began)
		if !psk.Until.Equal(answer.Ends) || renew < 107*time.Minute || renew > 133*time.Minute || isOver(psk) {
			t.Errorf("good until %s of %s, another after %s", psk.Until, answer.Ends, renew)
		}
		if got, want := r.source.Detail(), "SIM 001010123456789 by AT+CCHO"; got != want {
			t.Errorf("detail %q, want %q", got, want)
		}
	})
}

// TestTrouble: each kind is said in words, nobody is asked again at once, and it
// passes.
func TestTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*rig)
		want   string
	}{
		"PIN":          {func(r *rig) { r.modem.Behave(lab.Quirks{CPIN: "SIM PIN"}) }, "locked by its PIN"},
		"PUK":          {func(r *rig) { r.modem.Behave(lab.Quirks{CPIN: "SIM PUK"}) }, "locked by its PUK"},
		"no card":      {func(r *rig) { r.modem.Insert(nil) }, "there is no SIM in it"},
		"SIM failure":  {func(r *rig) { r.modem.Behave(lab.Quirks{CME: "13"}) }, "the SIM has failed (error 13)"},
		"busy":         {func(r *rig) { r.modem.Behave(lab.Quirks{Busy: 100}) }, "the SIM is busy (error 14)"},
		"ERROR":        {func(r *rig) { r.modem.Behave(lab.Quirks{NoCSIM: true}) }, "knows neither AT+CCHO nor AT+CSIM"},
		"silent modem": {func(r *rig) { r.modem.Behave(lab.Quirks{Silent: true}) }, "it says nothing for 10s"},
		"silent BSF":   {func(r *rig) { r.down.Store(true) }, "asking the BSF http://bsf.example: it says nothing for 30s"},
		"short key":    {func(r *rig) { r.bsf.Lifetime = 8 * time.Second }, "good for 8s only"},
		"key over":     {func(r *rig) { r.bsf.Lifetime = -time.Hour }, "is the router's clock right?"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				test.change(r)
				r.run()
				r.wantError(test.want)
				asked := r.asked.Load()
				r.wantError(test.want) // held back: the same text
				if again := r.asked.Load(); again != asked {
					t.Errorf("the BSF is asked %d times at once", again-asked)
				}
				r.modem.Behave(lab.Quirks{})
				r.modem.Insert(r.sims[0])
				r.down.Store(false)
				r.bsf.Lifetime = time.Hour
				time.Sleep(failFirst)
				r.want()
			})
		})
	}
}

// TestRepaired: where the SIM is found well again nobody has to wait for what failed
// before.
func TestRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.modem.Insert(nil)
		for range 10 {
			r.wantError("there is no SIM in it")
			time.Sleep(failLast)
		}
		r.run()
		r.wantError("there is no SIM in it")
		r.modem.Insert(r.sims[0])
		time.Sleep(lookAgain)
		synctest.Wait()
		r.want()
	})
}

// TestClock: in 1970 nobody is asked.
func TestClock(t *testing.T) {
	r := newRig(t)
	r.clock.wrong.Store(true)
	r.wantError("the router's clock says 1970-01-02T00:00:00Z, which is in the past: waiting for NTP")
	if r.asked.Load() != 0 {
		t.Error("the BSF was asked")
	}
	r.clock.wrong.Store(false)
	r.want()
}

// TestCardChanged: the key of a SIM that is exchanged or pulled out is over, and so is
// what was got before it; that of one that cannot be asked for a while is not.
func TestCardChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		look := func() { time.Sleep(lookEvery); synctest.Wait() }
		first, second := r.want(), r.want()
		r.modem.Behave(lab.Quirks{CPIN: "SIM PIN"})
		look()
		if isOver(first) || isOver(second) || !strings.Contains(r.source.Detail(), "locked by its PIN") {
			t.Errorf("over because of a PIN, or %q", r.source.Detail())
		}
		r.modem.Behave(lab.Quirks{})
		look()
		if isOver(first) || isOver(second) {
			t.Error("over, with the same SIM")
		}
		r.modem.Insert(r.sims[1])
		look()
		if !isOver(first) || !isOver(second) {
			t.Error("not over, with another SIM")
		}
		third := r.want()
		r.modem.Insert(nil)
		look()
		if !isOver(third) || !strings.Contains(r.source.Detail(), "there is no SIM in it") {
			t.Errorf("not over, without a SIM, or %q", r.source.Detail())
		}
		// Exchanged and asked before anybody has looked.
		r.modem.Insert(r.sims[0])
		fourth := r.want()
		r.modem.Insert(r.sims[1])
		fifth := r.want()
		if !isOver(fourth) || isOver(fifth) {
			t.Error("of two SIMs' keys the wrong one is over")
		}
	})
}

// TestNoLoop: a server that takes none of the keys does not have the operator make
// them without an end.
func TestNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range burst {
			r.want()
		}
		asked := r.asked.Load()
		r.wantError("bootstrapped too often within 10m0s; if the server refuses the keys, compare its --ua")
		if r.asked.Load() != asked {
			t.Error("the BSF was asked")
		}
		time.Sleep(burstWithin)
		r.want()
	})
}

// TestStop: a stop ends each step at once, and is no failure of the SIM's.
func TestStop(t *testing.T) {
	for name, change := range map[string]func(*rig){
		"modem says nothing": func(r *rig) { r.modem.Behave(lab.Quirks{Silent: true}) },
		"modem dies":         func(r *rig) { r.modem.Behave(lab.Quirks{Dies: "AT+CGLA"}) },
		"modem is busy":      func(r *rig) { r.modem.Behave(lab.Quirks{Busy: 1000}) },
		"BSF says nothing":   func(r *rig) { r.down.Store(true) },
		"another uses it":    func(r *rig) { r.source.turn <- struct{}{} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				change(r)
				ctx, cancel := context.WithCancel(t.Context())
				var err error
				ended := make(chan struct{})
				go func() { _, err = r.source.PSK1(ctx); close(ended) }()
				time.Sleep(500 * time.Millisecond)
				synctest.Wait()
				began := time.Now()
				cancel()
				<-ended
				if took := time.Since(began); took > closing || !errors.Is(err, context.Canceled) {
					t.Errorf("%v after %s", err, took)
				}
				if r.source.fails != 0 {
					t.Error("a stop counts as a failure")
				}
			})
		})
	}
}

// closing is what package gba takes at most to leave a SIM as it was.
const closing = 2 * time.Second
