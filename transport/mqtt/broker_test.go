package mqtt

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A mosquitto is a real broker on 127.0.0.1, with a configuration of its own.
type mosquitto struct {
	t    testing.TB
	dir  string // holds its configuration and whatever a test puts there
	port string

	mu  sync.Mutex
	cmd *exec.Cmd // nil while it does not run
}

// startMosquitto starts a broker with these lines in its configuration, and stops
// it when the test ends. DIR in a line stands for the folder that prepare may
// fill.
func startMosquitto(t testing.TB, prepare func(dir string), lines ...string) *mosquitto {
	t.Helper()
	m := &mosquitto{t: t, dir: t.TempDir(), port: freePort(t)}
	if prepare != nil {
		prepare(m.dir)
	}
	// Without "user root" a broker started by root gives its rights up and cannot
	// read the files of the test.
	conf := append([]string{"user root", "listener " + m.port + " 127.0.0.1", "persistence false"}, lines...)
	text := strings.ReplaceAll(strings.Join(conf, "\n")+"\n", "DIR", m.dir)
	if err := os.WriteFile(filepath.Join(m.dir, "mosquitto.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.kill)
	m.start()
	return m
}

// tool returns the path of a program that Debian's packages mosquitto and
// mosquitto-clients bring.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed: this test needs the packages mosquitto and mosquitto-clients", name)
		}
		t.Skipf("%s is not installed: this test needs the packages mosquitto and mosquitto-clients", name)
	}
	return path
}

func (m *mosquitto) addr() string { return "127.0.0.1:" + m.port }

func (m *mosquitto) start() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(m.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	m.cmd = exec.Command(tool(m.t, "mosquitto"), "-c", filepath.Join(m.dir, "mosquitto.conf"))
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		conn, err := net.Dial("tcp", m.addr())
		if err == nil {
			conn.Close()
			return
		}
		if time.Since(begin) > 15*time.Second {
			text, _ := os.ReadFile(log.Name())
			m.t.Fatalf("mosquitto does not answer: %v\n%s", err, text)
		}
	}
}

// kill ends the broker as a power cut does.
func (m *mosquitto) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return
	}
	m.cmd.Process.Kill()
	m.cmd.Wait()
	m.cmd = nil
}

// publish publishes as a stranger does, with mosquitto_pub.
func (m *mosquitto) publish(topic string, payload []byte, args ...string) {
	m.t.Helper()
	cmd := exec.Command(tool(m.t, "mosquitto_pub"),
		append([]string{"-h", "127.0.0.1", "-p", m.port, "-q", "1", "-t", topic, "-s"}, args...)...)
	cmd.Stdin = strings.NewReader(string(payload))
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
}

// retained returns what the broker keeps for topic.
func (m *mosquitto) retained(topic string) string {
	m.t.Helper()
	out, err := exec.Command(tool(m.t, "mosquitto_sub"),
		"-h", "127.0.0.1", "-p", m.port, "-t", topic, "-C", "1", "-W", "10").CombinedOutput()
	if err != nil {
		m.t.Fatalf("mosquitto_sub: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// freePort returns a TCP port that was free just now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
