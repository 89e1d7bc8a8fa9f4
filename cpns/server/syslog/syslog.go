// Package syslog sends the events of the audit log to a syslog server (RFC 5424), over a
// unix socket, UDP (RFC 5426), TCP with octet counting (RFC 6587) or TLS (RFC 5425).
//
// Events are queued as they are sealed, and nobody waits for the syslog server: while it
// is away they wait, and where too many do, the newest are lost, counted and told, to the
// log and to the syslog server when it is back. What a server has taken, and then lost,
// nobody can tell: syslog has no acknowledgement. Each event has its number, and the last
// one under a seal the seal's head, so that whoever compares finds what is missing.
package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/sleep"
)

// Config says where events go.
type Config struct {
	// Network is unix, udp, tcp or tls; Address a path, or HOST:PORT.
	Network, Address string
	TLS              *tls.Config // for tls
	Log              *slog.Logger
}

// ParseAddress reads unix:PATH, or udp:, tcp: or tls: with HOST:PORT behind it.
func ParseAddress(text string) (network, address string, err error) {
	network, address, _ = strings.Cut(text, ":")
	switch network {
	case "unix":
		if strings.HasPrefix(address, "/") {
			return network, address, nil
		}
	case "udp", "tcp", "tls":
		address = strings.TrimPrefix(address, "//")
		if host, port, err := net.SplitHostPort(address); err == nil && host != "" {
			if _, err := strconv.ParseUint(port, 10, 16); err == nil {
				return network, address, nil
			}
		}
	}
	return "", "", errors.New("write unix:/dev/log, or udp:, tcp: or tls: with HOST:PORT, such as tls:logs.example.net:6514")
}

const (
	queueSize = 8192 // events that wait, of some hundred bytes each
	dialTime  = 10 * time.Second
	sendTime  = 10 * time.Second
	firstWait = time.Second
	longWait  = 30 * time.Second
	lastTime  = 3 * time.Second // for what waits when the server ends
)

// An Exporter sends events.
type Exporter struct {
	config Config
	host   string
	pid    string
	queue  chan queued

	sent, lost atomic.Uint64
	up         atomic.Bool
	untold     atomic.Uint64 // lost, and the syslog server has not been told

	firstWait time.Duration
}

type queued struct {
	event server.Event
	head  string // of the seal whose last event it is
}

// New makes an exporter. Run sends.
func New(c Config) (*Exporter, error) {
	switch c.Network {
	case "unix", "udp", "tcp", "tls":
	default:
		return nil, fmt.Errorf("syslog over %q", c.Network)
	}
	host, err := os.Hostname()
	if err != nil || printable(host, 255) == "" {
		host = "-"
	}
	return &Exporter{config: c, host: printable(host, 255), pid: strconv.Itoa(os.Getpid()), queue: make(chan queued, queueSize), firstWait: firstWait}, nil
}

// Sealed queues the events under a seal. It never waits.
func (x *Exporter) Sealed(s server.Seal, events []server.Event) {
	for n, e := range events {
		q := queued{event: e}
		if n == len(events)-1 {
			q.head = s.Head().String()
		}
		select {
		case x.queue <- q:
		default:
			x.lost.Add(1)
			x.untold.Add(1)
		}
	}
}

// Counts are what became of events.
func (x *Exporter) Counts() server.SyslogCounts {
	return server.SyslogCounts{Up: x.up.Load(), Sent: x.sent.Load(), Lost: x.lost.Load(), Waiting: len(x.queue)}
}

