package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// Queue lengths of a port, in messages of at most 512 bytes each. Received messages
// wait in the link itself while inLength are queued, or the agent has maxUnanswered to
// answer. A message to be sent is dropped, and repeated later, while outLength are
// queued; answers to received messages are never dropped.
const (
	inLength      = 16
	outLength     = 64
	maxUnanswered = 128
)

// streamRoom is how many messages may wait on a byte stream while more is begun.
const streamRoom = 4

// sendTimeout bounds one message's time on a link: 512 bytes take 45 ms at
// 115200 baud and 4.3 s at 1200.
const sendTimeout = 10 * time.Second

// port connects a link with the agent. Messages are decoded and sent in the port's own
// goroutine, so that a slow link delays nothing else.
type port struct {
	link    transport.Link
	in      chan transport.Message
	out     chan life.Outgoing
	answers chan answer // to what was handed to the agent
	up      chan struct{}
	junk    chan struct{} // something came in that was no message

	unanswered int          // messages that the agent has not answered; for the port's goroutine only
	waiting    atomic.Int32 // on a byte stream: messages that wait for their turn, besides those in out

	polled time.Time // when all PNEs were last asked to say hello; for the agent's goroutine only
}

// room reports whether the gateway may start another exchange on the link. On a byte
// stream only one exchange is possible at a time, and one with a PNE that has gone
// blocks the line until it times out. Starting one for each of many PNEs would delay
// all others.
func (p *port) room() bool {
	if p.link.Addressed() {
		return len(p.out) < outLength/2
	}
	return len(p.out)+int(p.waiting.Load()) < streamRoom
}

// inbound is an event of a PNE that waits for the agent's goroutine: a message that
// came up, life.Sent, or dropped.
type inbound struct {
	entity cpns.EntityID
	event  life.Event
	port   *port
	later  bool // the port knows that its answer waits for a record
}

// answer is what a message has led to, and goes down the link that it came up. Each
// has one; before it, where that waits for a record, one that says just so.
type answer struct {
	entity cpns.EntityID
	out    []life.Outgoing
	later  bool
}

func newPort(l transport.Link) *port {
	return &port{
		link: l, in: make(chan transport.Message, inLength), out: make(chan life.Outgoing, outLength),
		answers: make(chan answer, 2*maxUnanswered), up: make(chan struct{}, 1), junk: make(chan struct{}, 1),
	}
}

// run keeps the link alive until ctx ends.
func (p *port) run(ctx context.Context) error {
	return p.link.Run(ctx, transport.Handler{
		Message: func(m transport.Message) {
			select {
			case p.in <- m:
			case <-ctx.Done():
			}
		},
		Up:    func() { signal(p.up) },
		Noise: func() { signal(p.junk) },
	})
}

// signal wakes who waits on c, unless that is done already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// work answers what comes up and sends what is due, one after the other.
func (p *port) work(ctx context.Context, a *Agent) {
	if !p.link.Addressed() {
		p.converse(ctx, a)
		return
	}
	for {
		select {
		case <-p.up:
			p.send(ctx, whoIsThere, a)
		case m := <-p.incoming():
			p.take(ctx, m, a)
		case an := <-p.answers:
			p.answered(an)
			for _, out := range an.out {
				p.send(ctx, out, a)
			}
		case out := <-p.out:
			p.send(ctx, out, a)
		case <-ctx.Done():
			return
		}
	}
}

// converse is work on a byte stream, where one speaks at a time.
func (p *port) converse(ctx context.Context, a *Agent) {
	var x exchanges
	var n noise
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		for {
			m, ok := x.next(time.Now())
			if !ok {
				break
			}
			p.send(ctx, m, a)
			x.sent(m, time.Now(), p.link.RetryInterval())
		}
		p.waiting.Store(int32(len(x.waiting)))
		timer.Reset(min(x.pause(time.Now()), n.pause(time.Now())))
		out := p.out
		if x.crowded() {
			out = nil // the rest waits where commands see it
		}
		select {
		case <-p.up:
			x.begin(whoIsThere)
		case m := <-p.incoming():
			p.take(ctx, m, a)
		case an := <-p.answers:
			p.answered(an)
			x.heard(an.entity)
			for _, out := range an.out {
				p.drop(ctx, x.answer(out), a)
			}
		case m := <-out:
			p.drop(ctx, x.begin(m), a)
		case <-p.junk:
			n.heard(time.Now(), p.link.RetryInterval())
		case <-timer.C:
			if n.due(time.Now()) {
				x.begin(whoIsThere)
			}
		case <-ctx.Done():
			return
		}
	}
}

// whoIsThere asks everybody on a link that has come up: PNEs that were away and
// wait for their key answer with a hello.
var whoIsThere = func() life.Outgoing {
	wire, err := (&cpns.Identify{}).Marshal()
	if err != nil {
		panic("agent: encoding identify: " + err.Error())
	}
	return life.Outgoing{Wire: wire}
}()

// incoming is where messages come from, nil while the agent has enough.
func (p *port) incoming() <-chan transport.Message {
	if p.unanswered >= maxUnanswered {
		return nil
	}
	return p.in
}

