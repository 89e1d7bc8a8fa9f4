package mqtt

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

// startHostile starts a broker that answers each packet as answer says.
func startHostile(t *testing.T, answer func(w io.Writer, p packets.ControlPacket)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for {
					p, err := packets.ReadPacket(conn)
					if err != nil {
						return
					}
					answer(conn, p)
				}
			}()
		}
	}()
	return "mqtt://" + l.Addr().String()
}

func TestHostileBroker(t *testing.T) {
	suback := func(w io.Writer, s *packets.SubscribePacket, code byte) {
		w.Write([]byte{typeSUBACK << 4, 3, byte(s.MessageID >> 8), byte(s.MessageID), code})
	}
	tests := []struct {
		name   string
		answer func(w io.Writer, p packets.ControlPacket)
		want   string
	}{
		{"unknown CONNACK code", func(w io.Writer, p packets.ControlPacket) {
			w.Write([]byte{typeCONNACK << 4, 2, 0, 99})
		}, "CONNACK with return code 99"},
		{"SUBACK with codes for topics that nobody asked for", func(w io.Writer, p packets.ControlPacket) {
			switch p := p.(type) {
			case *packets.ConnectPacket:
				w.Write(connack)
			case *packets.SubscribePacket:
				w.Write([]byte{typeSUBACK << 4, 5, byte(p.MessageID >> 8), byte(p.MessageID), 1, 1, 1})
			}
		}, "breaks the protocol"},
		{"SUBACK with QoS 2", func(w io.Writer, p packets.ControlPacket) {
			switch p := p.(type) {
			case *packets.ConnectPacket:
				w.Write(connack)
			case *packets.SubscribePacket:
				suback(w, p, 2)
			}
		}, "not authorised to subscribe"},
		{"PUBACK for the subscription", func(w io.Writer, p packets.ControlPacket) {
			switch p := p.(type) {
			case *packets.ConnectPacket:
				w.Write(connack)
			case *packets.SubscribePacket:
				w.Write([]byte{typePUBACK << 4, 2, byte(p.MessageID >> 8), byte(p.MessageID)})
			}
		}, "not authorised to subscribe"},
		{"acknowledgements of nothing, then QoS 2", func(w io.Writer, p packets.ControlPacket) {
			switch p := p.(type) {
			case *packets.ConnectPacket:
				w.Write(connack)
			case *packets.SubscribePacket:
				for id := range byte(100) {
					w.Write([]byte{typePUBACK << 4, 2, 0x77, id, typePINGRESP << 4, 0, typeSUBACK << 4, 3, 0x77, id, 0})
				}
				suback(w, p, 1)
				w.Write([]byte{typePUBLISH<<4 | 4, 5, 0, 1, 'x', 0, 1})
			}
		}, "QoS 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newTestLink(t, Config{Name: "broker", URL: startHostile(t, tt.answer), Role: Gateway, Entity: "gw-0001"})
			run(t, l)
			awaitDetail(t, l, transport.Absent, tt.want)
		})
	}
}

// TestSilentBroker has a broker that takes the connection and says nothing.
func TestSilentBroker(t *testing.T) {
	asked := make(chan struct{}, 10)
	url := startHostile(t, func(io.Writer, packets.ControlPacket) { asked <- struct{}{} })
	l := newTestLink(t, Config{Name: "broker", URL: url, Role: Gateway, Entity: "gw-0001"})
	_, _, stop := run(t, l)
	await(t, asked, "CONNECT")
	begin := time.Now()
	stop()
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("Run took %v to return while it waited for CONNACK", d)
	}
}

