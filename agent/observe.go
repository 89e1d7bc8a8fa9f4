package agent

import (
	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

// Event is what the router's other software may want to know about a PNE.
type Event struct {
	Kind   EventKind
	Entity cpns.EntityID
	User   cpns.UserID
	Epoch  cpns.Epoch
	Index  cpns.Index // the latest key proved
	Length int        // keys in the set
	Link   string

	// Session is the key that a mutual authentication has left with both
	// sides, nil with every other kind. It is the observer's to wipe.
	Session *cpns.SessionKey
}

// EventKind names an event for hooks and metrics.
type EventKind string

// The events.
const (
	EventAssigned      EventKind = "assigned"      // a set is sealed in the store
	EventDelivered     EventKind = "delivered"     // the PNE has proved a key
	EventAuthenticated EventKind = "authenticated" // both sides have proved themselves
	EventUsedUp        EventKind = "used_up"       // the last key of the set is proved
	EventAlarm         EventKind = "alarm"         // rolled back or cloned
	EventGone          EventKind = "gone"          // forgotten here
)

// observe hands an event about a PNE's newest set to whoever was configured to hear it.
func (a *Agent) observe(kind EventKind, e *entry, link string) {
	v := e.View()
	a.observeNews(kind, e, life.News{Epoch: v.Epoch, Index: v.Index, Length: v.Length}, link)
}

// observeNews hands on a piece of news, about the set that it names.
func (a *Agent) observeNews(kind EventKind, e *entry, n life.News, link string) {
	if a.cfg.Observe != nil {
		a.cfg.Observe(Event{Kind: kind, Entity: e.Entity(), User: e.View().User, Epoch: n.Epoch, Index: n.Index, Length: n.Length, Link: link, Session: n.Key})
	}
}