// take decodes a message and hands it to the agent's goroutine.
func (p *port) take(ctx context.Context, m transport.Message, a *Agent) {
	msg, err := cpns.ParseMessage(m.Data)
	if err != nil {
		a.malformed.Add(1)
		return
	}
	var e cpns.EntityID
	switch msg := msg.(type) {
	case *cpns.Hello:
		e = msg.Entity
	case *cpns.Acknowledgement:
		e = msg.Entity
	case *cpns.AuthResponse:
		e = msg.Entity
	}
	if e == "" || m.Peer != "" && m.Peer != string(e) {
		a.misplaced.Add(1)
		return
	}
	p.unanswered++
	p.tell(ctx, a, inbound{entity: e, event: msg, port: p})
}

// tell hands an event to the agent's goroutine.
func (p *port) tell(ctx context.Context, a *Agent, in inbound) {
	select {
	case a.inbound <- in:
	case <-ctx.Done():
	}
}

// answered counts an answer of the agent's.
func (p *port) answered(an answer) {
	if !an.later {
		p.unanswered--
	}
}

// answer gives a port what one of its messages has led to. There is always room: the
// port counts what it hands out.
func (in *inbound) answer(out []life.Outgoing) {
	if in.message() {
		in.port.answers <- answer{entity: in.entity, out: out}
	}
}

// message reports whether in is a message that came up a link.
func (in *inbound) message() bool {
	_, ours := in.ticket()
	return !ours
}

// waits tells the port, once, that the answer waits for a record: on a byte stream the
// exchange has ended by then.
func (in *inbound) waits() {
	if in.message() && !in.later {
		in.later = true
		in.port.answers <- answer{entity: in.entity, later: true}
	}
}

// receive has an event that came up a link happen to its PNE, or wait for the record
// that is being written of it.
func (a *Agent) receive(in inbound) {
	e := a.pnes[in.entity]
	_, lost := in.event.(dropped)
	switch {
	case lost: // settled, and no concern of the PNE's
	case e == nil:
		a.stranger(in)
	case !e.held():
		a.happen(e, in)
	case len(e.backlog.messages) == maxWaits:
		in.answer(nil) // the PNE repeats itself
	default:
		in.waits()
		e.backlog.messages = append(e.backlog.messages, in)
	}
}

// stranger is what comes in the name of a PNE that nobody has asked for.
func (a *Agent) stranger(in inbound) {
	switch m := in.event.(type) {
	case *cpns.Hello:
		a.found.hello(m, in.port.link.Name(), time.Now())
	case life.Sent: // it was forgotten meanwhile
	default:
		a.unproved.Add(1)
	}
	in.answer(nil)
}

// happen is a step of a PNE that is not held, and the answer to who brought it about.
func (a *Agent) happen(e *entry, in inbound) {
	seen := e.Seen()
	a.step(e, in.event, in.port.link.Name(), func(out []life.Outgoing, _ error) {
		if h, ok := in.event.(*cpns.Hello); ok && e.Seen() != seen { // it can be the PNE's
			h.Entity = e.Entity() // one copy in memory
			e.hello = h
		}
		a.queued.add(out...)
		in.answer(out) // none where there is an error: written has logged it, and the PNE repeats itself
	})
	if e.held() {
		in.waits()
	}
}

// Gaps between two identifies for everybody on a byte stream: where keys wait, PNEs
// that were assigned together are due within less than pollGap; where PNEs are to
// prove their keys, and may be there, one that is lost is to be said again in time.
const (
	pollGap = 30 * time.Second
	askGap  = 5 * time.Second
)

// poll asks everybody on a byte stream at once, where PNEs would be asked one by one.
// It is the agent's goroutine's.
func (p *port) poll(now time.Time, gap time.Duration) {
	if p.polled.IsZero() || now.Sub(p.polled) >= gap {
		p.polled = now
		p.offer(whoIsThere)
	}
}

// offer queues a message, or drops it where the queue is full, and says which.
func (p *port) offer(m life.Outgoing) bool {
	select {
	case p.out <- m:
		return true
	default:
		return false
	}
}

// send puts one message on the link, and says whether it has left where its repeat
// waits from then.
func (p *port) send(ctx context.Context, m life.Outgoing, a *Agent) {
	sending, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := p.link.Send(sending, string(m.To), m.Wire)
	if err != nil && !errors.Is(err, transport.ErrLinkDown) && sending.Err() == nil {
		a.log.Debug("sending failed", "link", p.link.Name(), "error", err)
	}
	switch {
	case err != nil:
		p.drop(ctx, m, a)
	case m.Ticket != 0:
		p.tell(ctx, a, inbound{entity: m.To, event: life.Sent{Ticket: m.Ticket}, port: p})
	}
}

// drop says of a message that it does not leave, where its repeat waits for that.
func (p *port) drop(ctx context.Context, m life.Outgoing, a *Agent) {
	if m.Ticket != 0 {
		p.tell(ctx, a, inbound{entity: m.To, event: dropped{m.Ticket}, port: p})
	}
}
