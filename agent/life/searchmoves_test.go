package life

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// world is what the gateway is handed.
func (r *search) world(n *node) World {
	w := World{
		Now: searchStart.Add(time.Duration(n.day) * searchPeriod), ClockSet: true, Gateway: testGateway, Link: "line",
		Wait: func(string) time.Duration { return time.Second }, Chance: middle,
		Pair: func() *cpns.X25519Pair { return gatewayPair },
	}
	if r.s.reauth {
		w.Reauth = searchPeriod
	}
	sum := sha256.Sum256([]byte(fmt.Sprint("gw", n.opened)))
	copy(w.RandGW[:], sum[:])
	sum = sha256.Sum256([]byte("iv" + n.said))
	copy(w.IV[:], sum[:])
	return w
}

// apply lets an event happen to the gateway. It gives false where that would open
// more challenges than the scenario has.
func (r *search) apply(n *node, ev Event, w World) bool {
	was := n.gw
	next, effects := Apply(n.gw, ev, w)
	n.gw = next
	if !n.gw.SameRecord(was) && n.gw.rec.alarm != nil && was.rec.alarm == nil && !n.rolled {
		r.fail(n, "an alarm without a rollback: %v", n.gw.rec.alarm)
	}
	for _, e := range effects {
		if news, ok := e.(News); ok && news.Kind == Authenticated && !has(n.agreed, news.Key) {
			r.fail(n, "the gateway has a session key that the PNE never had")
		}
		o, ok := e.(Outgoing)
		if !ok {
			continue
		}
		n.polled = n.polled || o.Poll
		if id, known := r.ids[string(o.Wire)]; !known || !slices.Contains(n.list(), id) {
			if !r.sends(n, was, o.Wire) {
				return false
			}
		}
		r.say(n, o.Wire, true)
	}
	return true
}

// sends looks at a message that the gateway sends for the first time.
func (r *search) sends(n *node, was PNE, wire []byte) bool {
	m, err := cpns.ParseMessage(wire)
	if err != nil {
		r.t.Fatal(err)
	}
	switch m := m.(type) {
	case *cpns.AuthChallenge:
		if n.left.challenges == 0 {
			return false
		}
		n.left.challenges--
		n.opened++
	case *cpns.Notification:
		if t := was.rec.setOf(m.Epoch); t == nil || m.Index <= t.Proved {
			r.fail(n, "a key that was proved is notified again")
		}
	case *cpns.EUKeyUpdate:
		u, t := &n.gw.mem.update, n.gw.rec.setOf(m.Epoch)
		if held := t.key(u.index); u.key != held {
			r.fail(n, "an eukey-update waits under another key than it brought")
		}
		if key := u.sessionKey(testEntity, t); !has(n.offered, key) {
			n.offered += string(key[:8])
		}
	}
	return true
}

// deliver brings a message to whom it is for.
func (r *search) deliver(n *node, id uint32) bool {
	m := r.wires[id]
	if !m.down {
		return r.apply(n, m.parsed, r.world(n))
	}
	r.flash.state, r.random.drawn = n.flash, n.drawn
	before := n.dev
	reply, ev := n.dev.Handle(m.bytes)
	if r.flash.state != n.flash {
		n.old, n.flash = n.flash, r.flash.state
	}
	n.drawn = r.random.drawn
	if key, ok := n.dev.SessionKey(); ok && !has(n.agreed, &key) {
		n.agreed += string(key[:8])
		if !has(n.offered, &key) {
			r.fail(n, "the PNE has a session key that the gateway never offered")
		}
	}
	n.quiet = n.quiet || ev.Opened()
	if _, epoch, index := n.dev.Held(); epoch == n.epochs {
		n.highest = max(n.highest, index)
	}
	if ev.Kind == pne.Identify && n.left.hellos > 0 {
		n.left.hellos--
		r.hello(n)
	}
	if ev.Kind == pne.Refused && n.dev != before {
		r.fail(n, "the PNE refuses, and is another: %v", ev.Err)
	}
	r.say(n, reply, false)
	return true
}

