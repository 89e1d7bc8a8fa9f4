package server

import (
	"bufio"
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"
)

// The number of connections that the server accepts at a time is limited, in total and
// from one source address. If the limit is reached, a new connection displaces an older
// one that has not carried an authentic request yet: one from the network with the most
// of those, if that has more than the new connection's network; else one from the
// source with the most in its own network; else one from its own source. In this way
// neither a few networks, nor a stranger behind the same address, can keep a gateway out
// by holding connections. A connection that has carried a request that opened under
// PSK1 is never displaced.
const (
	connections          = 1024
	connectionsPerSource = 256

	proxied = 1024 // connections from proxies whose PROXY header is still to come
)

// networkOf is the network of an address, for comparing who has the most connections when
// the limit is reached: about what a provider assigns as one block, larger than a source.
func networkOf(source netip.Prefix) netip.Prefix { return prefixOf(source.Addr(), 24, 32) }

// A limitListener closes one connection for each that exceeds the limits, at once: if new
// connections had to wait, whoever holds connections could keep others out.
type limitListener struct {
	net.Listener
	proxyProtocol, forwarders proxies
	pending                   chan struct{} // a place for each whose PROXY header is to come
	failed                    func(error)   // told of bad PROXY headers

	mu       sync.Mutex
	total    int
	refused  uint64                      // or closed for another
	open     map[netip.Prefix]int        // by source
	unproved map[netip.Prefix]*list.List // of *limitedConn by network, the oldest first
}

func newLimitListener(ln net.Listener, proxyProtocol, forwarders proxies, failed func(error)) *limitListener {
	return &limitListener{
		Listener:      ln,
		proxyProtocol: proxyProtocol,
		forwarders:    forwarders,
		pending:       make(chan struct{}, proxied),
		failed:        failed,
		open:          make(map[netip.Prefix]int),
		unproved:      make(map[netip.Prefix]*list.List),
	}
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		lc := &limitedConn{Conn: c, l: l, addr: c.RemoteAddr()}
		from := addrOf(lc.addr)
		if l.proxyProtocol.contain(from) {
			select {
			case l.pending <- struct{}{}:
				lc.reader = bufio.NewReader(c)
				return lc, nil
			default:
				l.refuse()
			}
		} else if l.enter(lc, from) {
			return lc, nil
		}
		c.Close()
	}
}

// enter gives the connection of an address a place, or reports that there is none.
func (l *limitListener) enter(c *limitedConn, from netip.Addr) bool {
	forwarder := l.forwarders.contain(from) // has the connections of many
	source := sourceOf(from)
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.left {
		return false
	}
	network := networkOf(source)
	over := !forwarder && l.open[source] >= connectionsPerSource
	if over || l.total >= connections {
		victim := oldest(l.unproved[network], source)
		if !over {
			victim = l.displaced(source, network)
		}
		l.refused++
		if victim == nil {
			return false
		}
		l.leaveLocked(victim)
		victim.Conn.Close()
	}
	l.total++
	l.open[source]++
	c.in, c.source, c.network = true, source, network
	if !forwarder {
		queue := l.unproved[network]
		if queue == nil {
			queue = list.New()
			l.unproved[network] = queue
		}
		c.place = queue.PushBack(c)
	}
	return true
}

func (l *limitListener) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
}

// counts are how many connections there are, and how many were refused.
func (l *limitListener) counts() (open int, refused uint64) {
	if l == nil {
		return 0, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, l.refused
}

// displaced is the connection that makes room for one of the source, nil for none.
// l.mu is held.
func (l *limitListener) displaced(source, network netip.Prefix) *limitedConn {
	own := l.unproved[network]
	most := 1
	if own != nil {
		most += own.Len()
	}
	var victim *limitedConn
	for _, queue := range l.unproved {
		if queue.Len() > most {
			most, victim = queue.Len(), queue.Front().Value.(*limitedConn)
		}
	}
	if victim != nil || own == nil {
		return victim
	}
	bySource := make(map[netip.Prefix]int)
	for e := own.Front(); e != nil; e = e.Next() {
		bySource[e.Value.(*limitedConn).source]++
	}
	most, heaviest := bySource[source]+1, source
	for s, n := range bySource {
		if n > most {
			most, heaviest = n, s
		}
	}
	return oldest(own, heaviest)
}

// oldest is the first connection of a source in a queue, nil for none.
func oldest(queue *list.List, source netip.Prefix) *limitedConn {
	if queue == nil {
		return nil
	}
	for e := queue.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*limitedConn); c.source == source {
			return c
		}
	}
	return nil
}

// leave gives the place back.
func (l *limitListener) leave(c *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaveLocked(c)
}

func (l *limitListener) leaveLocked(c *limitedConn) {
	c.left = true
	if !c.in {
		return
	}
	c.in = false
	l.total--
	if l.open[c.source]--; l.open[c.source] == 0 {
		delete(l.open, c.source)
	}
	l.unqueue(c)
}

// unqueue takes a connection out of those that may be displaced. l.mu is held.
func (l *limitListener) unqueue(c *limitedConn) {
	if c.place == nil {
		return
	}
	queue := l.unproved[c.network]
	queue.Remove(c.place)
	c.place = nil
	if queue.Len() == 0 {
		delete(l.unproved, c.network)
	}
}

// A limitedConn is a connection with a place. A proxy's connection gets its place when
// the PROXY header has told its source. The connection's own goroutine reads the header,
// when package http first asks for the address.
type limitedConn struct {
	net.Conn
	l      *limitListener
	reader *bufio.Reader // of a connection with a PROXY header, else nil
	once   sync.Once
	addr   net.Addr
	err    error // why nothing is read

	// Under l.mu.
	in, left        bool
	source, network netip.Prefix
	place           *list.Element // among those that have proved nothing
}

func (c *limitedConn) RemoteAddr() net.Addr {
	c.once.Do(c.identify)
	return c.addr
}

func (c *limitedConn) Read(p []byte) (int, error) {
	c.once.Do(c.identify)
	if c.err != nil {
		return 0, c.err
	}
	if c.reader != nil {
		return c.reader.Read(p)
	}
	return c.Conn.Read(p)
}

// identify reads the PROXY header, where there has to be one.
func (c *limitedConn) identify() {
	if c.reader == nil {
		return
	}
	defer func() { <-c.l.pending }()
	c.Conn.SetReadDeadline(time.Now().Add(headerTime))
	addr, err := readProxyHeader(c.reader)
	c.Conn.SetReadDeadline(time.Time{})
	if err != nil {
		c.l.failed(err)
	} else {
		if addr.IsValid() {
			c.addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))
		}
		if !c.l.enter(c, addrOf(c.addr)) {
			err = net.ErrClosed
		}
	}
	if c.err = err; err != nil {
		c.Close()
	}
}

func (c *limitedConn) Close() error {
	c.l.leave(c)
	return c.Conn.Close()
}

// prove says that the connection carried a request that opened under PSK1.
func (c *limitedConn) prove() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.unqueue(c)
}

// connKey is where a request's context has its connection.
type connKey struct{}

// withConn is the ConnContext of an http.Server.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if lc, ok := c.(*limitedConn); ok {
		return context.WithValue(ctx, connKey{}, lc)
	}
	return ctx
}

// proved marks the connection of the request whose context it gets.
func proved(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*limitedConn); ok {
		c.prove()
	}
}

func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
