package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/ptytest"
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

// inMemory is a folder in memory.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "pngw-test-")
	if err != nil {
		t.Skipf("no folder in memory here: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// withApplication is a gateway with an application, a broker beside it that reads its
// keys, and a device on a line.
type withApplication struct {
	t      *testing.T
	conf   string
	dir    string
	line   *line
	broker *mosquitto.Broker
	psk    string // file
	label  string
	stop   func()
}

func startApplication(t *testing.T, label string) *withApplication {
	t.Helper()
	w := &withApplication{t: t, label: label}
	w.dir, w.line = configured(t)
	shm := inMemory(t)
	w.psk = shm + "/psk"
	if err := os.WriteFile(w.psk, nil, 0o640); err != nil { // mosquitto wants one when it starts
		t.Fatal(err)
	}
	version := map[string]string{cpns.ApplicationTLS13: "tlsv1.3", cpns.ApplicationTLS12: "tlsv1.2"}[label]
	w.broker = mosquitto.Start(t, func(dir string) {
		os.WriteFile(dir+"/acl", []byte("pattern readwrite devices/%u/#\n"), 0o600)
	}, "psk_file "+w.psk, "psk_hint pngw", "tls_version "+version, "use_identity_as_username true", "allow_anonymous false", "acl_file DIR/acl", "pid_file "+shm+"/pid", "log_type all")
	w.conf = filepath.Join(w.dir, "pngw.conf")
	f, err := os.OpenFile(w.conf, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "config application 'mqtt'\n\toption label '%s'\n\toption path '%s'\n\toption pid_file '%s/pid'\n", label, w.psk, shm)
	f.Close()
	w.pngw("init")
	w.stop = startAgent(t, w.conf)
	return w
}

func (w *withApplication) pngw(args ...string) {
	w.t.Helper()
	cmd := exec.Command("pngw", append(args, "--config", w.conf)...)
	cmd.Dir = w.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("pngw %v: %v\n%s", args, err, out)
	}
}

// key is what the device's own program would have.
func (w *withApplication) key() (identity, key string) {
	w.t.Helper()
	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	identity, k, ok := w.line.device.ApplicationKey(w.label)
	if !ok {
		w.t.Fatal("the device has no application key")
	}
	return identity, hex.EncodeToString(k[:])
}

// publish publishes as mosquitto's own client does, and says whether the broker took it.
func (w *withApplication) publish(identity, key, topic string) error {
	w.t.Helper()
	version := map[string]string{cpns.ApplicationTLS13: "tlsv1.3", cpns.ApplicationTLS12: "tlsv1.2"}[w.label]
	out, err := exec.Command(mosquitto.Tool(w.t, "mosquitto_pub"), "-h", "127.0.0.1", "-p", w.broker.Port, "--psk-identity", identity, "--psk", key,
		"--tls-version", version, "-q", "1", "-V", "mqttv5", "-t", topic, "-m", "21.5").CombinedOutput()
	if err != nil || len(out) > 0 {
		return fmt.Errorf("mosquitto_pub: %v: %s", err, out)
	}
	return nil
}

// eventually tries until it works.
func (w *withApplication) eventually(what string, f func() error) {
	w.t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if err = f(); err == nil {
			return
		}
	}
	log, _ := os.ReadFile(w.broker.Dir + "/log")
	w.t.Fatalf("%s: %v\n%s", what, err, log[max(0, len(log)-2000):])
}

// A device that has authenticated speaks with the real broker by its application key, in
// TLS 1.3 and 1.2, and nobody else does; each is kept to its own topics; a new
// authentication replaces the key; forgetting ends it; a restart of either loses nothing.
func TestApplication(t *testing.T) {
	for _, label := range []string{cpns.ApplicationTLS13, cpns.ApplicationTLS12} {
		t.Run(label, func(t *testing.T) {
			w := startApplication(t, label)
			const device = "PNE/7+#%~:A" // whatever needs escaping
			if err := w.line.plugIn(device, "state"); err != nil {
				t.Fatal(err)
			}
			w.pngw("provision", "--user", "alice", "--password-file", "password", device)
			w.pngw("authenticate", device)
			identity, key := w.key()
			if identity != "PNE%2F7%2B%23%25~%3AA" {
				t.Errorf("identity %s", identity)
			}
			own := "devices/" + identity + "/reading"
			w.eventually("first", func() error { return w.publish(identity, key, own) })
			if err := w.publish(identity, key, "devices/other/reading"); err == nil {
				t.Error("the broker took a reading in another device's topic")
			}
			if err := w.publish(identity, strings.Repeat("00", 32), own); err == nil {
				t.Error("the broker took another key")
			}
			w.openssl(identity, key)

			// The next authentication brings another key, and ends this one.
			w.pngw("authenticate", device)
			_, second := w.key()
			if second == key {
				t.Fatal("the same key after another authentication")
			}
			w.eventually("second", func() error { return w.publish(identity, second, own) })
			if err := w.publish(identity, key, own); err == nil {
				t.Error("the broker took the key of the session before")
			}

			// The broker starts anew, and then the agent: the key goes on.
			w.broker.Kill()
			w.broker.Run()
			w.eventually("broker again", func() error { return w.publish(identity, second, own) })
			w.stop()
			w.eventually("without an agent", func() error { return w.publish(identity, second, own) })
			w.stop = startAgent(t, w.conf)
			w.eventually("agent again", func() error { return w.publish(identity, second, own) })

			// The whole router starts anew: the device authenticates when its link is up.
			w.stop()
			w.broker.Kill()
			if err := os.WriteFile(w.psk, nil, 0o640); err != nil {
				t.Fatal(err)
			}
			w.broker.Run()
			w.stop = startAgent(t, w.conf)
			w.eventually("after a power cut", func() error {
				identity, third := w.key()
				if third == second {
					return errors.New("it has not authenticated yet")
				}
				return w.publish(identity, third, own)
			})
			_, second = w.key()

			// What lies there is for the broker's eyes.
			info, err := os.Stat(w.psk)
			if err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}

			w.pngw("forget", "--yes", device)
			w.eventually("forgotten", func() error {
				if text, err := os.ReadFile(w.psk); err != nil || len(text) > 0 {
					return fmt.Errorf("the file has %d bytes, %v", len(text), err)
				}
				return nil
			})
			w.eventually("forgotten at the broker", func() error {
				if w.publish(identity, second, own) == nil {
					return errors.New("the broker still takes the key")
				}
				return nil
			})
		})
	}
}