// has says whether a session key is among those of a list.
func has(list string, key *cpns.SessionKey) bool {
	for i := 0; i < len(list); i += 8 {
		if list[i:i+8] == string(key[:8]) {
			return true
		}
	}
	return false
}

// hello has the PNE say one.
func (r *search) hello(n *node) {
	r.flash.state, r.random.drawn = n.flash, n.drawn
	b, err := n.dev.Hello()
	if err != nil {
		r.t.Fatal(err)
	}
	n.drawn = r.random.drawn
	n.quiet = false
	r.say(n, b, false)
}

// moves are all states that n can become.
func (r *search) moves(n *node, visit func(move string, next node)) {
	try := func(move string, f func(*node) bool) {
		next := *n
		if f(&next) {
			r.settleTimes(&next)
			visit(move, next)
		}
	}
	ids := n.list()
	for _, id := range ids {
		try(fmt.Sprintf("deliver %d", id), func(n *node) bool { return r.deliver(n, id) })
		if r.s.rewrites {
			for _, other := range r.rewrite(id) {
				try(fmt.Sprintf("rewrite %d as %d", id, other), func(n *node) bool { return r.deliver(n, other) })
			}
		}
	}
	for _, id := range r.invented() {
		try(fmt.Sprintf("invent %d", id), func(n *node) bool { return r.deliver(n, id) })
	}
	if n.left.hellos > 0 {
		try("hello", func(n *node) bool { n.left.hellos--; r.hello(n); return true })
	}
	if n.left.cuts > 0 {
		try("power cut of the PNE", func(n *node) bool {
			n.left.cuts--
			if r.s.volatile {
				n.flash = pne.State{}
				n.causes++
			}
			n.dev, n.quiet = r.switchOn(n.flash), false
			return true
		})
	}
	if n.left.restarts > 0 {
		try("power cut of the gateway", func(n *node) bool {
			n.left.restarts--
			n.gw = begin(n.gw.rec)
			return r.apply(n, Started{}, r.world(n))
		})
	}
	if n.left.commands > 0 {
		try("command", func(n *node) bool {
			n.left.commands--
			n.causes++
			return r.apply(n, Authenticate{}, r.world(n))
		})
	}
	if n.left.periods > 0 {
		try("period", func(n *node) bool {
			n.left.periods--
			n.causes++
			n.day++
			return r.passTime(n, r.world(n))
		})
	}
	if n.left.silences > 0 {
		try("silence", func(n *node) bool {
			n.left.silences--
			w := r.world(n)
			w.Now = w.Now.Add(50 * time.Second)
			return r.passTime(n, w)
		})
	}
	if n.left.sets > 0 {
		try("newer set", func(n *node) bool { n.left.sets--; return r.assign(n) })
	}
	if n.left.olds > 0 {
		try("a set that was given already", func(n *node) bool {
			n.left.olds--
			s := searchSet(n.epochs)
			s.Last[0]++
			if n.gw.Refuses(s) != nil {
				return true
			}
			return r.apply(n, Assigned{User: "alice", Set: s}, r.world(n))
		})
	}
	if n.left.rollbacks > 0 && n.old.Index > 0 && n.old != n.flash {
		try("rollback", func(n *node) bool { n.left.rollbacks--; r.rollBack(n); return true })
	}
	if n.left.readmits > 0 && n.gw.rec.alarm != nil {
		try("readmit", func(n *node) bool {
			n.left.readmits--
			n.causes++
			n.rolled = false // whatever it holds by now is no rollback any more
			return r.apply(n, Readmit{}, r.world(n))
		})
	}
}

// rollBack puts back what the PNE's flash had before.
func (r *search) rollBack(n *node) {
	n.rolled, n.flash = true, n.old
	n.dev, n.quiet = r.switchOn(n.flash), false
}

