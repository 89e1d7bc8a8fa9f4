package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/gba"
)

// Run looks at the SIM until ctx ends: what it says of itself, and whether it is still
// the one that the key is of.
func (s *Source) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			s.end()
			return
		}
		if s.take(ctx) != nil {
			continue
		}
		looking, cancel := context.WithTimeout(ctx, atMost)
		_, err := s.look(looking)
		cancel()
		s.give()
		timer.Reset(lookEvery)
		if err != nil {
			timer.Reset(lookAgain)
		}
	}
}

// look asks the SIM who it is, and ends the key of another.
func (s *Source) look(ctx context.Context) (gba.Subscriber, error) {
	who, err := s.cfg.Card.Subscriber(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return who, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := ""
	if err != nil {
		seen = err.Error()
	} else {
		seen = fmt.Sprintf("SIM %s by %s", who.IMSI, s.cfg.Card.Access())
	}
	if seen != s.seen {
		if err != nil {
			s.cfg.Log.Warn("no SIM to bootstrap with", "reason", seen)
		} else {
			s.cfg.Log.Info("SIM", "imsi", who.IMSI, "by", s.cfg.Card.Access())
		}
		s.seen = seen
		if s.fails > 0 { // what failed may be over with what it was about
			s.fails, s.next = 0, time.Time{}
		}
	}
	switch {
	case s.imsi == "":
	case errors.Is(err, gba.ErrNoCard):
		s.cfg.Log.Warn("the SIM is gone, and PSK1 with it")
		s.end()
	case err == nil && who.IMSI != s.imsi:
		s.cfg.Log.Warn("the SIM is another: PSK1 of the one before is over")
		s.end()
		s.history, s.next = [burst]time.Time{}, time.Time{}
	}
	return who, err
}

// begin notes whose SIM the latest key is of. What it returns is closed when that has
// gone; a key before it has the same SIM, and the same channel.
func (s *Source) begin(imsi string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil {
		s.over = make(chan struct{})
	}
	s.imsi = imsi
	return s.over
}

// end ends all keys of the SIM. s.mu is held.
func (s *Source) end() {
	if s.over != nil {
		close(s.over)
	}
	s.over, s.imsi = nil, ""
}
