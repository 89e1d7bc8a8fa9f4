package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/agent/signs"
	"cpns.example.net/pngw/board"
)

// signals are the router's lights and its button with what keeps them.
type signals struct {
	keeper *signs.Keeper
	lights []light
	button *board.Button // nil for none
	key    string        // as configured
	serves *agent.Agent  // set by run
}

type light struct {
	name string
	led  *board.LED
}

// newSignals makes what is configured, nil for nothing. A light that is not there may come.
func newSignals(g *config.Gateway, h *board.Hotplug) (*signals, error) {
	if g.LED == "" && g.AlarmLED == "" && g.Button == "" {
		return nil, nil
	}
	router := board.New("/")
	s := &signals{key: g.Button}
	cfg := signs.Config{Window: func(ctx context.Context, d time.Duration) error { return s.serves.Window(ctx, d) }}
	show := func(name string) func(on, off time.Duration) {
		if name == "" {
			return nil
		}
		led := router.NewLED(name, h.Watch("leds"))
		s.lights = append(s.lights, light{name, led})
		return func(on, off time.Duration) { led.Show(board.Pattern{On: on, Off: off}) }
	}
	cfg.Show, cfg.ShowAlarm = show(g.LED), show(g.AlarmLED)
	s.keeper = signs.New(cfg)
	if g.Button != "" {
		cfg, err := buttonConfig(g)
		if err != nil {
			return nil, err
		}
		s.button = router.NewButton(cfg, h)
	}
	return s, nil
}

func buttonConfig(g *config.Gateway) (board.ButtonConfig, error) {
	key, err := board.ParseKey(g.Button)
	return board.ButtonConfig{Key: key, Device: g.ButtonDevice, Hold: g.ButtonHold}, err
}

// warn tells of what is configured and not there. That is no fault: a light may be on
// something that is plugged in later.
func (s *signals) warn(g *config.Gateway, tell func(fault error)) {
	if s == nil {
		return
	}
	router := board.New("/")
	for _, l := range [...]struct{ option, name string }{{"led", g.LED}, {"alarm_led", g.AlarmLED}} {
		if l.name == "" {
			continue
		}
		if _, err := router.FindLED(l.name); err != nil {
			tell(g.Fault(l.option, err))
		}
	}
	if g.Button == "" {
		return
	}
	if cfg, err := buttonConfig(g); err == nil {
		if lacks := router.LacksButton(&cfg); lacks != "" {
			tell(g.Fault("button", fmt.Errorf("%q: %s", g.Button, lacks)))
		}
	}
}

// active is what hears of what is under way, nil for nobody.
func (s *signals) active() func(agent.Activity) {
	if s == nil {
		return nil
	}
	return s.keeper.Active
}

// run keeps them until ctx ends; serves is nil for a gateway without a name, which shows
// nothing.
func (s *signals) run(ctx context.Context, beside *sync.WaitGroup, serves *agent.Agent) {
	if s == nil {
		return
	}
	s.serves = serves
	for _, l := range s.lights {
		beside.Go(func() { l.led.Run(ctx) })
	}
	if s.button != nil {
		beside.Go(func() { s.button.Run(ctx, s.keeper.Press) })
	}
	if serves != nil {
		beside.Go(func() { s.keeper.Run(ctx) })
	}
}

// view is what status tells of them, nil for nothing.
func (s *signals) view() func() *api.Signs {
	if s == nil {
		return nil
	}
	return func() *api.Signs {
		v := &api.Signs{}
		for _, l := range s.lights {
			v.Lights = append(v.Lights, api.Light{Name: l.name, Fault: l.led.Fault()})
		}
		if s.button != nil {
			a, open := s.keeper.State()
			b := &api.Button{Name: s.key, Open: open, Held: a.Held}
			b.Detail, b.Fault = s.button.State()
			v.Button = b
		}
		return v
	}
}
