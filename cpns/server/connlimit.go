package server

import (
	"net"
	"net/netip"
	"sync"
)

// Connections that the server has at a time, in all and from one source address.
const (
	connections          = 1024
	connectionsPerSource = 256
)

// A limitListener closes connections above the limits as soon as they come:
// making them wait would let those who hold connections keep others out.
type limitListener struct {
	net.Listener
	mu    sync.Mutex
	total int
	open  map[netip.Prefix]int
}

func newLimitListener(ln net.Listener) *limitListener {
	return &limitListener{Listener: ln, open: make(map[netip.Prefix]int)}
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(connAddr(c))
		if l.enter(source) {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(source) })}, nil
		}
		c.Close()
	}
}

func (l *limitListener) enter(source netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= connections || l.open[source] >= connectionsPerSource {
		return false
	}
	l.total++
	l.open[source]++
	return true
}

func (l *limitListener) leave(source netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.open[source]--; l.open[source] == 0 {
		delete(l.open, source)
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

func connAddr(c net.Conn) netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	return netip.Addr{}
}
