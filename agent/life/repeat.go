package life

import (
	"time"

	"cpns.example.net/pngw/cpns"
)

// sends is how often the same bytes are sent in total before the gateway gives up
// (section 5).
const sends = 5

// X25519Wait is the shortest first wait after a notification to a hello with an X25519
// key, because a microcontroller needs time to compute with one.
const X25519Wait = 2 * time.Second

// repeat is a message that waits for its answer and is repeated until then. The zero
// value means that there is none.
type repeat struct {
	Outgoing
	sent int           // how often it was sent
	base time.Duration // the wait for the answer before randomisation, doubled at each repeat
	line time.Duration // by how much each wait is longer on a slow line
	wait time.Duration // the wait as drawn at random
	due  time.Time
}

// startRepeat sends m and starts to wait for its answer, the first time for atLeast or longer.
func (p *PNE) startRepeat(r *repeat, m Outgoing, atLeast time.Duration, w World) Outgoing {
	*r = repeat{Outgoing: m, base: max(w.Wait(m.Link), atLeast), line: w.line(m.Link)}
	return p.sendRepeat(r, w)
}

// sendRepeat sends the message once more. The first time it is sent on the PNE's link if
// that is known, later on all links: a link may have failed in one direction, or be an
// attacker's who only copies there what the PNE said on another.
func (p *PNE) sendRepeat(r *repeat, w World) Outgoing {
	if r.sent > 0 {
		r.Link = ""
		r.base *= 2
	}
	r.sent++
	p.mem.tickets++
	r.Ticket = p.mem.tickets
	r.wait = drawn(r.base, w.Chance+r.Ticket) + r.line
	r.due = w.Now.Add(r.wait)
	return r.Outgoing
}

func (w *World) line(link string) time.Duration {
	if w.Line == nil {
		return 0
	}
	return w.Line(link)
}

// queued reports whether the message waits for its turn on a link: a line that many speak on
// can be busy for longer than the wait for an answer. The schedule counts what leaves.
func (r *repeat) queued(w World) bool { return w.Queued != nil && w.Queued(r.Ticket) }

// open reports whether an answer is waited for.
func (r *repeat) open() bool { return !r.due.IsZero() }

// repeats are all that may be open, in the order in which they are sent.
func (m *memory) repeats() []*repeat {
	return []*repeat{&m.identify, &m.notify.repeat, &m.challenge.repeat, &m.update.repeat}
}

// sent restarts the wait for an answer when the message's last byte has been sent.
func (p PNE) sent(ticket uint64, w World) PNE {
	for _, r := range p.mem.repeats() {
		if r.open() && r.Ticket == ticket {
			if due := w.Now.Add(r.wait); due.After(r.due) {
				r.due = due
			}
		}
	}
	return p
}

// drawn is d within ±25 %.
func drawn(d time.Duration, chance uint64) time.Duration {
	return d - d/4 + portion(d/2, chance*0x9e3779b97f4a7c15)
}

// portion is d times chance, which is 0 to (all but) 1.
func portion(d time.Duration, chance uint64) time.Duration {
	return time.Duration(float64(d) * (float64(chance>>11) / (1 << 53)))
}

// Identifies to a PNE for which a key waits: at doubling intervals, and then
// regularly, until it has proved the key.
const (
	pollFirst = time.Minute
	pollLast  = 15 * time.Minute
)

// polling is when the next of those identifies is due. The zero value means never.
type polling struct {
	wait time.Duration
	due  time.Time
}

// pollNext sets when the next identify is due, with some randomness so that PNEs do not
// all answer at the same time; never, if no key waits.
func (p *PNE) pollNext(wait time.Duration, w World) {
	p.mem.poll = polling{}
	if p.pending() && !p.closed(w) {
		p.mem.poll = polling{wait: wait, due: w.Now.Add(wait - wait/8 + portion(wait/4, w.Chance))}
	}
}

// closed reports whether the PNE gets no key for now: its first waits for the button.
func (p PNE) closed(w World) bool { return p.rec.held && !w.Open }

// openedWait is the time until a held PNE is asked a second time after the window has
// opened. In its two minutes there is time for three more.
const openedWait = 5 * time.Second

// opened asks a PNE that was held to say hello, as poll does: there may be many.
func (p PNE) opened(w World) (PNE, []Effect) {
	if p.rec.held {
		p.mem.poll.wait = openedWait
		return p.poll(w)
	}
	return p, nil
}

// poll asks the PNE once more to say hello, unless it is asked just now.
func (p PNE) poll(w World) (PNE, []Effect) {
	wait := min(2*p.mem.poll.wait, pollLast)
	p.pollNext(wait, w)
	if !p.mem.poll.due.IsZero() && !p.mem.identify.open() && !p.mem.notify.open() {
		return p, []Effect{Outgoing{To: p.rec.entity, Wire: identifyFor(p.rec.entity), Poll: true}}
	}
	return p, nil
}

// askForHello sends an identify for this PNE on every link. A key can only be sent in
// answer to a hello, which proves to the PNE that the notification is fresh.
func (p PNE) askForHello(w World) (PNE, []Effect) {
	if p.closed(w) {
		return p, nil
	}
	out := p.startRepeat(&p.mem.identify, Outgoing{To: p.rec.entity, Wire: identifyFor(p.rec.entity), Identify: true}, 0, w)
	return p, []Effect{out}
}

func identifyFor(e cpns.EntityID) []byte { return encode(&cpns.Identify{Entity: e}) }

// encode is for messages that are made of checked parts.
func encode(m cpns.Message) []byte {
	wire, err := m.Marshal()
	if err != nil {
		panic("life: a message of checked parts does not encode: " + err.Error())
	}
	return wire
}
