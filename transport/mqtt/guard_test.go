package mqtt

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"cpns.example.net/pngw/transport"
)

// wire is a connection on which a broker has said all that it will.
type wire struct {
	net.Conn
	io.Reader
}

func (w wire) Read(p []byte) (int, error) { return w.Reader.Read(p) }
func (w wire) Close() error               { return nil }

func guarded(said []byte) *guard { return newGuard(wire{Reader: bytes.NewReader(said)}) }

var connack = []byte{typeCONNACK << 4, 2, 0, 0}

// publishPacket returns a PUBLISH packet.
func publishPacket(t testing.TB, qos byte, topic string, payload []byte) []byte {
	t.Helper()
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.Qos, p.TopicName, p.MessageID, p.Payload = qos, topic, 7, payload
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGuardPasses(t *testing.T) {
	said := bytes.Join([][]byte{
		connack,
		{typeSUBACK << 4, 3, 0, 1, 1},
		publishPacket(t, 1, "cpns/e/up", []byte("message")),
		{typePUBACK << 4, 2, 0, 1},
		publishPacket(t, 0, "cpns/e/up", bytes.Repeat([]byte{1}, transport.MaxMessage)),
		{typePINGRESP << 4, 0},
		publishPacket(t, 1, "cpns/e/up", nil),
	}, nil)
	for name, r := range map[string]io.Reader{"whole": guarded(said), "by bytes": iotest.OneByteReader(guarded(said))} {
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, said) {
			t.Errorf("%s: got %x, %v, want %x", name, got, err, said)
		}
	}
}

// TestGuardShortens sends payloads that are no message, and a good packet after them.
func TestGuardShortens(t *testing.T) {
	for _, size := range []int{transport.MaxMessage + 1, transport.MaxMessage + 2, 20000, 3 << 20} {
		for qos := range byte(2) {
			g := guarded(bytes.Join([][]byte{
				connack,
				publishPacket(t, qos, "cpns/e/up", bytes.Repeat([]byte{0x30}, size)),
				publishPacket(t, qos, "cpns/e/up", []byte("good")),
			}, nil))
			for i, want := range []int{-1, transport.MaxMessage + 1, len("good")} {
				p, err := packets.ReadPacket(g)
				if err != nil {
					t.Fatalf("size %d, QoS %d, packet %d: %v", size, qos, i, err)
				}
				pub, ok := p.(*packets.PublishPacket)
				if ok != (i > 0) {
					t.Fatalf("size %d, QoS %d: packet %d is %v", size, qos, i, p)
				}
				if ok && (len(pub.Payload) != want || pub.TopicName != "cpns/e/up" || pub.Qos != qos || qos == 1 && pub.MessageID != 7) {
					t.Errorf("size %d, QoS %d, packet %d: %d bytes on %q with ID %d, want %d", size, qos, i, len(pub.Payload), pub.TopicName, pub.MessageID, want)
				}
			}
		}
	}
}

// TestGuardBelievesNoLength announces the largest packet there is, and sends none
// of it.
func TestGuardBelievesNoLength(t *testing.T) {
	said := append(bytes.Clone(connack), typePUBLISH<<4, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'x')
	g := guarded(said)
	if _, err := packets.ReadPacket(g); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if p, err := packets.ReadPacket(g); err == nil {
		t.Errorf("got %v, which was never sent", p)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 256<<10 {
		t.Errorf("an announced packet of 256 MB takes %d bytes", got)
	}
}

func TestGuardRefuses(t *testing.T) {
	tests := []struct {
		name string
		said []byte
		want string
	}{
		{"no CONNACK first", []byte{typePINGRESP << 4, 0}, "not its first packet"},
		{"CONNACK twice", connack, "not its first packet"},
		{"long CONNACK", []byte{typeCONNACK << 4, 3, 0, 0, 0}, "packet type 2"},
		{"QoS 2", publishPacket(t, 2, "cpns/e/up", nil), "QoS 2"},
		{"QoS 3", []byte{typePUBLISH<<4 | 6, 2, 0, 0}, "QoS 3"},
		{"PUBLISH shorter than its topic", []byte{typePUBLISH << 4, 4, 0, 200, 'x', 'y'}, "shorter than its topic"},
		{"SUBACK for two topics", []byte{typeSUBACK << 4, 4, 0, 1, 1, 1}, "packet type 9"},
		{"SUBACK for none", []byte{typeSUBACK << 4, 2, 0, 1}, "packet type 9"},
		{"PUBACK with flags", []byte{typePUBACK<<4 | 2, 2, 0, 1}, "packet type 4"},
		{"long PUBACK", []byte{typePUBACK << 4, 0x80, 0x80, 0x80, 1}, "packet type 4"},
		{"PUBREL", []byte{6<<4 | 2, 2, 0, 1}, "packet type 6"},
		{"CONNECT", []byte{1 << 4, 0}, "packet type 1"},
		{"packet type 15", []byte{15 << 4, 0}, "packet type 15"},
		{"endless length", []byte{typePUBLISH << 4, 0xff, 0xff, 0xff, 0xff, 1}, "more than four bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			said := tt.said
			if tt.name != "no CONNACK first" && tt.name != "long CONNACK" {
				said = append(bytes.Clone(connack), said...)
			}
			_, err := io.ReadAll(guarded(said))
			var broken protocolError
			if !errors.As(err, &broken) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a protocolError with %q", err, tt.want)
			}
		})
	}
}

// FuzzGuard holds that whatever a broker says, paho reads only packets that a
// client gets, none longer than a message and its topic, and does not panic.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{typeSUBACK << 4, 3, 0, 1, 1})
	f.Add(publishPacket(f, 1, "cpns/e/up", []byte("message")))
	f.Add(publishPacket(f, 0, "cpns/e/up", make([]byte, 2000)))
	f.Add([]byte{typePUBLISH << 4, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, said []byte) {
		g := guarded(append(bytes.Clone(connack), said...))
		for i := 0; ; i++ {
			p, err := packets.ReadPacket(g)
			if err != nil {
				return
			}
			switch p := p.(type) {
			case *packets.ConnackPacket:
				if i > 0 {
					t.Fatal("second CONNACK")
				}
			case *packets.PublishPacket:
				if len(p.Payload) > transport.MaxMessage+1 || p.Qos > 1 {
					t.Fatalf("payload of %d bytes at QoS %d", len(p.Payload), p.Qos)
				}
			case *packets.SubackPacket:
				if len(p.ReturnCodes) != 1 {
					t.Fatalf("SUBACK with %d codes", len(p.ReturnCodes))
				}
			case *packets.PubackPacket, *packets.PingrespPacket:
			default:
				t.Fatalf("paho got %v", p)
			}
		}
	})
}
