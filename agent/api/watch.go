package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

// Happening is one line of GET /v1/events: something that has happened just now.
type Happening struct {
	Time   string          `json:"time"`  // RFC 3339 UTC
	Event  agent.EventKind `json:"event"` // one of the agent's, or one of those below
	Entity cpns.EntityID   `json:"entity_id,omitempty"`
	User   cpns.UserID     `json:"user,omitempty"`
	Epoch  cpns.Epoch      `json:"epoch,omitempty"`
	Index  cpns.Index      `json:"index,omitempty"`
	Length int             `json:"length,omitempty"`
	Link   string          `json:"link,omitempty"`
	Detail string          `json:"detail,omitempty"`
}

// Events that are seen by looking, once a second.
const (
	EventDiscovered agent.EventKind = "discovered" // a device that nobody asked for has said hello
	EventLinkUp     agent.EventKind = "link_up"
	EventLinkDown   agent.EventKind = "link_down"
	EventMissed     agent.EventKind = "missed" // the reader was too slow: Detail says for how many
)

// kinds are all kinds of event that the agent tells.
var kinds = [...]agent.EventKind{agent.EventAssigned, agent.EventDelivered, agent.EventAuthenticated, agent.EventUsedUp, agent.EventAlarm, agent.EventGone}

// Events counts the agent's events since the start, and hands them to who watches. The
// zero value is at 0.
type Events struct {
	n [len(kinds)]atomic.Int64

	mu       sync.Mutex
	watchers map[*watcher]bool
}

// watcher is who reads GET /v1/events.
type watcher struct {
	events chan Happening
	missed atomic.Int64
}

// maxUnread bounds what waits for a watcher.
const maxUnread = 256

// Observe counts an event and hands it on. It never blocks, and has no use for a key.
func (e *Events) Observe(ev agent.Event, now time.Time) {
	for i, k := range kinds {
		if k == ev.Kind {
			e.n[i].Add(1)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := range e.watchers {
		select {
		case w.events <- Happening{stamp(now), ev.Kind, ev.Entity, ev.User, ev.Epoch, ev.Index, ev.Length, ev.Link, ""}:
		default:
			w.missed.Add(1)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (e *Events) counts() map[agent.EventKind]int64 {
	counts := map[agent.EventKind]int64{}
	for i, k := range kinds {
		counts[k] = e.n[i].Load()
	}
	return counts
}

func (e *Events) watch() (w *watcher, end func()) {
	w = &watcher{events: make(chan Happening, maxUnread)}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watchers == nil {
		e.watchers = map[*watcher]bool{}
	}
	e.watchers[w] = true
	return w, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.watchers, w)
	}
}

// lookTick is how often links and discovered devices are looked at.
const lookTick = time.Second

// events answers with what happens, a line each, until the client goes away.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	watcher, end := s.Events.watch()
	defer end()
	lines := newStream(w, cancel)
	look := &looker{s: s}
	look.look(ctx, func(Happening) {}) // what is there already has not happened now
	w.WriteHeader(http.StatusOK)
	lines.err = lines.control.Flush()
	tick := time.NewTicker(lookTick)
	defer tick.Stop()
	for lines.err == nil && ctx.Err() == nil {
		if n := watcher.missed.Swap(0); n > 0 {
			lines.write(Happening{Time: s.stamp(), Event: EventMissed, Detail: fmt.Sprintf("%d events came too fast to be told", n)})
		}
		select {
		case h := <-watcher.events:
			lines.write(h)
		case <-tick.C:
			look.look(ctx, func(h Happening) { lines.write(h) })
		case <-ctx.Done():
		}
	}
	lines.end(r, nil)
}

func (s *Server) stamp() string {
	now := time.Now()
	if s.Clock != nil {
		now, _ = s.Clock.Now()
	}
	return stamp(now)
}

// looker finds out what has changed since it looked last.
type looker struct {
	s     *Server
	links map[string]string
	found map[cpns.EntityID]bool
}

func (l *looker) look(ctx context.Context, tell func(Happening)) {
	links := map[string]string{}
	for _, link := range l.s.allLinks() {
		links[link.Name] = link.State
		if before, known := l.links[link.Name]; known && before != link.State {
			kind := EventLinkDown
			if link.State == "up" {
				kind = EventLinkUp
			}
			tell(Happening{Time: l.s.stamp(), Event: kind, Link: link.Name, Detail: link.Detail})
		}
	}
	l.links = links
	list, err := l.s.Agent.Discovered(ctx)
	if err != nil {
		return // the agent ends, and the stream with it
	}
	found := map[cpns.EntityID]bool{}
	for _, d := range list {
		found[d.Entity] = true
		if !l.found[d.Entity] {
			tell(Happening{Time: l.s.stamp(), Event: EventDiscovered, Entity: d.Entity, Link: d.Link, Epoch: d.Epoch, Index: d.Index})
		}
	}
	l.found = found
}

// Watch tells what happens until ctx ends.
func (c *Client) Watch(ctx context.Context, tell func(Happening)) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	err = readStream(bufio.NewReader(resp.Body), func(_ lineKind, line []byte) error {
		var h Happening
		if err := json.Unmarshal(line, &h); err != nil {
			return fmt.Errorf("reading an event: %w", err)
		}
		tell(h)
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