// assign is the server's next set. The gateway must take it.
func (r *search) assign(n *node) bool {
	n.epochs++
	s := searchSet(n.epochs)
	if err := n.gw.Refuses(s); err != nil {
		r.fail(n, "the server's own next set is refused: %v", err)
	}
	n.highest = 0
	n.causes = 0
	return r.apply(n, Assigned{User: "alice", Set: s}, r.world(n))
}

// passTime lets everything happen that is due by then.
func (r *search) passTime(n *node, w World) bool {
	for range 50 {
		due := n.gw.Due()
		if due.IsZero() || due.After(w.Now) {
			return true
		}
		at := w
		at.Now = due
		if !r.apply(n, Timeout{}, at) {
			return false
		}
	}
	r.fail(n, "timeouts without end")
	return false
}

// settleTimes makes states equal that differ only in when something is due: time
// passes only by "silence" and "period", which bring all of it.
func (r *search) settleTimes(n *node) {
	now := r.world(n).Now
	m := &n.gw.mem
	m.own()
	m.seen, m.hellos, m.epochs, m.tickets = time.Time{}, budget{}, budget{}, 0
	for _, p := range m.repeats() {
		if p.open() {
			p.sent, p.base, p.wait, p.due, p.Ticket = 1, time.Second, time.Second, now.Add(time.Second), 0
		}
	}
	if !m.poll.due.IsZero() {
		m.poll = polling{pollFirst, now.Add(pollFirst)}
	}
	if !m.reauth.IsZero() {
		m.reauth = now.Add(searchPeriod)
	}
	m.tag.told = time.Time{}
}

// invented are messages that need no key.
func (r *search) invented() []uint32 {
	var all []uint32
	add := func(m cpns.Message, down bool) {
		b, err := m.Marshal()
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, r.id(b, down))
	}
	add(&cpns.AuthChallenge{Entity: testEntity, Gateway: testGateway, RandGW: [16]byte{0xaa}}, true)
	add(cpns.NewFailedAcknowledgement(cpns.AckCannotDecrypt, testEntity, 1, 1), false)
	add(cpns.NewAcknowledgement(&cpns.EUKey{}, cpns.NotificationContext(&hash{}), testEntity, testGateway, 1, 1), false)
	for _, says := range [][2]int{{0, 0}, {1, 1}, {9, 1}} {
		h, err := cpns.NewHello(make(cpns.TK, 16), cpns.Hello{Entity: testEntity, Epoch: cpns.Epoch(says[0]), Index: cpns.Index(says[1]), Algs: []int64{24}})
		if err != nil {
			r.t.Fatal(err)
		}
		add(h, false)
	}
	return all
}

// rewrite is what an attacker makes of a message that was said: it keeps what it
// cannot make, and puts other numbers and names beside it.
func (r *search) rewrite(id uint32) []uint32 {
	if r.wires[id].rewritten != nil {
		return r.wires[id].rewritten
	}
	all := []uint32{}
	add := func(m cpns.Message, down bool) {
		if b, err := m.Marshal(); err == nil {
			all = append(all, r.id(b, down))
		}
	}
	down := r.wires[id].down
	for _, by := range []int{-1, 1} {
		switch m := r.wires[id].parsed.(type) {
		case *cpns.Hello:
			c := *m
			c.Epoch, c.Index = 9, 1
			add(&c, down)
			c.Epoch, c.Index = 0, 0
			add(&c, down)
		case *cpns.Notification:
			c := *m
			c.Index += cpns.Index(by)
			add(&c, down)
			c = *m
			c.Epoch += cpns.Epoch(by)
			add(&c, down)
			c = *m
			c.Gateway = "gw-evil"
			add(&c, down)
		case *cpns.Acknowledgement:
			c := *m
			c.Index += cpns.Index(by)
			add(&c, down)
		case *cpns.AuthResponse:
			c := *m
			c.Index += cpns.Index(by)
			add(&c, down)
		case *cpns.EUKeyUpdate:
			c := *m
			c.Index += cpns.Index(by)
			add(&c, down)
		}
	}
	r.wires[id].rewritten = all
	return all
}
