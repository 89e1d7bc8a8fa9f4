package mqtt

import (
	"context"
	"errors"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// The gateway's status topic is for people and no part of the protocol: a retained
// "online", and a last will that makes "offline" of it. Some brokers keep no retained
// messages, some do not let the gateway write to that topic, and some of both say so
// only by closing the connection. None of them may cost us the link.

// statusPatience is how long a connection waits, before it counts as up, for the broker
// to take the status or to close the connection over it.
const statusPatience = 2 * time.Second

// statusRest is how long a broker that has refused the status is not asked again.
const statusRest = time.Hour

// A statusChoice decides for each connection whether it carries the status. It is used
// by Run's goroutine only.
type statusChoice struct {
	never   bool      // configured so, or not the gateway's end
	suspect bool      // the connection before carried it, and may have failed over it
	until   time.Time // without it until then: the broker has refused it
}

// use tells whether the next connection carries the status.
func (c *statusChoice) use() bool { return !c.never && !c.suspect && time.Now().After(c.until) }

// failed takes how a connection has ended that never was up. It tells whether to try
// again at once, without the status.
func (c *statusChoice) failed(used bool, err error) (again bool) {
	c.suspect = used && mayBeStatus(err)
	return c.suspect
}

// succeeded takes that a connection is up. It tells whether that shows that the broker
// refuses the status.
func (c *statusChoice) succeeded() (refused bool) {
	refused = c.suspect
	if refused {
		c.until = time.Now().Add(statusRest)
	}
	c.suspect = false
	return refused
}

// mayBeStatus tells whether a broker that dislikes the status would end a connection so.
func mayBeStatus(err error) bool {
	var closed *closedError
	if errors.As(err, &closed) {
		return closed.stage == connecting || closed.stage == announcing
	}
	// mosquitto says so of a last will to a topic that its access list forbids.
	return errors.Is(err, packets.ErrorRefusedNotAuthorised)
}

// announce says that the gateway is online, and returns once the broker has taken that
// or long enough said nothing.
func (s *session) announce(ctx context.Context) error {
	s.stage, s.asked = announcing, s.link.topics.status(s.link.entity)
	token := s.setStatus("online")
	select {
	case <-token.Done():
		if s.isOver() {
			return s.lostReason()
		}
		return token.Error()
	case <-s.conn.over:
		return s.lostReason()
	case <-time.After(statusPatience):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setStatus says for people how the gateway is. It lasts at the broker.
func (s *session) setStatus(status string) paho.Token {
	return s.client.Publish(s.link.topics.status(s.link.entity), s.qos(), true, status)
}
