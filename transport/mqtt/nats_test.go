package mqtt

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

// startNATS starts a NATS server with JetStream, which its MQTT needs, and returns its
// MQTT address. It is built from a module of its own, so that its dependencies stay
// out of ours.
func startNATS(t *testing.T) (addr string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "nats-server")
	build := exec.Command("go", "build", "-C", "../../build/tools/nats", "-o", program, "github.com/nats-io/nats-server/v2")
	// For this machine, wherever this test runs.
	build.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return slices.Contains([]string{"GOOS", "GOARCH", "GOMIPS", "GOARM", "GOFLAGS"}, strings.SplitN(v, "=", 2)[0])
	})
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	addr = "127.0.0.1:" + mosquitto.FreePort(t)
	conf := fmt.Sprintf(`server_name: pngw
listen: 127.0.0.1:%s
jetstream { store_dir: %q }
mqtt { listen: %s }
authorization { users: [
  { user: gw, password: pw, permissions: { publish: [">"], subscribe: [">"] } }
  { user: pne, password: pw, permissions: { publish: ["cpns.*.up", "$MQTT.>"], subscribe: ["cpns.*.down", "cpns.identify", "$MQTT.>"] } }
  { user: deaf, password: pw, permissions: { publish: [">"], subscribe: ["nothing", "$MQTT.>"] } }
] }
`, mosquitto.FreePort(t), dir, addr)
	if err := os.WriteFile(filepath.Join(dir, "nats.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the broker's log ends with\n%s", text[max(0, len(text)-4000):])
		}
	})
	cmd := exec.Command(program, "-c", filepath.Join(dir, "nats.conf"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	awaitPort(t, addr, log.Name())
	return addr
}

// awaitPort returns once somebody answers there.
func awaitPort(t *testing.T, addr, log string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Since(begin) > 2*time.Minute {
			f, err := os.Open(log)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(io.LimitReader(f, 10_000))
			t.Fatalf("nobody answers at %s:\n%s", addr, text)
		}
	}
}

// TestNATS runs on a broker whose topics are subjects of its own.
func TestNATS(t *testing.T) {
	addr := startNATS(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	as := func(user string, role Role, entity string) Config {
		return Config{Name: user, URL: "mqtt://" + addr, Role: role, Entity: entity, Username: user, PasswordFile: password}
	}
	for _, e := range []string{entity, "a.b..c", "$SYS/x"} {
		t.Run(e, func(t *testing.T) { checkFlow(t, as("gw", Gateway, "gw-0001"), as("pne", PNE, e)) })
	}
	l := newTestLink(t, as("gw", Gateway, "gw-0001"))
	ups, _, _ := run(t, l)
	await(t, ups, "Up")
	if got, want := l.Status().Detail, fmt.Sprintf("connected to %s as %s", addr, l.clientID); got != want {
		t.Errorf("status is %q, want %q", got, want)
	}
	deaf := newTestLink(t, as("deaf", Gateway, "gw-0002"))
	run(t, deaf)
	awaitDetail(t, deaf, transport.Absent, "not authorised to subscribe to cpns/+/up")
}
