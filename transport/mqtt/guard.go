package mqtt

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"cpns.example.net/pngw/transport"
)

// A guard stands between the broker and paho, which trusts its broker: it would
// make room for a packet of any size announced, up to 256 MB, keep QoS 2 messages for as
// long as they are not released, and panic on a SUBACK with too many codes.
// The guard lets through the packets that a client of our kind can get, of the
// size that they have:
//
//   - PUBLISH at QoS 0 and 1. Of a payload that is too long to be a message it lets
//     one byte more than a message through, and drops the rest: the packet is
//     then acknowledged and counted like any other, and whoever sent it has not
//     cost us the connection.
//   - CONNACK, once and first, PUBACK, SUBACK for one topic, PINGRESP.
//
// Anything else ends the connection with a protocolError.
type guard struct {
	net.Conn
	in *bufio.Reader

	// The packet under way; owned by Read.
	head      []byte // not yet handed out: header and what was read with it
	pass      int    // bytes to hand out after head
	skip      int    // bytes to drop after those
	connected bool   // CONNACK was seen

	once sync.Once
	over chan struct{} // closed by Close
}

// writeTimeout ends a connection to a broker that takes no bytes.
const writeTimeout = 5 * time.Second

// A protocolError says what a broker sent that it must not.
type protocolError string

func (e protocolError) Error() string { return "broker breaks the protocol: " + string(e) }

// A speaksTLS is what a broker said before anything else: a TLS alert, because what
// we said was no TLS.
type speaksTLS struct{}

func (speaksTLS) Error() string { return "broker speaks TLS" }

// tlsAlert begins a TLS record that holds an alert (RFC 8446, 5.1): content type 21,
// and a version that is 3.x.
var tlsAlert = [2]byte{21, 3}

func newGuard(conn net.Conn) *guard {
	return &guard{Conn: conn, in: bufio.NewReader(conn), over: make(chan struct{})}
}

func (g *guard) Close() error {
	g.once.Do(func() { close(g.over) })
	return g.Conn.Close()
}

// Write and Read close the connection when they fail: paho does not notice every
// end.

func (g *guard) Write(p []byte) (int, error) {
	g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := g.Conn.Write(p)
	if err != nil {
		g.Close()
	}
	return n, err
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.read(p)
	if err != nil {
		g.Close()
	}
	return n, err
}

func (g *guard) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(g.head) == 0 && g.pass == 0 {
		n, err := g.in.Discard(g.skip)
		g.skip -= n
		if err != nil {
			return 0, err
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.head) > 0 {
		n := copy(p, g.head)
		g.head = g.head[n:]
		return n, nil
	}
	n, err := g.in.Read(p[:min(len(p), g.pass)])
	g.pass -= n
	return n, err
}

// Control packet types that a broker sends (MQTT 3.1.1, 2.2.1).
const (
	typeCONNACK  = 2
	typePUBLISH  = 3
	typePUBACK   = 4
	typeSUBACK   = 9
	typePINGRESP = 13
)

// next reads the next packet's fixed header and decides about it.
func (g *guard) next() error {
	first, err := g.in.ReadByte()
	if err != nil {
		return err
	}
	if !g.connected && first == tlsAlert[0] {
		if version, err := g.in.Peek(1); err == nil && version[0] == tlsAlert[1] {
			return speaksTLS{}
		}
	}
	size, err := g.remainingLength()
	if err != nil {
		return err
	}
	kind, flags := first>>4, first&15
	if (kind == typeCONNACK) == g.connected {
		return protocolError("CONNACK is not its first packet")
	}
	g.connected = true
	if kind == typePUBLISH {
		return g.publish(first, size)
	}
	want := -1
	switch kind {
	case typeCONNACK, typePUBACK:
		want = 2
	case typeSUBACK:
		want = 3 // we subscribe to one topic at a time
	case typePINGRESP:
		want = 0
	}
	if size != want || flags != 0 {
		return protocolError(fmt.Sprintf("packet type %d with flags %d and %d bytes", kind, flags, size))
	}
	if kind == typeCONNACK {
		// paho takes a return code that it does not know for success.
		code, err := g.in.Peek(2)
		if err != nil {
			return err
		}
		if code[1] > packets.ErrRefusedNotAuthorised {
			return protocolError(fmt.Sprintf("CONNACK with return code %d", code[1]))
		}
	}
	g.head = []byte{first, byte(size)}
	g.pass = size
	return nil
}

// remainingLength reads the length of the rest of a packet (2.2.3).
func (g *guard) remainingLength() (int, error) {
	n := 0
	for shift := 0; shift <= 21; shift += 7 {
		b, err := g.in.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, protocolError("remaining length of more than four bytes")
}

// publish decides about a PUBLISH packet of size bytes after its fixed header:
// topic (2 bytes of length, then that many), packet identifier (2, only with QoS 1),
// payload.
func (g *guard) publish(first byte, size int) error {
	qos := int(first >> 1 & 3)
	if qos > 1 {
		return protocolError(fmt.Sprintf("PUBLISH at QoS %d, which nobody subscribed to", qos))
	}
	length, err := g.in.Peek(2)
	if err != nil {
		return err
	}
	payload := size - (2 + int(binary.BigEndian.Uint16(length)) + 2*qos)
	if payload < 0 {
		return protocolError(fmt.Sprintf("PUBLISH of %d bytes is shorter than its topic", size))
	}
	g.skip = max(0, payload-(transport.MaxMessage+1))
	g.pass = size - g.skip
	g.head = appendLength([]byte{first}, g.pass)
	return nil
}

// appendLength appends n as a remaining length.
func appendLength(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}
