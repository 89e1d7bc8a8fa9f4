package agent

import (
	"context"
	"time"

	"cpns.example.net/pngw/agent/life"
)

// Activity is what is under way, for who shows it by a light.
type Activity struct {
	Alarms    int       // PNEs that were rolled back or cloned
	Awaited   int       // PNEs that a key waits for, since a short time
	Offered   int       // PNEs that have been sent a key and have not answered yet
	Held      int       // PNEs whose first key waits for a Window
	Delivered int       // keys proved since the start
	Until     time.Time // when the Window that was opened last is over
}

// counts are what one PNE adds to an Activity.
type counts struct{ alarmed, awaited, offered, held bool }

// count brings the Activity up to date with what a PNE has become.
func (a *Agent) count(e *entry) {
	a.add(e, counts{e.Alarmed(), e.Awaited(), e.Offered(), e.Held()})
}

// uncount takes out a PNE that is served no more.
func (a *Agent) uncount(e *entry) { a.add(e, counts{}) }

func (a *Agent) add(e *entry, now counts) {
	was := e.counts
	e.counts = now
	for _, c := range [...]struct {
		n        *int
		was, now bool
	}{
		{&a.active.Alarms, was.alarmed, now.alarmed}, {&a.active.Awaited, was.awaited, now.awaited},
		{&a.active.Offered, was.offered, now.offered}, {&a.active.Held, was.held, now.held},
	} {
		if c.now && !c.was {
			*c.n++
		} else if c.was && !c.now {
			*c.n--
		}
	}
}

func (a *Agent) tellActive() {
	if a.cfg.Active != nil && a.active != a.told {
		a.told = a.active
		a.cfg.Active(a.active)
	}
}

// Window has PNEs that are held get their first keys for d from now on, and asks all
// of them to say hello. It ends by itself. Whoever calls it stands at the gateway.
func (a *Agent) Window(ctx context.Context, d time.Duration) error {
	return a.do(ctx, func() {
		a.openUntil = time.Now().Add(d)
		a.active.Until = a.openUntil
		a.log.Info("the window is open: devices that were kept for it get their keys", "devices", a.active.Held, "for", d)
		for _, e := range a.pnes {
			if e.Held() && !e.held() { // one whose record is on its way says hello by itself, or at the next press
				a.step(e, life.Opened{}, "", a.send) // stores nothing
			}
		}
	})
}
