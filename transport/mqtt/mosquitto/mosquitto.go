// Package mosquitto runs a real broker for tests and benchmarks: mosquitto, on
// 127.0.0.1, with a configuration of the test's own.
package mosquitto

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

// A Broker is a mosquitto that a test has started.
type Broker struct {
	t    testing.TB
	Dir  string // holds its configuration and whatever a test puts there
	Port string

	mu  sync.Mutex
	cmd *exec.Cmd // nil while it does not run
}

// Start starts a broker with these lines in its configuration, and stops it when
// the test ends. DIR in a line stands for the folder that prepare, where it is
// not nil, may fill.
func Start(t testing.TB, prepare func(dir string), lines ...string) *Broker {
	t.Helper()
	m := &Broker{t: t, Dir: t.TempDir(), Port: FreePort(t)}
	if prepare != nil {
		prepare(m.Dir)
	}
	// Without "user root" a broker started by root gives its rights up and cannot
	// read the files of the test.
	conf := append([]string{"user root", "listener " + m.Port + " 127.0.0.1", "persistence false"}, lines...)
	text := strings.ReplaceAll(strings.Join(conf, "\n")+"\n", "DIR", m.Dir)
	if err := os.WriteFile(filepath.Join(m.Dir, "mosquitto.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Kill)
	m.Run()
	return m
}

// Tool returns the path of a program that Debian's packages mosquitto and
// mosquitto-clients bring. Where it is missing the test fails, or is skipped
// outside CI.
func Tool(t testing.TB, name string) string {
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

// Addr is the broker's address, host:port.
func (m *Broker) Addr() string { return "127.0.0.1:" + m.Port }

// Run starts the broker again after Kill, and returns once it answers.
func (m *Broker) Run() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(m.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	m.cmd = exec.Command(Tool(m.t, "mosquitto"), "-c", filepath.Join(m.Dir, "mosquitto.conf"))
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		conn, err := net.Dial("tcp", m.Addr())
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

// Kill ends the broker as a power cut does.
func (m *Broker) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return
	}
	m.cmd.Process.Kill()
	m.cmd.Wait()
	m.cmd = nil
}

// Publish publishes as a stranger does, with mosquitto_pub.
func (m *Broker) Publish(topic string, payload []byte, args ...string) {
	m.t.Helper()
	cmd := exec.Command(Tool(m.t, "mosquitto_pub"),
		append([]string{"-h", "127.0.0.1", "-p", m.Port, "-q", "1", "-t", topic, "-s"}, args...)...)
	cmd.Stdin = strings.NewReader(string(payload))
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
}

// Retained returns what the broker keeps for topic.
func (m *Broker) Retained(topic string) string {
	m.t.Helper()
	out, err := exec.Command(Tool(m.t, "mosquitto_sub"),
		"-h", "127.0.0.1", "-p", m.Port, "-t", topic, "-C", "1", "-W", "10").CombinedOutput()
	if err != nil {
		m.t.Fatalf("mosquitto_sub: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// FreePort returns a TCP port that was free just now.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
