package agent

import (
	"maps"
	"slices"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

// maxDiscovered bounds the list of PNEs that nobody asked for: anybody on a
// link can invent Entity IDs. The one heard longest ago makes room.
const maxDiscovered = 128

type discovered struct{ list []sighting }

type sighting struct {
	entity cpns.EntityID
	link   string
	seen   time.Time
	epoch  cpns.Epoch
	index  cpns.Index
	hello  *cpns.Hello
}

func (d *discovered) hello(h *cpns.Hello, link string, now time.Time) {
	s := sighting{h.Entity, link, now, h.Epoch, h.Index, h}
	oldest := 0
	for i := range d.list {
		if d.list[i].entity == h.Entity {
			d.list[i] = s
			return
		}
		if d.list[i].seen.Before(d.list[oldest].seen) {
			oldest = i
		}
	}
	if len(d.list) < maxDiscovered {
		d.list = append(d.list, s)
		return
	}
	d.list[oldest] = s
}

// latest is the latest hello in a PNE's name, nil where none was heard.
func (d *discovered) latest(e cpns.EntityID) *cpns.Hello {
	for i := range d.list {
		if d.list[i].entity == e {
			return d.list[i].hello
		}
	}
	return nil
}

func (d *discovered) forget(e cpns.EntityID) {
	d.list = slices.DeleteFunc(d.list, func(s sighting) bool { return s.entity == e })
}

func (d *discovered) view() []Discovered {
	seen := make(map[cpns.EntityID]Discovered, len(d.list))
	for _, s := range d.list {
		seen[s.entity] = Discovered{s.entity, s.link, life.Stamp(s.seen), s.epoch, s.index}
	}
	view := make([]Discovered, 0, len(seen))
	for _, id := range slices.Sorted(maps.Keys(seen)) { // see List
		view = append(view, seen[id])
	}
	return view
}
