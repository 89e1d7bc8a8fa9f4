package mqtt

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/linktest"
)

const entity = "urn:imei:35-209900-176148-1/a+b" // needs encoding in a topic

func gatewayConfig(m *mosquitto) Config {
	return Config{Name: "gateway", URL: "mqtt://" + m.addr(), Role: Gateway, Entity: "gw-0001"}
}

func pneConfig(m *mosquitto) Config {
	return Config{Name: "pne", URL: "mqtt://" + m.addr(), Role: PNE, Entity: entity}
}

// newTestLink returns a Link that does not wait long.
func newTestLink(t testing.TB, cfg Config) *Link {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.wait = transport.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}
	return l
}

func TestConformance(t *testing.T) {
	linktest.Run(t, func(t *testing.T) linktest.Rig {
		m := startMosquitto(t, nil, "allow_anonymous true")
		return linktest.Rig{
			Gateway:   newTestLink(t, gatewayConfig(m)),
			PNE:       newTestLink(t, pneConfig(m)),
			Entity:    entity,
			PeerNamed: true,
			Cut:       m.kill,
			Restore:   m.start,
			Noise: func(junk []byte) {
				m.publish("cpns/%zz/up", junk)
				giant := bytes.Repeat(junk, 1+100_000/len(junk))
				m.publish(topics{"cpns"}.up(entity), giant)
				m.publish(topics{"cpns"}.down(entity), giant)
			},
		}
	})
}

// run runs l until the test ends and returns what it handed up.
func run(t *testing.T, l *Link) (ups chan struct{}, messages chan transport.Message, stop func()) {
	t.Helper()
	ups, messages = make(chan struct{}, 100), make(chan transport.Message, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Run(ctx, transport.Handler{
			Up:      func() { ups <- struct{}{} },
			Message: func(m transport.Message) { messages <- m },
		}); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return ups, messages, stop
}

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(15 * time.Second):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// awaitDetail waits until the link's Status says want.
func awaitDetail(t *testing.T, l *Link, state transport.State, want string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		got := l.Status()
		if got.State == state && strings.Contains(got.Detail, want) {
			return
		}
		if time.Since(begin) > 15*time.Second {
			t.Fatalf("status is %+v, want %v with %q", got, state, want)
		}
	}
}

// checkFlow sends a message each way.
func checkFlow(t *testing.T, gwCfg, pneCfg Config) {
	t.Helper()
	gw, pne := newTestLink(t, gwCfg), newTestLink(t, pneCfg)
	gwUp, gwGot, _ := run(t, gw)
	pneUp, pneGot, _ := run(t, pne)
	await(t, gwUp, "Up at the gateway")
	await(t, pneUp, "Up at the PNE")
	if err := gw.Send(t.Context(), pneCfg.Entity, []byte("down")); err != nil {
		t.Fatal(err)
	}
	if got := await(t, pneGot, "message at the PNE"); string(got.Data) != "down" {
		t.Errorf("PNE got %q", got.Data)
	}
	if err := pne.Send(t.Context(), "", []byte("up")); err != nil {
		t.Fatal(err)
	}
	if got := await(t, gwGot, "message at the gateway"); string(got.Data) != "up" || got.Peer != pneCfg.Entity {
		t.Errorf("gateway got %q from %q", got.Data, got.Peer)
	}
}

