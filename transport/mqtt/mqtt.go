// Package mqtt carries CPNS-1 messages over an MQTT 3.1.1 broker, on the topics of
// docs/protocol.md, section 5. The agent's configuration makes a Link with role
// Gateway, cmd/pne one with role PNE.
//
// The broker is trusted with nothing. It can read, drop, repeat and invent
// messages, which cpns copes with; guard.go sees to it that it cannot use up this
// machine's memory or stop the program either. Whoever may publish below the
// prefix is in the same position.
//
// The package wraps github.com/eclipse/paho.mqtt.golang for one connection at a
// time (session.go) and does the reconnecting itself: paho's own keeps messages
// whose Send has long failed and publishes them on the next connection, and a
// Link never keeps a message for later.
package mqtt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/transport"
)

// A Role is the end of the link that this program is.
type Role uint8

const (
	Gateway Role = iota + 1
	PNE
)

// Config says which broker a Link uses, and as whom.
type Config struct {
	Name string // the link's name, such as "broker"

	// URL is the broker's: mqtt://HOST:PORT or tcp:// without TLS, port 1883 unless
	// given, mqtts:// or ssl:// with TLS 1.2 or later, port 8883 unless given. It
	// holds no user name.
	URL string

	Prefix string // heads every topic; empty is DefaultPrefix
	Role   Role
	Entity string // the PNE's Entity ID, or the gateway ID

	Username     string // empty: none
	PasswordFile string // read for each connection; one final newline is not part of it

	CAFile            string // PEM; empty trusts the system's roots
	CertFile, KeyFile string // PEM, our own certificate; both or neither

	// ClientID is the MQTT client identifier, empty for one of 23 letters and
	// digits that is always the same for this role, prefix and entity. A broker closes the older of
	// two connections with the same one.
	ClientID string

	// NoStatus keeps the gateway's status topic off: no last will, nothing retained.
	// Without, a broker that refuses them is served all the same.
	NoStatus bool

	Log *slog.Logger // nil discards
}

// A Link is a connection to a broker. It is up while that stands and the broker
// has granted the subscriptions.
type Link struct {
	name         string
	broker       broker
	topics       topics
	role         Role
	entity       string
	clientID     string
	username     string
	passwordFile string
	log          *slog.Logger
	wait         transport.Backoff // a copy for each Run
	ackTimeout   time.Duration
	noStatus     bool

	running atomic.Bool
	tally   transport.Tally
	session atomic.Pointer[session] // nil while down
}

var _ transport.Link = (*Link)(nil)

// maxClientID is the longest client identifier accepted from a configuration, in
// bytes. Brokers need not take more than 23 (MQTT 3.1.1, 3.1.3.1); many do.
const maxClientID = 128

// New returns a Link for cfg. It reads the files that cfg names, to refuse what
// would never work; the broker need not be there.
func New(cfg Config) (*Link, error) {
	if cfg.Name == "" {
		return nil, errors.New("mqtt link without a name")
	}
	l, err := newLink(cfg)
	if err != nil {
		return nil, fmt.Errorf("mqtt link %s: %w", cfg.Name, err)
	}
	return l, nil
}

