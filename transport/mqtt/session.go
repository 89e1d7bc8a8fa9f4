package mqtt

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"cpns.example.net/pngw/transport"
)

const (
	maxQoS = 1 // what the protocol asks for; 0 where the broker grants no more

	keepAlive   = 30 * time.Second // how often an idle connection is tried
	pingTimeout = 10 * time.Second // how long the broker has to answer that
	ackTimeout  = 10 * time.Second // and to acknowledge what we wait for

	// queueSize is how many received messages wait for the handler: a thousand
	// devices that speak at once, 0.7 MB at most. Each is acknowledged once the
	// handler has returned, so that a broker may hold back what is more than it
	// keeps in flight. What comes beyond that is dropped when the queue is full.
	// Holding the connection back would be worse: the acknowledgements of our own
	// messages come behind, and the handler may be waiting to send. (mosquitto
	// 2.0.11 keeps 20 in flight only as long as we publish nothing ourselves.)
	queueSize = 1024

	// window is how many messages may wait for the broker's acknowledgement.
	window = 64

	// farewell is how long a connection that we end has to end well.
	farewell = time.Second
)

// A session is one connection to the broker. It is never used again for another.
type session struct {
	link   *Link
	client paho.Client
	conn   *guard // its over is closed when the connection ends

	incoming chan arrival
	lost     chan error // holds the first reason for the connection's end

	outgoing       chan publication
	publisher      sync.WaitGroup
	unacknowledged string // the first topic that was published to in vain; once publisher is done

	// Of Run's goroutine.
	stage  stage
	asked  string   // the topic at that stage
	status bool     // whether this connection carries the gateway's status
	weak   []string // filters that were granted at QoS 0 only: then nothing is sent at more
}

// connect makes a connection to the broker, with a last will if status is to be carried.
func (l *Link) connect(ctx context.Context, status bool) (*session, error) {
	var password string
	if l.passwordFile != "" {
		var err error
		if password, err = readPassword(l.passwordFile); err != nil {
			return nil, err
		}
	}
	conn, err := l.broker.dial(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{
		link:     l,
		stage:    connecting,
		status:   status,
		conn:     newGuard(conn),
		incoming: make(chan arrival, queueSize),
		lost:     make(chan error, 1),
		outgoing: make(chan publication),
	}
	s.client = paho.NewClient(s.options(password))
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	token := s.client.Connect()
	<-token.Done() // at most connectTimeout, less if ctx ends
	stop()
	if err := token.Error(); err != nil {
		s.conn.Close()
		return nil, s.closed(err)
	}
	s.publisher.Go(s.publishAll)
	return s, nil
}

// options says how paho is used: for one connection, without its own way
// of keeping it up.
func (s *session) options(password string) *paho.ClientOptions {
	l := s.link
	opts := paho.NewClientOptions().
		SetClientID(l.clientID).
		SetProtocolVersion(4). // 3.1.1, and no second try with 3.1
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true). // handle is called by one goroutine
		SetAutoAckDisabled(true).
		SetKeepAlive(keepAlive).
		SetPingTimeout(pingTimeout).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { s.handle(m) }).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.fail(err) }).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return s.conn, nil })
	opts.Servers = []*url.URL{{Scheme: "tcp", Host: l.broker.addr}} // for paho's logs; we have dialled
	opts.SetUsername(l.username)
	opts.SetPassword(password)
	if s.status {
		opts.SetWill(l.topics.status(l.entity), "offline", maxQoS, true)
	}
	return opts
}

// subscribe asks for our topics. What a broker refuses at QoS 1 it may still grant at
// QoS 0: the protocol repeats what is lost.
func (s *session) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.link.ackTimeout)
	defer cancel()
	for _, filter := range s.link.filters() {
		granted, err := s.ask(ctx, filter, maxQoS)
		if err == nil && granted > maxQoS {
			granted, err = s.ask(ctx, filter, 0)
		}
		switch {
		case err != nil:
			return err
		case granted > maxQoS:
			return refusedTopic(filter)
		case granted < maxQoS:
			s.weak = append(s.weak, filter)
		}
	}
	return nil
}