// withPassword makes mosquitto's password file: the gateway's password is "s3cret".
func withPassword(t *testing.T) func(dir string) {
	return func(dir string) {
		file := filepath.Join(dir, "passwd")
		cmd := exec.Command(tool(t, "mosquitto_passwd"), "-b", "-c", file, "gw", "s3cret")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
		}
		for name, password := range map[string]string{"good": "s3cret\n", "wrong": "s3cret\n\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(password), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPassword(t *testing.T) {
	m := startMosquitto(t, withPassword(t), "allow_anonymous false", "password_file DIR/passwd")
	login := func(cfg Config) Config {
		cfg.Username, cfg.PasswordFile = "gw", filepath.Join(m.dir, "good")
		return cfg
	}
	checkFlow(t, login(gatewayConfig(m)), login(pneConfig(m)))

	var log bytes.Buffer
	wrong := gatewayConfig(m)
	wrong.Username, wrong.PasswordFile = "gw", filepath.Join(m.dir, "wrong")
	wrong.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l := newTestLink(t, wrong)
	_, _, stop := run(t, l)
	awaitDetail(t, l, transport.Absent, "password_file")
	stop()
	if strings.Contains(log.String(), "s3cret") || strings.Contains(fmt.Sprintf("%+v", l.Status()), "s3cret") {
		t.Errorf("the password shows: %s", &log)
	}

	anonymous := newTestLink(t, gatewayConfig(m))
	run(t, anonymous)
	awaitDetail(t, anonymous, transport.Absent, "does not authorise this client")
}

// TestPasswordIsReadAgain corrects the password file while the link is trying.
func TestPasswordIsReadAgain(t *testing.T) {
	m := startMosquitto(t, withPassword(t), "allow_anonymous false", "password_file DIR/passwd")
	cfg := gatewayConfig(m)
	cfg.Username, cfg.PasswordFile = "gw", filepath.Join(m.dir, "wrong")
	l := newTestLink(t, cfg)
	ups, _, _ := run(t, l)
	awaitDetail(t, l, transport.Absent, "password_file")
	if err := os.Rename(filepath.Join(m.dir, "good"), cfg.PasswordFile); err != nil {
		t.Fatal(err)
	}
	await(t, ups, "Up with the new password")
}

func TestTLS(t *testing.T) {
	var ca *testCA
	m := startMosquitto(t, func(dir string) {
		ca = newTestCA(t, filepath.Join(dir, "ca.pem"))
		newTestCA(t, filepath.Join(dir, "other-ca.pem"))
		ca.server(dir, nil)
	}, "allow_anonymous true", "certfile DIR/server.pem", "keyfile DIR/server.key")
	secure := func(cfg Config, scheme, ca string) Config {
		cfg.URL = scheme + "://" + m.addr()
		if ca != "" {
			cfg.CAFile = filepath.Join(m.dir, ca)
		}
		return cfg
	}
	checkFlow(t, secure(gatewayConfig(m), "mqtts", "ca.pem"), secure(pneConfig(m), "ssl", "ca.pem"))

	localhost := secure(gatewayConfig(m), "mqtts", "ca.pem")
	localhost.URL = "mqtts://localhost:" + m.port
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"other CA", secure(gatewayConfig(m), "mqtts", "other-ca.pem"), "signed by an unknown CA: set ca"},
		{"system roots", secure(gatewayConfig(m), "mqtts", ""), "signed by an unknown CA: set ca"},
		{"other name", localhost, "is not for this name"},
		{"no TLS", secure(gatewayConfig(m), "mqtt", ""), "closed the connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newTestLink(t, tt.cfg)
			run(t, l)
			awaitDetail(t, l, transport.Absent, tt.want)
		})
	}
}

func TestTLSCertificateTimes(t *testing.T) {
	tests := []struct {
		name string
		edit func(*x509.Certificate)
		want string
	}{
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, "has expired on"},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, "not yet valid: the clock here says"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := startMosquitto(t, func(dir string) {
				newTestCA(t, filepath.Join(dir, "ca.pem")).server(dir, tt.edit)
			}, "allow_anonymous true", "certfile DIR/server.pem", "keyfile DIR/server.key")
			cfg := gatewayConfig(m)
			cfg.URL, cfg.CAFile = "mqtts://"+m.addr(), filepath.Join(m.dir, "ca.pem")
			l := newTestLink(t, cfg)
			run(t, l)
			awaitDetail(t, l, transport.Absent, tt.want)
		})
	}
}

