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

// Queue lengths of a port, in messages of at most 512 bytes each. What comes up
// waits in the link itself when inLength is full; what goes down is dropped when
// outLength is, and repeated later.
const (
	inLength  = 16
	outLength = 64
)

// streamRoom is how many messages may wait on a byte stream while more is begun.
const streamRoom = 4

// sendTimeout bounds one message's time on a link: 512 bytes take 45 ms at
// 115200 baud and 4.3 s at 1200.
const sendTimeout = 10 * time.Second

// port is a link's place at the agent: what comes up is decoded and answered in
// the port's own goroutine, so that a slow link holds up nobody but itself.
type port struct {
	link transport.Link
	in   chan transport.Message
	out  chan life.Outgoing
	up   chan struct{}
	junk chan struct{} // something came in that was no message

	waiting atomic.Int32 // of a byte stream: messages that wait for their turn beside out

	polled time.Time // the agent's goroutine's: when everybody was last asked
}

// room says whether the gateway may begin something more on the link. On a byte
// stream each exchange takes its turn, a PNE that has gone takes all of its first
// wait, and what waits is repeated meanwhile as if it had been sent.
func (p *port) room() bool {
	if p.link.Addressed() {
		return len(p.out) < outLength/2
	}
	return len(p.out)+int(p.waiting.Load()) < streamRoom
}

// inbound is a message that waits for the agent's goroutine.
type inbound struct {
	entity cpns.EntityID
	msg    cpns.Message
	port   *port
	answer chan []life.Outgoing
}

func newPort(l transport.Link) *port {
	return &port{link: l, in: make(chan transport.Message, inLength), out: make(chan life.Outgoing, outLength), up: make(chan struct{}, 1), junk: make(chan struct{}, 1)}
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
		case m := <-p.in:
			_, answers := p.take(ctx, m, a)
			for _, out := range answers {
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
		case m := <-p.in:
			e, answers := p.take(ctx, m, a)
			x.heard(e)
			for _, out := range answers {
				x.answer(out)
			}
		case m := <-out:
			x.begin(m)
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

// take decodes a message and has the agent's goroutine act on it. It returns
// whose message it was, empty where it was none, and what answers it.
func (p *port) take(ctx context.Context, m transport.Message, a *Agent) (cpns.EntityID, []life.Outgoing) {
	msg, err := cpns.ParseMessage(m.Data)
	if err != nil {
		a.malformed.Add(1)
		return "", nil
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
		return "", nil
	}
	in := inbound{e, msg, p, make(chan []life.Outgoing, 1)}
	select {
	case a.inbound <- in:
		return e, <-in.answer
	case <-ctx.Done():
		return "", nil
	}
}

// receive is the agent's goroutine's part of take. What it returns goes down
// the link that the message came up.
func (a *Agent) receive(in inbound) []life.Outgoing {
	e := a.pnes[in.entity]
	if e == nil {
		if h, ok := in.msg.(*cpns.Hello); ok {
			a.found.hello(h, in.port.link.Name(), time.Now())
		} else {
			a.unproved.Add(1)
		}
		return nil
	}
	if h, ok := in.msg.(*cpns.Hello); ok && e.CanBeOf(h) {
		e.hello = h
	}
	out, err := a.apply(e, in.msg, in.port)
	if err != nil {
		return nil // keep has logged it; the PNE repeats itself
	}
	return out
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

// offer queues a message, or drops it where the queue is full.
func (p *port) offer(m life.Outgoing) {
	select {
	case p.out <- m:
	default:
	}
}

// send puts one message on the link, and says when it has left where its repeat
// waits from then.
func (p *port) send(ctx context.Context, m life.Outgoing, a *Agent) {
	sending, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := p.link.Send(sending, string(m.To), m.Wire)
	switch {
	case err != nil && !errors.Is(err, transport.ErrLinkDown) && sending.Err() == nil:
		a.log.Debug("sending failed", "link", p.link.Name(), "error", err)
	case err == nil && m.Ticket != 0:
		_ = a.do(ctx, func() { // fails only when Run ends
			if e := a.pnes[m.To]; e != nil {
				_, _ = a.apply(e, life.Sent{Ticket: m.Ticket}, p) // stores nothing
			}
		})
	}
}