// openssl is another's TLS: it says which version and which suite.
func (w *withApplication) openssl(identity, key string) {
	w.t.Helper()
	args := []string{"s_client", "-connect", w.broker.Addr(), "-psk_identity", identity, "-psk", key}
	want := "TLSv1.3, Cipher is TLS_"
	if w.label == cpns.ApplicationTLS12 {
		args = append(args, "-tls1_2", "-cipher", "ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256")
		want = "TLSv1.2, Cipher is ECDHE-PSK-"
	} else {
		args = append(args, "-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256")
	}
	cmd := exec.Command(ptytest.Need(w.t, "openssl"), args...)
	cmd.Stdin = bytes.NewReader(nil)
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), want) {
		w.t.Errorf("openssl: %v\n%s\nwant %s", err, out, want)
	}
}

// An application that reads no file gets its keys by a hook: libcoap's server speaks DTLS
// with a device by the key that a hook has put where it looks. (Its example server reads
// keys as text, so the test authenticates until there is one that can be written so.)
func TestApplicationHook(t *testing.T) {
	server, client := ptytest.Need(t, "coap-server-openssl"), ptytest.Need(t, "coap-client-openssl")
	dir, l := configured(t)
	shm := inMemory(t)
	hooks := filepath.Join(dir, "hooks.d")
	if err := os.Mkdir(hooks, 0o755); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
[ "$ACTION" = application_key ] && [ "$APPLICATION" = coap ] || exit 0
umask 077
{ printf 'pngw,%s,' "$IDENTITY"; head -c 32 <&3; echo; } >` + shm + `/new
echo "$LABEL $EPOCH $INDEX" >` + shm + `/says
mv ` + shm + `/new ` + shm + `/ids
`
	if err := os.WriteFile(filepath.Join(hooks, "10-coap"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(hooks, "10-coap"), 0o700)
	conf := filepath.Join(dir, "pngw.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(conf, append(text, "config application 'coap'\n\toption type 'hook'\n\toption label 'tls12-psk'\n"...), 0o600)
	w := &withApplication{t: t, dir: dir, conf: conf, line: l, label: cpns.ApplicationTLS12}
	w.pngw("init")
	startAgent(t, conf)
	const device = "urn:dev:fan-1"
	if err := l.plugIn(device, "state"); err != nil {
		t.Fatal(err)
	}
	w.pngw("provision", "--user", "alice", "--password-file", "password", device)
	var identity string
	var key []byte
	for range 40 { // half of all keys will do, and a set has 64
		w.pngw("authenticate", device)
		id, digits := w.key()
		identity = id
		key, _ = hex.DecodeString(digits)
		if !slices.ContainsFunc(key, func(c byte) bool { return strings.IndexByte("\x00\t\n\v\f\r ,#", c) >= 0 }) {
			break
		}
	}
	want := []byte("pngw," + identity + "," + string(key) + "\n")
	for end := time.Now().Add(20 * time.Second); ; {
		ids, _ := os.ReadFile(shm + "/ids")
		if bytes.Equal(ids, want) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the hook has written %q, want %q", ids, want)
		}
	}
	if says, _ := os.ReadFile(shm + "/says"); !strings.HasPrefix(string(says), "tls12-psk 1 ") {
		t.Errorf("the hook was told %q", says)
	}
	port := mosquitto.FreePort(t)
	n := 0
	fmt.Sscan(port, &n)
	log, err := os.Create(filepath.Join(dir, "coap.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	coap := exec.Command(server, "-A", "127.0.0.1", "-p", fmt.Sprint(n-1), "-h", "pngw", "-i", shm+"/ids", "-k", "nobody's", "-v", "7")
	coap.Stdout, coap.Stderr = log, log
	if err := coap.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { coap.Process.Kill(); coap.Wait() })
	get := func(key string) string {
		out, _ := exec.Command(client, "-B", "3", "-m", "get", "-u", identity, "-k", key, "coaps://127.0.0.1:"+port+"/").CombinedOutput()
		return string(out)
	}
	for end := time.Now().Add(20 * time.Second); !strings.Contains(get(string(key)), "libcoap"); {
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("no answer over DTLS: %s", text[max(0, len(text)-2000):])
		}
	}
	if got := get("another key of 32 bytes, all text"); strings.Contains(got, "libcoap") {
		t.Error("the server answers another key")
	}
}
