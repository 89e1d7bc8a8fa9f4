package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestProxyHeader(t *testing.T) {
	v2 := func(command, family byte, rest string) string {
		return string(proxyV2Signature) + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
	}
	v4 := "\xc0\x00\x02\x07\x7f\x00\x00\x01\x12\x34\x20\xfb"
	v6 := "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x09" + strings.Repeat("\x00", 16) + "\x12\x34\x20\xfb"
	tests := []struct {
		name, header string
		want         string // the address, "" for none, "error"
	}{
		{"v1 TCP4", "PROXY TCP4 192.0.2.7 127.0.0.1 4660 8443\r\n", "192.0.2.7"},
		{"v1 TCP6", "PROXY TCP6 2001:db8::9 ::1 4660 8443\r\n", "2001:db8::9"},
		{"v1 mapped", "PROXY TCP6 ::ffff:192.0.2.7 ::1 4660 8443\r\n", "192.0.2.7"},
		{"v1 unknown", "PROXY UNKNOWN\r\n", ""},
		{"v1 unknown with addresses", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""},
		{"v1 of the other kind", "PROXY TCP4 2001:db8::9 ::1 4660 8443\r\n", "error"},
		{"v1 UDP", "PROXY UDP4 192.0.2.7 127.0.0.1 4660 8443\r\n", "error"},
		{"v1 without ports", "PROXY TCP4 192.0.2.7 127.0.0.1\r\n", "error"},
		{"v1 no address", "PROXY TCP4 localhost 127.0.0.1 4660 8443\r\n", "error"},
		{"v1 without an end", "PROXY TCP4 " + strings.Repeat("1", 500), "error"},
		{"v1 cut off", "PROXY TCP4 192.0.2.7 127.0", "error"},
		{"v2 TCP4", v2(0x21, 0x11, v4), "192.0.2.7"},
		{"v2 TCP4 with more", v2(0x21, 0x11, v4+"\x04\x00\x01x"), "192.0.2.7"},
		{"v2 TCP6", v2(0x21, 0x21, v6), "2001:db8::9"},
		{"v2 of the proxy itself", v2(0x20, 0x00, ""), ""},
		{"v2 of the proxy itself with addresses", v2(0x20, 0x11, v4), ""},
		{"v2 unspecified", v2(0x21, 0x00, "xyz"), ""},
		{"v2 UDP", v2(0x21, 0x12, v4), "error"},
		{"v2 UNIX", v2(0x21, 0x31, strings.Repeat("x", 216)), "error"},
		{"v2 too short", v2(0x21, 0x11, v4[:11]), "error"},
		{"v2 version 3", v2(0x31, 0x11, v4), "error"},
		{"v2 another command", v2(0x22, 0x11, v4), "error"},
		{"v2 too long", v2(0x21, 0x11, strings.Repeat("x", proxyV2Most+1)), "error"},
		{"v2 cut off", v2(0x21, 0x11, v4)[:20], "error"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh", "error"},
		{"nothing", "", "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const after = "what the client sends"
			r := bufio.NewReader(strings.NewReader(tt.header + after))
			if tt.want == "error" {
				r = bufio.NewReader(strings.NewReader(tt.header))
			}
			addr, err := readProxyHeader(r)
			got := ""
			if addr.IsValid() {
				got = addr.String()
			}
			if err != nil {
				got = "error"
			}
			if got != tt.want {
				t.Fatalf("got %q, %v, want %q", got, err, tt.want)
			}
			if rest, _ := io.ReadAll(r); tt.want != "error" && string(rest) != after {
				t.Errorf("left: %q", rest)
			}
		})
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 127.0.0.1 4660 8443\r\n"))
	f.Add(append(bytes.Clone(proxyV2Signature), "\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x12\x34\x20\xfb"...))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		addr, err := readProxyHeader(r)
		if err != nil && addr.IsValid() {
			t.Errorf("both %v and %v", addr, err)
		}
		if addr.Zone() != "" || addr.Is4In6() {
			t.Errorf("%v has two forms", addr)
		}
		if left, _ := io.ReadAll(r); err == nil && !bytes.HasSuffix(in, left) {
			t.Error("what follows was changed")
		}
	})
}

