package agent

import (
	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

// queued counts, for each message with a ticket, on how many links it waits for its
// turn. A line that PNEs share may be busy for minutes: a message is not made again
// before the last one has left, or the line would see one repeat in two. It is the
// agent's goroutine's, and has at most as many messages as the ports' queues hold.
type queued map[ticket]int

type ticket struct {
	entity cpns.EntityID
	number uint64
}

// dropped is the event that a message with a ticket does not leave: its link is down,
// or something newer took its place.
type dropped struct{ ticket uint64 }

// ticket is that of the message whose end in tells, ok is false where it tells none.
func (in *inbound) ticket() (number uint64, ok bool) {
	switch ev := in.event.(type) {
	case life.Sent:
		return ev.Ticket, true
	case dropped:
		return ev.ticket, true
	}
	return 0, false
}

// add counts messages that a port has been handed.
func (q queued) add(out ...life.Outgoing) {
	for _, m := range out {
		if m.Ticket != 0 {
			q[ticket{m.To, m.Ticket}]++
		}
	}
}

// settle takes off a message whose end a port tells.
func (q queued) settle(in inbound) {
	number, ok := in.ticket()
	if !ok {
		return
	}
	t := ticket{in.entity, number}
	if q[t]--; q[t] <= 0 {
		delete(q, t)
	}
}

func (q queued) has(entity cpns.EntityID, number uint64) bool {
	return q[ticket{entity, number}] > 0
}
