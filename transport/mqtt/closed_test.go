package mqtt

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

// TestWithoutStatus runs on a mosquitto that keeps nothing: it refuses a connection that
// brings a retained last will.
func TestWithoutStatus(t *testing.T) {
	m := mosquitto.Start(t, nil, "allow_anonymous true", "retain_available false")
	t.Run("flow", func(t *testing.T) { checkFlow(t, gatewayConfig(m), pneConfig(m)) })
	l := newTestLink(t, gatewayConfig(m))
	ups, _, _ := run(t, l)
	await(t, ups, "Up")
	awaitDetail(t, l, transport.Up, "; broker refuses the status topic")
	// It is not asked again at each reconnection.
	l.session.Load().conn.Conn.Close()
	await(t, ups, "Up again")
	log := readLog(t, m)
	if n := strings.Count(log, "disconnected due to protocol error"); n > 2 {
		t.Errorf("the broker was shown %d last wills by two links:\n%s", n, log)
	}

	// Switched off, there is nothing to refuse.
	m = mosquitto.Start(t, nil, "allow_anonymous true", "retain_available false")
	off := gatewayConfig(m)
	off.NoStatus = true
	t.Run("flow, off", func(t *testing.T) { checkFlow(t, off, pneConfig(m)) })
	if log := readLog(t, m); strings.Contains(log, "protocol error") {
		t.Errorf("with NoStatus:\n%s", log)
	}
	m = mosquitto.Start(t, nil, "allow_anonymous true")
	off.URL = "mqtt://" + m.Addr()
	checkFlow(t, off, pneConfig(m))
	m.Publish("cpns/@gateway/gw-0001/status", []byte("by the test"), "-r")
	if got := m.Retained("cpns/@gateway/gw-0001/status"); got != "by the test" {
		t.Errorf("with NoStatus the status is %q", got)
	}
}

