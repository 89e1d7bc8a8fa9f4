package mqtt

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"log/slog"
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
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

// withPassword makes mosquitto's password file: the gateway's password is "s3cret".
func withPassword(t *testing.T) func(dir string) {
	return func(dir string) {
		file := filepath.Join(dir, "passwd")
		cmd := exec.Command(mosquitto.Tool(t, "mosquitto_passwd"), "-b", "-c", file, "gw", "s3cret")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
		}
		for name, password := range map[string]string{"good": "s3cret\n", "wrong": "s3cret2\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(password), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPassword(t *testing.T) {
	m := mosquitto.Start(t, withPassword(t), "allow_anonymous false", "password_file DIR/passwd")
	login := func(cfg Config) Config {
		cfg.Username, cfg.PasswordFile = "gw", filepath.Join(m.Dir, "good")
		return cfg
	}
	checkFlow(t, login(gatewayConfig(m)), login(pneConfig(m)))

	var log bytes.Buffer
	wrong := gatewayConfig(m)
	wrong.Username, wrong.PasswordFile = "gw", filepath.Join(m.Dir, "wrong")
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
	m := mosquitto.Start(t, withPassword(t), "allow_anonymous false", "password_file DIR/passwd")
	cfg := gatewayConfig(m)
	cfg.Username, cfg.PasswordFile = "gw", filepath.Join(m.Dir, "wrong")
	l := newTestLink(t, cfg)
	ups, _, _ := run(t, l)
	awaitDetail(t, l, transport.Absent, "password_file")
	if err := os.Rename(filepath.Join(m.Dir, "good"), cfg.PasswordFile); err != nil {
		t.Fatal(err)
	}
	await(t, ups, "Up with the new password")
}

func TestTLS(t *testing.T) {
	var ca *testCA
	m := mosquitto.Start(t, func(dir string) {
		ca = newTestCA(t, filepath.Join(dir, "ca.pem"))
		newTestCA(t, filepath.Join(dir, "other-ca.pem"))
		ca.server(dir, nil)
	}, "allow_anonymous true", "certfile DIR/server.pem", "keyfile DIR/server.key")
	secure := func(cfg Config, scheme, ca string) Config {
		cfg.URL = scheme + "://" + m.Addr()
		if ca != "" {
			cfg.CAFile = filepath.Join(m.Dir, ca)
		}
		return cfg
	}
	checkFlow(t, secure(gatewayConfig(m), "mqtts", "ca.pem"), secure(pneConfig(m), "ssl", "ca.pem"))

	localhost := secure(gatewayConfig(m), "mqtts", "ca.pem")
	localhost.URL = "mqtts://localhost:" + m.Port
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"other CA", secure(gatewayConfig(m), "mqtts", "other-ca.pem"), "an authority that this router does not know: configure the CA certificate"},
		{"system roots", secure(gatewayConfig(m), "mqtts", ""), "an authority that this router does not know: configure the CA certificate"},
		{"other name", localhost, "is for another host name"},
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
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, "certificate expired at"},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, "is not valid before"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := mosquitto.Start(t, func(dir string) {
				newTestCA(t, filepath.Join(dir, "ca.pem")).server(dir, tt.edit)
			}, "allow_anonymous true", "certfile DIR/server.pem", "keyfile DIR/server.key")
			cfg := gatewayConfig(m)
			cfg.URL, cfg.CAFile = "mqtts://"+m.Addr(), filepath.Join(m.Dir, "ca.pem")
			l := newTestLink(t, cfg)
			run(t, l)
			awaitDetail(t, l, transport.Absent, tt.want)
		})
	}
}

func TestClientCertificate(t *testing.T) {
	m := mosquitto.Start(t, func(dir string) {
		ca := newTestCA(t, filepath.Join(dir, "ca.pem"))
		ca.server(dir, nil)
		ca.client(dir, "gw")
		newTestCA(t, filepath.Join(dir, "other-ca.pem")).client(dir, "stranger")
	}, "cafile DIR/ca.pem", "certfile DIR/server.pem", "keyfile DIR/server.key",
		"require_certificate true", "use_identity_as_username true")
	with := func(cfg Config, name string) Config {
		cfg.URL, cfg.CAFile = "mqtts://"+m.Addr(), filepath.Join(m.Dir, "ca.pem")
		if name != "" {
			cfg.CertFile, cfg.KeyFile = filepath.Join(m.Dir, name+".pem"), filepath.Join(m.Dir, name+".key")
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

// TestACL runs on a broker with the access list of docs/integrating.md: each end may do all
// that it does.
func TestACL(t *testing.T) {
	page, err := os.ReadFile("../../docs/integrating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, acl, found := strings.Cut(string(page), "```acl\n")
	acl, _, ends := strings.Cut(acl, "```")
	if !found || !ends {
		t.Fatal("docs/integrating.md has no access list")
	}
	m := mosquitto.Start(t, func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "acl"), []byte(acl), 0o600); err != nil {
			t.Fatal(err)
		}
	}, "allow_anonymous true", "acl_file DIR/acl", "log_type all")
	gwCfg, pneCfg := gatewayConfig(m), pneConfig(m)
	gwCfg.Username, pneCfg.Username, pneCfg.Entity = "gw-0001", "pne-0001", "pne-0001"
	checkFlow(t, gwCfg, pneCfg)
	// mosquitto tells nobody but its log what it denies.
	if log := readLog(t, m); strings.Contains(log, "Denied") || !strings.Contains(log, "/status'") {
		t.Errorf("the broker's log:\n%s", log)
	}
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
		addr := "127.0.0.1:" + mosquitto.FreePort(t)
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