// ask subscribes to one topic, which is as many at a time as guard wants, and returns
// the broker's answer: the QoS granted, or more for none.
func (s *session) ask(ctx context.Context, filter string, qos byte) (granted byte, err error) {
	s.stage, s.asked = subscribing, filter
	token := s.client.Subscribe(filter, qos, nil)
	select {
	case <-token.Done():
	case <-s.conn.over:
		return 0, s.lostReason()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if s.isOver() {
		return 0, s.lostReason()
	}
	if err := token.Error(); err != nil {
		return 0, err
	}
	granted, answered := token.(*paho.SubscribeToken).Result()[filter]
	if !answered {
		return refused, nil
	}
	return granted, nil
}

// qos is that of what is sent. A broker that grants none for what it sends closes the
// connection on what it is sent with it, as mosquitto does where max_qos is 0.
func (s *session) qos() byte {
	if len(s.weak) > 0 {
		return 0
	}
	return maxQoS
}

// refused is what a SUBACK says of a topic that is not granted.
const refused = 0x80

// An arrival is a message with what tells the broker that it has been handled.
type arrival struct {
	transport.Message
	ack func()
}

// handle takes a message from paho. It never waits.
func (s *session) handle(m paho.Message) {
	peer, ok := s.link.sender(m.Topic())
	// A retained message is what somebody said to nobody, some time ago.
	if ok && !m.Retained() && len(m.Payload()) <= transport.MaxMessage {
		select {
		case s.incoming <- arrival{transport.Message{Peer: peer, Data: m.Payload()}, m.Ack}:
			return
		default:
		}
	}
	s.link.tally.AddDropped(1)
	m.Ack()
}

// A publication is one message on its way to the broker.
type publication struct {
	topic string
	msg   []byte
	done  chan<- error // has room for the result
}

// publish hands msg to the connection. It returns when that has taken it, before
// the broker has acknowledged it: what is lost with the connection is lost on a
// line too, and the protocol repeats it.
func (s *session) publish(ctx context.Context, topic string, msg []byte) error {
	if s.isOver() {
		return transport.ErrLinkDown
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	select {
	case s.outgoing <- publication{topic, slices.Clone(msg), done}:
	case <-s.conn.over:
		return transport.ErrLinkDown
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-s.conn.over:
		return transport.ErrLinkDown
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publishAll serves publish. It is a goroutine of its own because paho's Publish
// knows no context, and so that only a fixed number of messages waits for
// acknowledgement: paho keeps each until then, and a broker need not send any.
func (s *session) publishAll() {
	var pending []published
	defer func() { s.unacknowledged = firstUnacknowledged(pending) }()
	for {
		pending = slices.DeleteFunc(pending, published.isAcknowledged)
		if slices.ContainsFunc(pending, published.isGivenUp) {
			// paho has given that up: the connection is ending.
			select {
			case <-time.After(farewell):
				s.conn.Close()
			case <-s.conn.over:
			}
			return
		}
		if len(pending) == window {
			select {
			case <-pending[0].token.Done():
			case <-time.After(s.link.ackTimeout):
				s.fail(errors.New("broker acknowledges nothing"))
				s.conn.Close()
			case <-s.conn.over:
				return
			}
			continue
		}
		select {
		case p := <-s.outgoing:
			token := s.client.Publish(p.topic, s.qos(), false, p.msg)
			if isDone(token) {
				p.done <- token.Error()
				continue
			}
			pending = append(pending, published{p.topic, token})
			p.done <- nil
		case <-s.conn.over:
			return
		}
	}
}

// A published message waits for the broker's acknowledgement.
type published struct {
	topic string
	token paho.Token
}

func (p published) isAcknowledged() bool { return isDone(p.token) && p.token.Error() == nil }

func (p published) isGivenUp() bool { return isDone(p.token) && p.token.Error() != nil }

// firstUnacknowledged returns the topic of the first message that a connection which
// is over has left without an acknowledgement, empty for none.
func firstUnacknowledged(pending []published) string {
	for _, p := range pending {
		if !p.isAcknowledged() {
			return p.topic
		}
	}
	return ""
}

func isDone(t paho.Token) bool {
	select {
	case <-t.Done():
		return true
	default:
		return false
	}
}

func (s *session) isOver() bool {
	select {
	case <-s.conn.over:
		return true
	default:
		return false
	}
}

// fail records why the connection ends.
func (s *session) fail(err error) {
	select {
	case s.lost <- err:
	default: // there was a reason before this one
	}
}

// lostReason returns why the connection ended, once it has.
func (s *session) lostReason() error {
	select {
	case err := <-s.lost:
		return err
	case <-time.After(farewell):
		return errLost
	}
}

// end closes the connection and returns when everything about it has ended.
func (s *session) end() {
	if s.status && s.stage == up && !s.isOver() {
		select {
		case <-s.setStatus("offline").Done():
		case <-s.conn.over:
		case <-time.After(farewell):
		}
	}
	s.client.Disconnect(uint(farewell.Milliseconds()))
	s.conn.Close()
	s.publisher.Wait()
}