func readLog(t *testing.T, m *mosquitto.Broker) string {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(m.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// TestStatusIsTriedAgain: what was not the status's fault does not cost it.
func TestStatusIsTriedAgain(t *testing.T) {
	closing := make(chan bool, 2)
	closing <- true
	closing <- true
	wills := make(chan bool, 10)
	url := startHostile(t, func(w io.Writer, p packets.ControlPacket) {
		switch p := p.(type) {
		case *packets.ConnectPacket:
			wills <- p.WillFlag
			select {
			case <-closing:
				w.(net.Conn).Close()
			default:
				w.Write(connack)
			}
		default:
			answerAll(w, p)
		}
	})
	l := newTestLink(t, Config{Name: "broker", URL: url, Role: Gateway, Entity: "gw-0001"})
	ups, _, _ := run(t, l)
	await(t, ups, "Up")
	for i, want := range []bool{true, false, true} {
		if got := <-wills; got != want {
			t.Errorf("connection %d: last will %v, want %v", i, got, want)
		}
	}
	if got := l.Status().Detail; strings.Contains(got, "status") {
		t.Errorf("status is %q", got)
	}
}

// answerAll answers as a broker does.
func answerAll(w io.Writer, p packets.ControlPacket) {
	switch p := p.(type) {
	case *packets.ConnectPacket:
		w.Write(connack)
	case *packets.SubscribePacket:
		w.Write([]byte{typeSUBACK << 4, 3, byte(p.MessageID >> 8), byte(p.MessageID), 1})
	case *packets.PublishPacket:
		if p.Qos == 1 {
			w.Write([]byte{typePUBACK << 4, 2, byte(p.MessageID >> 8), byte(p.MessageID)})
		}
	}
}

// TestClosed has brokers close the connection at every stage, and say so in other ways.
func TestClosed(t *testing.T) {
	tlsBroker := mosquitto.Start(t, func(dir string) { newTestCA(t, filepath.Join(dir, "ca.pem")).server(dir, nil) },
		"allow_anonymous true", "certfile DIR/server.pem", "keyfile DIR/server.key")
	plainBroker := mosquitto.Start(t, nil, "allow_anonymous true")
	picky := mosquitto.Start(t, nil, "allow_anonymous true", "clientid_prefixes house")
	// closes has a broker close the connection on a packet of one kind.
	closes := func(on func(p packets.ControlPacket) bool) string {
		return startHostile(t, func(w io.Writer, p packets.ControlPacket) {
			if on(p) {
				w.(net.Conn).Close()
			} else {
				answerAll(w, p)
			}
		})
	}
	tests := []struct {
		name, url string
		role      Role
		send      bool
		want      []string
	}{
		{"plain to TLS", "mqtt://" + tlsBroker.Addr(), Gateway, false, []string{"closed the connection instead of answering", "use mqtts://", "client ID pngw"}},
		{"TLS to plain", "mqtts://" + plainBroker.Addr(), Gateway, false, []string{"closed the connection instead of beginning TLS", "use mqtt://"}},
		{"an alert", alerting(t), Gateway, false, []string{"speaks TLS: use mqtts://"}},
		{"client ID", "mqtt://" + picky.Addr(), Gateway, false, []string{"allow the client ID pngw"}},
		{"CONNECT", closes(isA[*packets.ConnectPacket]), PNE, false, []string{"closed the connection instead of answering", "client ID pne"}},
		{"SUBSCRIBE", closes(isA[*packets.SubscribePacket]), Gateway, false, []string{"closed the connection when asked for cpns/+/up", "access list", "QoS 1"}},
		{"PUBLISH", closes(func(p packets.ControlPacket) bool {
			pub, ok := p.(*packets.PublishPacket)
			return ok && strings.HasSuffix(pub.TopicName, "/down")
		}), Gateway, true, []string{"closed the connection on a message to cpns/x/down", "access list", "QoS 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newTestLink(t, Config{Name: "broker", URL: tt.url, Role: tt.role, Entity: "gw-0001"})
			if tt.send {
				l.wait = transport.Backoff{Min: time.Hour, Max: time.Hour}
			}
			ups, _, _ := run(t, l)
			if tt.send {
				await(t, ups, "Up")
				if err := l.Send(t.Context(), "x", []byte("message")); err != nil {
					t.Error(err)
				}
			}
			for _, want := range tt.want {
				awaitDetail(t, l, transport.Absent, want)
			}
		})
	}
	cfg := gatewayConfig(picky)
	cfg.ClientID = "house-7"
	l := newTestLink(t, cfg)
	ups, _, _ := run(t, l)
	await(t, ups, "Up with a client ID that the broker takes")
	awaitDetail(t, l, transport.Up, "as house-7")
}

func isA[P packets.ControlPacket](p packets.ControlPacket) bool { _, ok := p.(P); return ok }

// alerting is a broker for TLS that says so to whoever speaks none.
func alerting(t *testing.T) (url string) {
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
			packets.ReadPacket(conn)
			conn.Write([]byte{21, 3, 1, 0, 2, 2, 70}) // fatal, protocol_version
			conn.Close()
		}
	}()
	return "mqtt://" + l.Addr().String()
}

// TestNoQoS1 runs on a mosquitto that grants no more than QoS 0, and closes the connection
// of whoever sends at more.
func TestNoQoS1(t *testing.T) {
	m := mosquitto.Start(t, nil, "allow_anonymous true", "max_qos 0")
	t.Run("flow", func(t *testing.T) { checkFlow(t, gatewayConfig(m), pneConfig(m)) })
	l := newTestLink(t, pneConfig(m))
	ups, _, _ := run(t, l)
	await(t, ups, "Up")
	awaitDetail(t, l, transport.Up, "; broker grants no QoS 1 for cpns/identify: messages may be lost")
}

// TestRefusedAtQoS1 has a broker that refuses subscriptions at QoS 1 instead.
func TestRefusedAtQoS1(t *testing.T) {
	url := startHostile(t, func(w io.Writer, p packets.ControlPacket) {
		if s, ok := p.(*packets.SubscribePacket); ok {
			code := s.Qoss[0]
			if code > 0 {
				code = refused
			}
			w.Write([]byte{typeSUBACK << 4, 3, byte(s.MessageID >> 8), byte(s.MessageID), code})
			return
		}
		answerAll(w, p)
	})
	l := newTestLink(t, Config{Name: "broker", URL: url, Role: Gateway, Entity: "gw-0001"})
	ups, _, _ := run(t, l)
	await(t, ups, "Up")
	awaitDetail(t, l, transport.Up, "grants no QoS 1 for cpns/+/up")
}