func newLink(cfg Config) (*Link, error) {
	b, err := parseURL(cfg.URL)
	if err != nil {
		return nil, option("url", err)
	}
	b.caFile, b.certFile, b.keyFile = cfg.CAFile, cfg.CertFile, cfg.KeyFile
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	if err := checkPrefix(cfg.Prefix); err != nil {
		return nil, option("prefix", err)
	}
	switch {
	case cfg.Role != Gateway && cfg.Role != PNE:
		return nil, errors.New("no role")
	case checkEntity(cfg.Entity) != nil:
		return nil, fmt.Errorf("entity: %w", checkEntity(cfg.Entity))
	case cfg.PasswordFile != "" && cfg.Username == "":
		return nil, option("password_file", errors.New("MQTT takes a password only with a username"))
	case cfg.CertFile != "" && cfg.KeyFile == "":
		return nil, option("cert", errors.New("comes together with key"))
	case cfg.KeyFile != "" && cfg.CertFile == "":
		return nil, option("key", errors.New("comes together with cert"))
	case !b.tls && cfg.CAFile != "":
		return nil, option("ca", errors.New("is of no use without TLS: want mqtts:// in url"))
	case !b.tls && cfg.CertFile != "":
		return nil, option("cert", errors.New("is of no use without TLS: want mqtts:// in url"))
	case len(cfg.ClientID) > maxClientID:
		return nil, option("client_id", fmt.Errorf("%d bytes, at most %d", len(cfg.ClientID), maxClientID))
	}
	if _, err := b.tlsConfig(); err != nil {
		return nil, err
	}
	if cfg.PasswordFile != "" {
		if _, err := readPassword(cfg.PasswordFile); err != nil {
			return nil, err
		}
	}
	if cfg.ClientID == "" {
		cfg.ClientID = clientID(cfg.Role, cfg.Prefix, cfg.Entity)
	}
	b.clientID = cfg.ClientID
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Link{
		name:         cfg.Name,
		broker:       b,
		topics:       topics{cfg.Prefix},
		role:         cfg.Role,
		entity:       cfg.Entity,
		clientID:     cfg.ClientID,
		username:     cfg.Username,
		passwordFile: cfg.PasswordFile,
		log:          cfg.Log.With("link", cfg.Name, "broker", b.addr),
		wait:         transport.Backoff{Min: time.Second, Max: time.Minute},
		ackTimeout:   ackTimeout,
		noStatus:     cfg.NoStatus || cfg.Role != Gateway,
	}, nil
}

// clientID returns the identifier that this end always uses, 23 letters and
// digits, which every broker accepts. It lasts, so that a broker that has not
// noticed the end of an old connection closes that first, and the old last will
// comes before the new "online".
func clientID(role Role, prefix, entity string) string {
	head := "pngw"
	if role == PNE {
		head = "pne"
	}
	hash := sha256.Sum256([]byte(prefix + "\x00" + entity))
	return (head + hex.EncodeToString(hash[:]))[:23]
}

func (l *Link) Name() string { return l.name }

// Claims is what the link has for itself: with another link that claims the same,
// neither would work. The broker closes the older of two connections with one client
// ID, and would hand each message below one prefix to both.
func (l *Link) Claims() []string {
	at := " at the broker " + l.broker.place()
	return []string{"client ID " + l.clientID + at, "prefix " + l.topics.prefix + at}
}

func (l *Link) RetryInterval() time.Duration { return transport.RetryMQTT }

// Addressed is part of transport.Link.
func (l *Link) Addressed() bool { return true }

func (l *Link) Status() transport.Status {
	s := l.tally.Status()
	if ss := l.session.Load(); s.State == transport.Up && (ss == nil || ss.isOver()) {
		s.State, s.Detail = transport.Absent, "connection to "+l.broker.addr+" has ended" // Run is about to say why
	}
	return s
}

func (l *Link) Run(ctx context.Context, h transport.Handler) error {
	if l.running.Swap(true) {
		return fmt.Errorf("mqtt link %s: already running", l.name)
	}
	defer l.running.Store(false)
	defer l.tally.Set(transport.Absent, "not running")

	pause := l.wait
	a := attempts{status: statusChoice{never: l.noStatus}}
	for ctx.Err() == nil {
		began := time.Now()
		used := a.status.use()
		wasUp, err := l.runSession(ctx, h, used, &a)
		if ctx.Err() != nil {
			break
		}
		lasted := time.Since(began)
		a.ended(wasUp, lasted > soon*pause.Max, err)
		l.session.Store(nil)
		if detail := l.broker.explain(err); l.tally.Set(transport.Absent, detail) {
			l.log.Warn("mqtt broker not available", "reason", detail)
		}
		if !wasUp && a.status.failed(used, err) {
			continue
		}
		// Only a connection that held for a while has earned a quick retry: else
		// two clients with one client ID would keep pushing each other out.
		if lasted > pause.Max {
			pause.Reset()
		}
		pause.Wait(ctx)
	}
	return nil
}

// soon is how many of the longest pauses a connection may last and still have ended
// soon after it was up: another client with our client ID that does as we do comes back
// after one.
const soon = 2