func TestClientCertificate(t *testing.T) {
	m := startMosquitto(t, func(dir string) {
		ca := newTestCA(t, filepath.Join(dir, "ca.pem"))
		ca.server(dir, nil)
		ca.client(dir, "gw")
		newTestCA(t, filepath.Join(dir, "other-ca.pem")).client(dir, "stranger")
	}, "cafile DIR/ca.pem", "certfile DIR/server.pem", "keyfile DIR/server.key",
		"require_certificate true", "use_identity_as_username true")
	with := func(cfg Config, name string) Config {
		cfg.URL, cfg.CAFile = "mqtts://"+m.addr(), filepath.Join(m.dir, "ca.pem")
		if name != "" {
			cfg.CertFile, cfg.KeyFile = filepath.Join(m.dir, name+".pem"), filepath.Join(m.dir, name+".key")
		}
		return cfg
	}
	checkFlow(t, with(gatewayConfig(m), "gw"), with(pneConfig(m), "gw"))
	for _, name := range []string{"", "stranger"} {
		l := newTestLink(t, with(gatewayConfig(m), name))
		run(t, l)
		awaitDetail(t, l, transport.Absent, "check cert and key")
	}
}

// TestNoBroker looks for brokers that are not there.
func TestNoBroker(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("220 mail.example.net ESMTP\r\n"))
			conn.Close()
		}
	}()
	tests := []struct{ url, want string }{
		{"mqtt://127.0.0.1:" + freePort(t), "refuses connections: is the broker running?"},
		{"mqtt://broker.invalid", "broker.invalid"},
		{"mqtt://" + silent.Addr().String(), "CONNACK is not its first packet"},
		{"mqtts://" + silent.Addr().String(), "does not speak TLS"},
	}
	for _, tt := range tests {
		l := newTestLink(t, Config{Name: "broker", URL: tt.url, Role: Gateway, Entity: "gw-0001"})
		run(t, l)
		awaitDetail(t, l, transport.Absent, tt.want)
	}
}

// TestStatusTopic follows what the broker says about the gateway.
func TestStatusTopic(t *testing.T) {
	m := startMosquitto(t, nil, "allow_anonymous true")
	const topic = "cpns/@gateway/gw-0001/status"
	awaitStatus := func(want string) {
		t.Helper()
		for begin := time.Now(); m.retained(topic) != want; time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > 15*time.Second {
				t.Fatalf("%s is not %q", topic, want)
			}
		}
	}
	l := newTestLink(t, gatewayConfig(m))
	ups, _, stop := run(t, l)
	await(t, ups, "Up")
	awaitStatus("online")
	stop()
	awaitStatus("offline")

	l = newTestLink(t, gatewayConfig(m))
	ups, _, _ = run(t, l)
	await(t, ups, "Up")
	awaitStatus("online")
	// The connection breaks without a farewell, and there is no way back.
	l.broker.addr = "127.0.0.1:" + freePort(t)
	l.session.Load().conn.Conn.Close()
	awaitStatus("offline")
}