// Run sends what is queued until ctx ends, and then what waits, for a few seconds.
func (x *Exporter) Run(ctx context.Context) {
	log := x.config.Log
	// Nothing is queued any more when the sealing has ended, which is not known here.
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastTime, cancel) })
	defer stop()
	var c conn
	defer func() { c.close() }()
	// Whoever has made a mistake wants to know it before there is something to send.
	if err := x.connect(sending, &c); err != nil {
		log.Error("the syslog server cannot be reached", "error", err)
	} else {
		x.up.Store(true)
		log.Info("events go to the syslog server", "network", x.config.Network, "address", x.config.Address)
	}
	for {
		var q queued
		select {
		case q = <-x.queue:
		default:
			select {
			case q = <-x.queue:
			case <-ctx.Done():
				if len(x.queue) == 0 {
					return
				}
				continue
			}
		}
		for wait := x.firstWait; ; wait = min(2*wait, longWait) {
			err := x.send(sending, &c, q)
			if err == nil {
				x.sent.Add(1)
				if !x.up.Swap(true) {
					log.Info("the syslog server takes events", "lost", x.lost.Load())
				}
				break
			}
			c.close()
			if x.up.Swap(false) || wait == x.firstWait {
				log.Error("the syslog server takes no events, and they wait", "error", err, "waiting", len(x.queue)+1, "lost", x.lost.Load())
			}
			if sleep.For(sending, wait) == nil {
				continue
			}
			left := uint64(len(x.queue) + 1)
			x.lost.Add(left)
			log.Error("the syslog server got not all events", "lost", x.lost.Load())
			return
		}
	}
}

// send sends an event, after what is to be told of those that were lost.
func (x *Exporter) send(ctx context.Context, c *conn, q queued) error {
	if err := x.connect(ctx, c); err != nil {
		return err
	}
	if n := x.untold.Load(); n > 0 {
		if err := c.write(x.lostMessage(n, time.Now())); err != nil {
			return err
		}
		x.untold.Add(-n)
	}
	return c.write(x.message(&q))
}

// connect connects, unless that was done.
func (x *Exporter) connect(ctx context.Context, c *conn) error {
	if c.gone() {
		c.close()
	}
	if c.open() {
		return nil
	}
	dialed, err := x.dial(ctx)
	if err != nil {
		return err
	}
	c.begin(dialed, x.config.Network)
	return nil
}

func (x *Exporter) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	d := net.Dialer{KeepAlive: 30 * time.Second}
	switch x.config.Network {
	case "unix":
		c, err := d.DialContext(ctx, "unixgram", x.config.Address)
		if err != nil { // some listen for streams
			if s, serr := d.DialContext(ctx, "unix", x.config.Address); serr == nil {
				return s, nil
			}
		}
		return c, err
	case "tls":
		return (&tls.Dialer{NetDialer: &d, Config: x.config.TLS}).DialContext(ctx, "tcp", x.config.Address)
	}
	return d.DialContext(ctx, x.config.Network, x.config.Address)
}

// A conn is the connection to the syslog server, if there is one.
type conn struct {
	net.Conn
	framed bool          // each message stands behind its length
	ended  chan struct{} // closed when the peer has closed its end
}

func (c *conn) begin(dialed net.Conn, network string) {
	_, datagrams := dialed.(*net.UnixConn)
	datagrams = datagrams && dialed.LocalAddr().Network() == "unixgram" || network == "udp"
	c.Conn, c.framed, c.ended = dialed, !datagrams, make(chan struct{})
	if c.framed {
		// A syslog server says nothing: what can be read is the end.
		go func(ended chan struct{}) {
			io.Copy(io.Discard, dialed)
			close(ended)
		}(c.ended)
	}
}

func (c *conn) open() bool { return c.Conn != nil }

// gone is whether the peer has closed the connection: what is written to it then is lost
// without an error.
func (c *conn) gone() bool {
	if !c.open() {
		return false
	}
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

func (c *conn) close() {
	if !c.open() {
		return
	}
	c.Conn.Close()
	if c.framed {
		<-c.ended
	}
	c.Conn = nil
}

func (c *conn) write(message string) error {
	if c.framed {
		message = strconv.Itoa(len(message)) + " " + message
	}
	c.SetWriteDeadline(time.Now().Add(sendTime))
	_, err := io.WriteString(c.Conn, message)
	return err
}