func TestForwardedFor(t *testing.T) {
	ours := proxies{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("2001:db8::/64")}
	tests := []struct {
		name, from string
		headers    []string
		want       string
	}{
		{"no proxy", "192.0.2.1", []string{"198.51.100.1"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"in two headers", "10.0.0.1", []string{"198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"the client claims another", "10.0.0.1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"the client claims a proxy", "10.0.0.1", []string{"203.0.113.9, 10.0.0.3, 198.51.100.1"}, "198.51.100.1"},
		{"without the header", "10.0.0.1", nil, "10.0.0.1"},
		{"nonsense", "10.0.0.1", []string{"unknown"}, "10.0.0.1"},
		{"nonsense behind", "10.0.0.1", []string{"198.51.100.1, x"}, "10.0.0.1"},
		{"with a port", "10.0.0.1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6", "2001:db8::5", []string{"2001:db8:7::1"}, "2001:db8:7::1"},
		{"IPv6 in brackets", "2001:db8::5", []string{"[2001:db8:7::1]"}, "2001:db8:7::1"},
		{"IPv6 with a port", "2001:db8::5", []string{"[2001:db8:7::1]:80"}, "2001:db8:7::1"},
		{"mapped", "10.0.0.1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	}
	for _, tt := range tests {
		h := make(http.Header)
		for _, v := range tt.headers {
			h.Add("X-Forwarded-For", v)
		}
		if got := ours.forwardedFor(h, netip.MustParseAddr(tt.from)).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestCheckProxies(t *testing.T) {
	if err := checkProxies([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}, nil); err != nil {
		t.Error(err)
	}
	for _, bad := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:10.0.0.0/104")} {
		if checkProxies(nil, []netip.Prefix{bad}) == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// A pipe is a connection from an address of choice.
type pipe struct {
	net.Conn
	from string
}

func (p pipe) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(p.from), 1))
}

type pipeListener struct {
	net.Listener
	next chan net.Conn
}

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l.next
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

// crowd is a limitListener and a way to come to it.
func crowd() (l *limitListener, come func(from string) *limitedConn) {
	in := make(chan net.Conn, 2)
	l = newLimitListener(pipeListener{next: in}, proxies{netip.MustParsePrefix("10.0.0.1/32")}, proxies{netip.MustParsePrefix("10.0.0.2/32")}, func(error) {})
	return l, func(from string) *limitedConn {
		mine, theirs := net.Pipe()
		go func() { io.Copy(io.Discard, theirs) }()
		in <- pipe{mine, from}
		// One that is refused is skipped: a second shows it.
		marker, _ := net.Pipe()
		in <- pipe{marker, "10.0.0.1"}
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		if lc := c.(*limitedConn); lc.Conn.(pipe).from == from && from != "10.0.0.1" {
			if _, err := l.Accept(); err != nil { // the marker
				panic(err)
			}
			<-l.pending
			return lc
		}
		<-l.pending
		return nil
	}
}

// isOpen reports whether the server has not closed the connection.
func (c *limitedConn) isOpen() bool {
	c.Conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Conn.Read(make([]byte, 1))
	return !errors.Is(err, io.ErrClosedPipe)
}

// Four networks that hold all connections make room for others, and cannot push
// out what has proved to be a gateway's.
func TestCrowd(t *testing.T) {
	l, come := crowd()
	gateway := come("198.51.100.1")
	gateway.prove()
	idle := come("198.51.100.2")
	neighbour := come("192.0.2.1") // a gateway beside those who flood, and the first to come
	neighbour.prove()
	var flood []*limitedConn
	four := []string{"192.0.2.1", "203.0.113.1", "2001:db8::1", "100.64.0.1"}
	for n := 0; l.total < connections; n++ {
		if n > 2*connections {
			t.Fatal("the four cannot fill the server")
		}
		flood = append(flood, come(four[n%4]))
	}
	for _, source := range four {
		flood = append(flood, come(source))
		if l.open[sourceOf(netip.MustParseAddr(source))] > connectionsPerSource {
			t.Error("one source has more than its share")
		}
	}
	var others []*limitedConn
	for n := range 20 {
		c := come([]string{"198.51.101.1", "2001:db9::1"}[n%2])
		if c == nil {
			t.Fatalf("newcomer %d of another network was not let in", n)
		}
		others = append(others, c)
	}
	for _, c := range append(others, gateway, idle, neighbour) {
		if !c.isOpen() {
			t.Errorf("%v was pushed out", c.addr)
		}
	}
	closed := 0
	for _, c := range flood {
		if !c.isOpen() {
			closed++
		}
	}
	if closed < len(others)+len(four)-1 || l.total > connections {
		t.Errorf("%d of the flood were closed for %d others, %d are open", closed, len(others), l.total)
	}
	// Those who flood get nothing back from others than each other.
	for range 3000 {
		come("192.0.2.9")
		come("192.0.2.1")
	}
	for _, c := range append(others, gateway, idle, neighbour) {
		if !c.isOpen() {
			t.Errorf("%v was pushed out by the flood", c.addr)
		}
		c.Close()
		c.Close()
	}
	for _, c := range flood {
		c.Close()
	}
}

// A stranger who holds all connections that an address may have, or that there are,
// keeps nobody out behind the same address or beside it.
func TestCrowdNeighbours(t *testing.T) {
	l, come := crowd()
	var flood []*limitedConn
	for range connectionsPerSource {
		flood = append(flood, come("192.0.2.1"))
	}
	behind := come("192.0.2.1")
	if behind == nil || flood[0].isOpen() || !flood[1].isOpen() {
		t.Fatal("behind the same address: not let in, or not for the oldest")
	}
	behind.prove()
	for range connectionsPerSource {
		come("192.0.2.1")
	}
	if !behind.isOpen() {
		t.Error("what has proved to be a gateway's was pushed out")
	}
	for n := 0; l.total < connections; n++ {
		come([]string{"192.0.2.2", "192.0.2.3", "192.0.2.4"}[n%3])
	}
	beside := come("192.0.2.77")
	if beside == nil {
		t.Fatal("beside them: not let in")
	}
	for range connections {
		come("192.0.2.2")
	}
	if !beside.isOpen() || !behind.isOpen() || l.total > connections {
		t.Errorf("pushed out by another address, or %d are open", l.total)
	}
}

// A network is as wide as what its owner has: one with many addresses in it is
// weighed as one.
func TestCrowdOfManyAddresses(t *testing.T) {
	l, come := crowd()
	for n := 0; l.total < connections; n++ {
		from := netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 5: byte(n >> 8), 6: byte(n)})
		if come(from.String()) == nil {
			t.Fatal("not let in, although there is room")
		}
	}
	if come("198.51.100.1") == nil {
		t.Error("a newcomer of another network was not let in")
	}
}

// A proxy that ends TLS has more connections than one source, and keeps them.
func TestCrowdForwarder(t *testing.T) {
	l, come := crowd()
	for range connectionsPerSource + 10 {
		if come("10.0.0.2") == nil {
			t.Fatal("not let in")
		}
	}
	if len(l.unproved) != 0 {
		t.Error("a proxy's connections can be pushed out")
	}
}

// One source has no more than its share, also where it takes it from a network that
// has more.
func TestOneSourceInACrowd(t *testing.T) {
	l, come := crowd()
	for n := 0; l.total < connections; n++ {
		if n > 2*connections {
			t.Fatal("they cannot fill the server")
		}
		come([]string{"203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"}[n%4])
	}
	for range 2 * connectionsPerSource {
		come("192.0.2.1")
	}
	if got := l.open[sourceOf(netip.MustParseAddr("192.0.2.1"))]; got > connectionsPerSource {
		t.Errorf("one source has %d connections, at most %d", got, connectionsPerSource)
	}
}