// TestRetainedIsDropped leaves junk at the broker before the links come.
func TestRetainedIsDropped(t *testing.T) {
	m := startMosquitto(t, nil, "allow_anonymous true")
	for _, topic := range []string{"cpns/pne-0001/up", "cpns/pne-0001/down", "cpns/identify"} {
		m.publish(topic, []byte("stale"), "-r")
	}
	gwCfg, pneCfg := gatewayConfig(m), pneConfig(m)
	pneCfg.Entity = "pne-0001"
	gw, pne := newTestLink(t, gwCfg), newTestLink(t, pneCfg)
	gwUp, gwGot, _ := run(t, gw)
	pneUp, pneGot, _ := run(t, pne)
	await(t, gwUp, "Up at the gateway")
	await(t, pneUp, "Up at the PNE")
	if err := gw.Send(t.Context(), "pne-0001", []byte("fresh")); err != nil {
		t.Fatal(err)
	}
	if err := pne.Send(t.Context(), "", []byte("fresh")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []chan transport.Message{gwGot, pneGot} {
		if got := await(t, c, "message"); string(got.Data) != "fresh" {
			t.Errorf("first message is %q, want %q", got.Data, "fresh")
		}
	}
	if got := gw.Status().Dropped; got != 1 {
		t.Errorf("gateway dropped %d, want 1", got)
	}
	if got := pne.Status().Dropped; got != 2 {
		t.Errorf("PNE dropped %d, want 2", got)
	}
}

// TestNothingIsKeptForLater sends while the broker is away, and looks for it
// afterwards.
func TestNothingIsKeptForLater(t *testing.T) {
	m := startMosquitto(t, nil, "allow_anonymous true")
	gw, pne := newTestLink(t, gatewayConfig(m)), newTestLink(t, pneConfig(m))
	gwUp, _, _ := run(t, gw)
	pneUp, pneGot, _ := run(t, pne)
	await(t, gwUp, "Up at the gateway")
	await(t, pneUp, "Up at the PNE")
	m.kill()
	awaitDetail(t, gw, transport.Absent, "")
	for range 10 {
		if err := gw.Send(t.Context(), entity, []byte("old")); err != transport.ErrLinkDown {
			t.Errorf("Send without a broker: %v, want ErrLinkDown", err)
		}
	}
	awaitDetail(t, pne, transport.Absent, "")
	m.start()
	await(t, gwUp, "Up at the gateway again")
	await(t, pneUp, "Up at the PNE again")
	if err := gw.Send(t.Context(), entity, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got := await(t, pneGot, "message"); string(got.Data) != "new" {
		t.Errorf("PNE got %q, want %q", got.Data, "new")
	}
}

// TestSameClientID has two programs with one client identifier, which brokers
// answer by closing the older connection.
func TestSameClientID(t *testing.T) {
	m := startMosquitto(t, nil, "allow_anonymous true")
	a, b := newTestLink(t, gatewayConfig(m)), newTestLink(t, gatewayConfig(m))
	aUp, _, stopA := run(t, a)
	await(t, aUp, "Up")
	bUp, _, stopB := run(t, b)
	await(t, bUp, "Up")
	n := 0
	for over := time.After(time.Second); n >= 0; {
		select {
		case <-aUp:
			n++
			continue
		case <-bUp:
			n++
			continue
		case <-over:
		}
		break
	}
	stopA()
	stopB()
	// At most each 5, 10, 20, 40 and then 50 ms at the very least, for both.
	if n > 50 {
		t.Errorf("two clients with one ID connected %d times in a second", n)
	}
}

// TestACL runs on a broker that lets each user do only what its role needs.
func TestACL(t *testing.T) {
	m := startMosquitto(t, func(dir string) {
		acl := `user gw
topic read cpns/+/up
topic write cpns/+/down
topic write cpns/identify
topic write cpns/@gateway/gw-0001/status
user pne
topic write cpns/pne-0001/up
topic read cpns/pne-0001/down
topic read cpns/identify
`
		if err := os.WriteFile(filepath.Join(dir, "acl"), []byte(acl), 0o600); err != nil {
			t.Fatal(err)
		}
	}, "allow_anonymous true", "acl_file DIR/acl")
	gwCfg, pneCfg := gatewayConfig(m), pneConfig(m)
	gwCfg.Username, pneCfg.Username, pneCfg.Entity = "gw", "pne", "pne-0001"
	checkFlow(t, gwCfg, pneCfg)
}

// TestSubscriptionRefused runs on another broker, because mosquitto grants every
// subscription and then sends nothing.
func TestSubscriptionRefused(t *testing.T) {
	for _, cfg := range []Config{
		{Name: "gateway", Role: Gateway, Entity: "gw-0001"},
		{Name: "pne", Role: PNE, Entity: "pne-0001"},
	} {
		server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
		if err := server.AddHook(new(auth.Hook), &auth.Options{Ledger: &auth.Ledger{
			Auth: auth.AuthRules{{Allow: true}},
			ACL:  auth.ACLRules{{Filters: auth.Filters{"cpns/+/up": auth.WriteOnly, "cpns/identify": auth.WriteOnly}}},
		}}); err != nil {
			t.Fatal(err)
		}
		addr := "127.0.0.1:" + freePort(t)
		if err := server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: addr})); err != nil {
			t.Fatal(err)
		}
		if err := server.Serve(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })

		cfg.URL = "mqtt://" + addr
		l := newTestLink(t, cfg)
		run(t, l)
		awaitDetail(t, l, transport.Absent, "not authorised to subscribe to cpns/")
		if err := l.Send(t.Context(), "pne-0001", []byte("x")); err != transport.ErrLinkDown {
			t.Errorf("Send on a link without subscriptions: %v, want ErrLinkDown", err)
		}
	}
}
