package agent

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/internal/logtest"
	"cpns.example.net/pngw/transport"
)

// A device that has another Temporary Key than the server says: who asked for it is
// told at once, the log once, and the list and the outcome as long as it is so.
func TestWrongTK(t *testing.T) {
	p := newParty(t)
	p.importPNE("pne-1")
	gw, dev := transport.NewPair("wire", "device")
	var log logtest.Buffer
	g := p.gatewayWith(func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) }, gw)
	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: make(cpns.TK, 16)})
	steps, out := g.provision(goodPassword, 4*time.Second, "pne-1")
	if !slices.Contains(steps, StepDeviceRefused) {
		t.Errorf("steps %v", steps)
	}
	if o := out[0]; o.Result != ResultAssigned || !strings.Contains(o.Detail, "another Temporary Key") || !strings.Contains(o.Advice, "set-tk") {
		t.Errorf("outcome %+v", o)
	}
	for range 20 {
		if err := g.do(t.Context(), func() {
			g.step(g.pnes["pne-1"], life.AskForHello{}, "", g.send)
		}); err != nil {
			t.Fatal(err)
		}
	}
	v, err := g.Show(t.Context(), "pne-1")
	if err != nil || v.TagFault != TagNeverGood || v.LastSeen != "" || v.State != StateAssigned {
		t.Errorf("shown %+v, %v", v, err)
	}
	if n := log.Count("not under its Temporary Key"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