// TestNoAcknowledgements has a broker that never acknowledges a message. Only so
// many may wait for that, and not for ever.
func TestNoAcknowledgements(t *testing.T) {
	url := startHostile(t, func(w io.Writer, p packets.ControlPacket) {
		switch p := p.(type) {
		case *packets.ConnectPacket:
			w.Write(connack)
		case *packets.SubscribePacket:
			w.Write([]byte{typeSUBACK << 4, 3, byte(p.MessageID >> 8), byte(p.MessageID), 1})
		}
	})
	l := newTestLink(t, Config{Name: "broker", URL: url, Role: PNE, Entity: "pne-0001"})
	l.wait, l.ackTimeout = transport.Backoff{Min: time.Hour, Max: time.Hour}, 5*time.Second
	ups, _, _ := run(t, l)
	await(t, ups, "Up")
	for n := range window {
		if err := l.Send(t.Context(), "", []byte("message")); err != nil {
			t.Fatalf("message %d of those that may wait for an acknowledgement: %v", n+1, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Send(ctx, "", []byte("message")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one more than %d: got error %v, want it to wait", window, err)
	}
	awaitDetail(t, l, transport.Absent, "acknowledges nothing")
}

// TestFlood has strangers publish while the handler is busy.
func TestFlood(t *testing.T) {
	m := mosquitto.Start(t, nil, "allow_anonymous true")
	gw, pne := newTestLink(t, gatewayConfig(m)), newTestLink(t, pneConfig(m))
	gate, fresh := make(chan struct{}), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done, up := make(chan error), make(chan struct{})
	go func() {
		done <- gw.Run(ctx, transport.Handler{
			Up: func() { close(up) },
			Message: func(m transport.Message) {
				<-gate
				if string(m.Data) == "fresh" {
					select {
					case fresh <- struct{}{}:
					default:
					}
				}
			},
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	pneUp, _, _ := run(t, pne)
	await(t, up, "Up at the gateway")
	await(t, pneUp, "Up at the PNE")

	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, size := range []int{100, transport.MaxMessage, 5000} {
		cmd := exec.Command(mosquitto.Tool(t, "mosquitto_pub"), "-h", "127.0.0.1", "-p", m.Port, "-q", "0", "-t", "cpns/invented/up", "-l")
		cmd.Stdin = strings.NewReader(strings.Repeat(strings.Repeat("f", size)+"\n", 2000))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_pub: %v\n%s", err, out)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("heap grew by %d bytes under a flood of 11 MB", grown)
	}
	close(gate)
	for begin := time.Now(); ; {
		if err := pne.Send(t.Context(), "", []byte("fresh")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-fresh:
		case <-time.After(20 * time.Millisecond):
			if time.Since(begin) > 2*time.Minute {
				t.Fatalf("no message after the flood; status %+v", gw.Status())
			}
			continue
		}
		break
	}
}

// TestBusyHandler: a handler that was busy, and sends as it catches up, gets
// everything that came meanwhile.
func TestBusyHandler(t *testing.T) {
	const n = queueSize
	m := mosquitto.Start(t, nil, "allow_anonymous true", "max_queued_messages 0")
	gw := newTestLink(t, gatewayConfig(m))
	ctx, cancel := context.WithCancel(context.Background())
	gate, up, all := make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
	done := make(chan error, 1)
	got := 0
	go func() {
		done <- gw.Run(ctx, transport.Handler{Up: func() { up <- struct{}{} }, Message: func(transport.Message) {
			<-gate
			// A handler that sends must not wait for acknowledgements that are
			// behind the messages that wait for it.
			if err := gw.Send(ctx, "x", []byte("answer")); err != nil {
				t.Error(err)
			}
			if got++; got == n {
				close(all)
			}
		}})
	}()
	await(t, up, "Up at the gateway")
	cmd := exec.Command(mosquitto.Tool(t, "mosquitto_pub"), "-h", "127.0.0.1", "-p", m.Port, "-q", "1", "-t", "cpns/x/up", "-l")
	cmd.Stdin = strings.NewReader(strings.Repeat("hello\n", n))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
	close(gate)
	select {
	case <-all:
	case <-time.After(2 * time.Minute):
		t.Errorf("not all of %d messages arrived; status %+v", n, gw.Status())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
