package mqtt

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

// startRabbitMQ starts a RabbitMQ of the test's own, on loopback and in a folder of its
// own, and returns its MQTT address. Users have the password "pw" and may write
// and read what the expressions say, in RabbitMQ's spelling of topics.
func startRabbitMQ(t *testing.T, users map[string][2]string) (addr string) {
	t.Helper()
	servers, _ := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
	if len(servers) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("RabbitMQ is not installed: this test needs the package rabbitmq-server")
		}
		t.Skip("RabbitMQ is not installed: this test needs the package rabbitmq-server")
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr = "127.0.0.1:" + mosquitto.FreePort(t)
	write("enabled_plugins", "[rabbitmq_mqtt].\n")
	write("definitions.json", rabbitUsers(t, users))
	write("rabbitmq.conf", fmt.Sprintf(`listeners.tcp = none
mqtt.listeners.tcp.1 = %s
mqtt.allow_anonymous = false
load_definitions = %s
log.file = false
log.console = true
`, addr, in("definitions.json")))
	log, err := os.Create(in("log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the broker's log ends with\n%s", text[max(0, len(text)-4000):])
		}
	})

	// Erlang's name service would be started by the server, and outlive it.
	names := mosquitto.FreePort(t)
	env := append(os.Environ(), "HOME="+dir, "ERL_EPMD_PORT="+names, "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_CONFIG_FILE="+in("rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE="+in("enabled_plugins"),
		"RABBITMQ_MNESIA_BASE="+in("mnesia"), "RABBITMQ_LOG_BASE="+dir, "RABBITMQ_PID_FILE="+in("pid"),
		"RABBITMQ_NODENAME=pngw@localhost", "RABBITMQ_DIST_PORT="+mosquitto.FreePort(t),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		"RABBITMQ_ALLOW_INPUT=1") // then it is one process, and ends with its standard input: with this test
	for _, args := range [][]string{{"epmd", "-port", names, "-address", "127.0.0.1"}, {servers[0]}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
	awaitPort(t, addr, in("log"))
	return addr
}

// rabbitUsers is what RabbitMQ calls definitions.
func rabbitUsers(t *testing.T, users map[string][2]string) string {
	type object map[string]any
	var known, anything, topics []object
	for user, may := range users {
		sum := sha256.Sum256([]byte("saltpw"))
		known = append(known, object{"name": user, "tags": "", "hashing_algorithm": "rabbit_password_hashing_sha256",
			"password_hash": base64.StdEncoding.EncodeToString(append([]byte("salt"), sum[:]...))})
		anything = append(anything, object{"user": user, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"})
		topics = append(topics, object{"user": user, "vhost": "/", "exchange": "amq.topic", "write": may[0], "read": may[1]})
	}
	text, err := json.Marshal(object{"users": known, "vhosts": []object{{"name": "/"}}, "permissions": anything, "topic_permissions": topics})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRabbitMQ runs on a broker that writes topics with dots for slashes, and closes the
// connection on what its permissions forbid.
func TestRabbitMQ(t *testing.T) {
	const down, up = `cpns\.[^.]+\.down|cpns\.identify`, `cpns\.[^.]+\.up`
	addr := startRabbitMQ(t, map[string][2]string{
		"gw":    {"^(" + down + `|cpns\.%40gateway\..*|cpns\.@gateway\..*)$`, "^" + up + "$"},
		"plain": {"^(" + down + ")$", "^" + up + "$"},
		"mute":  {"^nothing$", "^" + up + "$"},
		"deaf":  {"^(" + down + ")$", "^nothing$"},
		"pne":   {"^" + up + "$", "^(" + down + ")$"},
	})
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	as := func(user string, role Role, entity string) Config {
		return Config{Name: user, URL: "mqtt://" + addr, Role: role, Entity: entity, Username: user, PasswordFile: password}
	}
	for user, want := range map[string]string{"gw": "connected to " + addr + " as pngw", "plain": "; broker refuses the status topic"} {
		t.Run(user, func(t *testing.T) {
			for _, e := range []string{entity, "a.b..c", "$SYS/x"} {
				t.Run(e, func(t *testing.T) { checkFlow(t, as(user, Gateway, "gw-0001"), as("pne", PNE, e)) })
			}
			l := newTestLink(t, as(user, Gateway, "gw-0001"))
			ups, _, _ := run(t, l)
			await(t, ups, "Up")
			awaitDetail(t, l, transport.Up, want)
			if got := l.Status().Detail; user == "gw" && strings.Contains(got, ";") {
				t.Errorf("status is %q", got)
			}
		})
	}
	t.Run("mute", func(t *testing.T) {
		l := newTestLink(t, as("mute", Gateway, "gw-0001"))
		l.wait = transport.Backoff{Min: time.Second, Max: time.Second}
		ups, _, _ := run(t, l)
		await(t, ups, "Up")
		if err := l.Send(t.Context(), "pne-1", []byte("x")); err != nil {
			t.Error(err)
		}
		awaitDetail(t, l, transport.Absent, "on a message to cpns/pne-1/down: its access list may forbid that topic")
	})
	t.Run("deaf", func(t *testing.T) {
		l := newTestLink(t, as("deaf", Gateway, "gw-0001"))
		run(t, l)
		awaitDetail(t, l, transport.Absent, "cpns/+/up")
		t.Log(l.Status().Detail)
	})
	t.Run("second client", func(t *testing.T) {
		one, other := as("gw", Gateway, "gw-0001"), as("gw", Gateway, "gw-0001")
		a, b := newTestLink(t, one), newTestLink(t, other)
		a.wait = transport.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
		b.wait = a.wait
		ups, _, _ := run(t, a)
		await(t, ups, "Up")
		run(t, b)
		awaitDetail(t, a, transport.Absent, "another client seems to use the client ID "+a.clientID)
	})
}