// attempts is what the connections so far have shown.
type attempts struct {
	status    statusChoice
	pushedOut int // connections in a row that the broker closed soon after they were up, for no reason that shows
}

// ended takes how a connection has ended.
func (a *attempts) ended(wasUp, long bool, err error) {
	var closed *closedError
	switch pushed := wasUp && !long && errors.As(err, &closed) && closed.topic == ""; {
	case pushed:
		a.pushedOut++
		closed.again = a.pushedOut > 1
	case wasUp:
		a.pushedOut = 0
	}
}

// runSession connects, hands messages up until the connection or ctx ends, and
// returns whether it was up and why it ended.
func (l *Link) runSession(ctx context.Context, h transport.Handler, status bool, a *attempts) (wasUp bool, err error) {
	s, err := l.connect(ctx, status)
	if err != nil {
		return false, err
	}
	defer s.end()
	if err := s.subscribe(ctx); err != nil {
		return false, s.closed(err)
	}
	if s.status {
		if err := s.announce(ctx); err != nil {
			return false, s.closed(err)
		}
	}
	if a.status.succeeded() {
		l.log.Warn("broker refuses the retained status topic: going on without it", "topic", l.topics.status(l.entity))
	}
	s.stage = up
	l.tally.Set(transport.Up, l.upDetail(s, a))
	l.session.Store(s)
	l.log.Info("connected to mqtt broker", "client_id", l.clientID)
	if h.Up != nil {
		h.Up()
	}
	held := time.NewTimer(soon * l.wait.Max)
	defer held.Stop()
	for {
		select {
		case <-held.C: // whatever ended those before is past
			a.pushedOut = 0
			l.tally.Set(transport.Up, l.upDetail(s, a))
		case <-ctx.Done():
			l.session.Store(nil)
			l.tally.Set(transport.Absent, "not running")
			return true, ctx.Err()
		case m := <-s.incoming:
			l.tally.AddReceived(1)
			h.Message(m.Message)
			m.ack()
		case <-s.conn.over:
			return true, s.closed(s.lostReason())
		}
	}
}

// upDetail says for people to what the link is connected, as whom, and what is not as
// it might be.
func (l *Link) upDetail(s *session, a *attempts) string {
	detail := fmt.Sprintf("connected to %s as %s", l.broker.addr, l.clientID)
	if !s.status && !l.noStatus {
		detail += "; broker refuses the status topic"
	}
	for _, filter := range s.weak {
		detail += "; broker grants no QoS 1 for " + filter + ": messages may be lost"
	}
	if a.pushedOut > 1 {
		detail += fmt.Sprintf("; closed %d times soon after it was up: does another client use this client ID?", a.pushedOut)
	}
	return detail
}

func (l *Link) Send(ctx context.Context, peer string, msg []byte) error {
	if len(msg) > transport.MaxMessage {
		return &transport.TooLongError{Size: len(msg)}
	}
	topic, err := l.sendTopic(peer)
	if err != nil {
		return err
	}
	s := l.session.Load()
	if s == nil {
		return transport.ErrLinkDown
	}
	if err := s.publish(ctx, topic, msg); err != nil {
		return err
	}
	l.tally.AddSent(1)
	return nil
}

// sendTopic returns the topic on which peer listens.
func (l *Link) sendTopic(peer string) (string, error) {
	switch {
	case l.role == PNE:
		return l.topics.up(l.entity), nil
	case peer == "":
		return l.topics.identify(), nil
	case checkEntity(peer) != nil:
		return "", fmt.Errorf("sending to %q: %w", peer, checkEntity(peer))
	}
	return l.topics.down(peer), nil
}

// filters returns what this end subscribes to.
func (l *Link) filters() []string {
	if l.role == PNE {
		return []string{l.topics.down(l.entity), l.topics.identify()}
	}
	return []string{l.topics.everyUp()}
}

// sender returns who is meant to publish on topic, empty at a PNE's end, and
// whether we asked for that topic at all.
func (l *Link) sender(topic string) (peer string, ok bool) {
	if l.role == PNE {
		return "", topic == l.topics.down(l.entity) || topic == l.topics.identify()
	}
	return l.topics.parseUp(topic)
}
