package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// workshop is a gateway of its own for each case of a table: a folder with all that
// the configuration names, and the program, run as a user whom files can be closed to.
type workshop struct {
	dir     string
	program string
	run     *syscall.Credential // nil: as this test
}

// programForAll is this program where another user may run it. A process of its own
// copies it: what this one has open for writing is for a moment open in whatever it
// starts meanwhile, and cannot be run.
func programForAll(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pngw-program-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "pngw")
	if out, err := exec.Command("cp", self, program).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(program, 0o755)); err != nil {
		t.Fatal(err)
	}
	return program
}

func newWorkshop(t *testing.T, program string) *workshop {
	t.Helper()
	// Not t.TempDir, into which another user cannot get.
	dir, err := os.MkdirTemp("", "pngw-parts-")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(os.Chmod(dir, 0o755))
	w := &workshop{dir: dir, program: program}
	cert, key := selfSigned(t)
	for name, text := range map[string][]byte{
		"ca.pem": cert, "cert.pem": cert, "key.pem": key, "psk1": []byte(pskHex + "\n"), "password": []byte("secret\n"),
		"garbage": []byte("this is no PEM\n"), "short": []byte("00ff\n"),
	} {
		check(os.WriteFile(w.path(name), text, 0o600))
	}
	check(os.Mkdir(w.path("folder"), 0o700))
	const nobody = 65534
	// In a namespace root may be the only user.
	if err := os.Chown(dir, nobody, nobody); os.Getuid() == 0 && !errors.Is(err, syscall.EINVAL) {
		check(err)
		w.run = &syscall.Credential{Uid: nobody, Gid: nobody}
		for _, name := range []string{"", "ca.pem", "cert.pem", "key.pem", "psk1", "password", "garbage", "short", "folder"} {
			check(os.Chown(w.path(name), nobody, nobody))
		}
	}
	return w
}

func selfSigned(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func (w *workshop) path(name string) string { return filepath.Join(w.dir, name) }

// command is the program, with the configuration and an empty environment.
func (w *workshop) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.program, append(args, "--config", w.path("conf"))...)
	cmd.Env = []string{"GORACE=" + raceOptions, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: w.run}
	return cmd
}

// init runs pngw init, and gives its exit code and what it complains of.
func (w *workshop) init(t *testing.T) (code int, complaint string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := w.command(t.Context(), "init")
	cmd.Stderr = &stderr
	return exitCode(t, cmd.Run()), stderr.String()
}

// daemon runs pngw run until it serves, and then ends it.
func (w *workshop) daemon(t *testing.T) (code int, complaint string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := w.command(ctx, "run")
	stderr := &awaited{text: []byte("msg=ready"), then: func() { cmd.Process.Signal(syscall.SIGTERM) }}
	cmd.Stderr = stderr
	code = exitCode(t, cmd.Run())
	if stderr.seen {
		return code, ""
	}
	return code, stderr.all.String()
}

// awaited calls then once text has been written to it.
type awaited struct {
	text []byte
	then func()
	all  bytes.Buffer
	seen bool
}

var _ io.Writer = (*awaited)(nil)

func (a *awaited) Write(p []byte) (int, error) {
	a.all.Write(p)
	if !a.seen && bytes.Contains(a.all.Bytes(), a.text) {
		a.seen = true
		a.then()
	}
	return len(p), nil
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if e := new(exec.ExitError); errors.As(err, &e) {
		return e.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

const partsGateway = `config gateway main
 option id gw-0001
 option server https://127.0.0.1:1
 option ca DIR/ca.pem
 option psk_file DIR/psk1
 option store DIR/state/keys
 option root_key DIR/state/root.key
 option socket DIR/run/sock
 option hook_dir DIR/hooks.d
`

// TestInitJudgesAsRun: whatever pngw init says of a configuration, pngw run says. One
// that it finds complete runs, and one that it finds fault with does not, for the
// same reasons and with the same exit code.
func TestInitJudgesAsRun(t *testing.T) {
	const gbaSource = " option psk_source gba\n option gba_ua 0300000001\n option sim "
	const serialLink = "config link line\n option type serial\n option device /dev/pngw-none\n"
	const brokerLink = "config link broker\n option type mqtt\n option url "
	const tlsLink = brokerLink + "mqtts://127.0.0.1:1\n"
	const service = "config service 'service'\n option gomemlimit "
	type edit = func(w *workshop, conf string) (string, error)
	with := func(sections string) edit {
		return func(_ *workshop, conf string) (string, error) { return conf + sections, nil }
	}
	instead := func(old, new string) edit {
		return func(_ *workshop, conf string) (string, error) { return strings.Replace(conf, old, new, 1), nil }
	}
	spoil := func(f func(path string) error, name, sections string) edit {
		return func(w *workshop, conf string) (string, error) { return conf + sections, f(w.path(name)) }
	}
	unreadable := func(path string) error { return errors.Join(os.Chmod(path, 0), os.Chown(path, 0, 0)) }
	open := func(path string) error { return os.Chmod(path, 0o644) }
	if os.Getuid() != 0 {
		unreadable = func(path string) error { return os.Chmod(path, 0) }
	}

	program := programForAll(t)
	for _, tt := range []struct {
		name string
		edit edit
		code int
		want []string // what is complained of
	}{
		{"in order", with(""), 0, nil},
		{"all kinds of links", with(serialLink + tlsLink + " option ca DIR/ca.pem\n option cert DIR/cert.pem\n option key DIR/key.pem\n option username gw\n option password_file DIR/password\n"), 0, nil},
		{"a wrong link that is switched off", with(serialLink + " option baud 250000\n option enabled 0\n"), 0, nil},

		{"baud", with(serialLink + " option baud 250000\n"), 2, []string{"conf:13: option baud: 250000 is not one of"}},
		{"baud, too much for any line", with(serialLink + " option baud 2147483648\n"), 2, []string{"conf:13: option baud: "}},
		{"one line twice", with(serialLink + strings.Replace(serialLink, "link line", "link other", 1)), 2, []string{"conf:13: this link and 'line', line 10, would both use device /dev/pngw-none"}},
		{"usb id", with("config link stick\n option type usb\n option id stick\n"), 2, []string{"conf:1"}},

		{"server port", instead("127.0.0.1:1", "127.0.0.1:99999"), 2, []string{`conf:3: option server: "https://127.0.0.1:99999": the port must be 1 to 65535`}},
		{"server port 0", instead("127.0.0.1:1", "127.0.0.1:0"), 2, []string{"conf:3: option server: "}},
		{"server without TLS", instead("https://", "http://"), 2, []string{"conf:3: option server: "}},
		{"server with a password", instead("https://", "https://u:hunter2@"), 2, []string{"conf:3: option server: must not contain a user name"}},
		{"server with a query", instead("127.0.0.1:1", "127.0.0.1:1/?a"), 2, []string{"conf:3: option server: "}},
		{"pin", with(" option pin abc\n"), 2, []string{`conf:10: option pin: "abc"`}},

		{"broker port", with(brokerLink + "mqtt://127.0.0.1:99999\n"), 2, []string{"conf:12: option url: the port must be 1 to 65535"}},
		{"broker port 0", with(brokerLink + "mqtt://127.0.0.1:0\n"), 2, []string{"conf:12: option url: the port"}},
		{"broker scheme", with(brokerLink + "http://127.0.0.1\n"), 2, []string{"conf:12: option url: "}},
		{"broker without a host", with(brokerLink + "mqtt://:1883\n"), 2, []string{"conf:12: option url: names no host"}},
		{"broker password", with(brokerLink + "mqtt://u:hunter2@127.0.0.1\n"), 2, []string{"conf:12: option url: holds a user name"}},
		{"broker path", with(brokerLink + "mqtt://127.0.0.1/cpns\n"), 2, []string{"conf:12: option url: "}},
		{"prefix", with(brokerLink + "mqtt://127.0.0.1\n option prefix 'a/#'\n"), 2, []string{`conf:13: option prefix: "a/#"`}},
		{"password without user", with(brokerLink + "mqtt://127.0.0.1\n option password_file DIR/password\n"), 2, []string{"conf:13: option password_file: MQTT takes a password only"}},
		{"cert without key", with(tlsLink + " option cert DIR/cert.pem\n"), 2, []string{"conf:13: option cert: comes together with key"}},
		{"key without cert", with(tlsLink + " option key DIR/key.pem\n"), 2, []string{"conf:13: option key: comes together with cert"}},
		{"ca without TLS", with(brokerLink + "mqtt://127.0.0.1\n option ca DIR/ca.pem\n"), 2, []string{"conf:13: option ca: is of no use without TLS"}},
		{"one broker twice", with(brokerLink + "mqtt://127.0.0.1\n" + strings.Replace(brokerLink, "link broker", "link other", 1) + "mqtt://127.0.0.1:1883\n"), 2, []string{"conf:13: this link and 'broker', line 10, would both use client ID"}},

		{"memory, without a B", with(service + "12Mi\n"), 2, []string{`conf:11: option gomemlimit: "12Mi": the Go runtime does not take it`}},
		{"memory, short", with(service + "12M\n"), 2, []string{`conf:11: option gomemlimit: "12M"`}},
		{"memory, too much", with(service + "99999999999TiB\n"), 2, []string{"conf:11: option gomemlimit: "}},
		{"memory, negative", with(service + "-1\n"), 2, []string{"conf:11: option gomemlimit: "}},
		{"memory, none", with(service + "off\n"), 0, nil},
		{"memory, in bytes", with(service + "33554432\n"), 0, nil},
		{"memory, plenty", with(service + "1TiB\n"), 0, nil},
		{"gc", with("config service 'service'\n option gogc 100%\n"), 2, []string{`conf:11: option gogc: "100%"`}},
		{"a service of another name", with("config service 's'\n option enabled 1\n"), 2, []string{"conf:10: want this section to be called so"}},

		{"no CA", spoil(os.Remove, "ca.pem", ""), 3, []string{"conf:4: option ca: DIR/ca.pem: no such file or directory; the CPNS Server's is DIR"}},
		{"unreadable CA", spoil(unreadable, "ca.pem", ""), 2, []string{"conf:4: option ca: DIR/ca.pem: permission denied"}},
		{"CA is no PEM", instead("DIR/ca.pem", "DIR/garbage"), 2, []string{"conf:4: option ca: DIR/garbage: no certificate in it"}},
		{"CA is a folder", instead("DIR/ca.pem", "DIR/folder"), 2, []string{"conf:4: option ca: "}},
		{"CA is the key", instead("DIR/ca.pem", "DIR/key.pem"), 2, []string{"conf:4: option ca: DIR/key.pem: contains a private key"}},
		{"no PSK1", spoil(os.Remove, "psk1", ""), 0, nil},
		{"no PSK1, no server, no name", func(w *workshop, conf string) (string, error) {
			return strings.NewReplacer(" option id gw-0001\n", "", " option server https://127.0.0.1:1\n", "").Replace(conf), os.Remove(w.path("psk1"))
		}, 0, nil},
		{"PSK1 from tls, not enrolled", with(" option psk_source tls\n"), 0, nil},
		{"PSK1 from nowhere", with(" option psk_source sky\n"), 2, []string{`conf:10: option psk_source: "sky": want file, tls or gba`}},
		{"gba", with(gbaSource + "at:/dev/no-modem-yet\n"), 0, nil},
		{"gba by a program", with(gbaSource + "exec:/bin/sh\n"), 0, nil},
		{"gba, no program", with(gbaSource + "exec:DIR/none\n"), 3, []string{"conf:12: option sim: DIR/none: no such file or directory"}},
		{"gba by what is no program", with(gbaSource + "exec:DIR/garbage\n"), 2, []string{"conf:12: option sim: DIR/garbage: permission denied"}},
		{"gba without a server", func(_ *workshop, conf string) (string, error) {
			return strings.Replace(conf+gbaSource+"at:/dev/ttyS1\n", " option server https://127.0.0.1:1\n", "\n", 1), nil
		}, 2, []string{"conf:10: option psk_source: with gba the gateway has to be told its name and its server: option id, option server"}},
		{"gba, BSF with a path", with(gbaSource + "at:/dev/ttyS1\n option gba_bsf http://bsf.example/a\n"), 2, []string{"conf:13: option gba_bsf: a BSF's URL is http://HOST[:PORT], or https"}},
		{"gba, no CA", with(gbaSource + "at:/dev/ttyS1\n option gba_bsf https://bsf.example\n option gba_ca DIR/none.pem\n"), 3, []string{"conf:14: option gba_ca: DIR/none.pem: no such file"}},
		{"gba, a CA that is no PEM", with(gbaSource + "at:/dev/ttyS1\n option gba_bsf https://bsf.example\n option gba_ca DIR/garbage\n"), 2, []string{"conf:14: option gba_ca: DIR/garbage: no certificate in it"}},
		{"a code that is none", with(" option enrol CPNS1-AAAAA\n"), 2, []string{"conf:10: option enrol: enrolment code: "}},
		{"unreadable PSK1", spoil(unreadable, "psk1", ""), 2, []string{"conf:5: option psk_file: "}},
		{"PSK1 open to all", spoil(open, "psk1", ""), 2, []string{"conf:5: option psk_file: DIR/psk1 has mode 0644"}},
		{"short PSK1", instead("DIR/psk1", "DIR/short"), 2, []string{"conf:5: option psk_file: "}},
		{"no broker CA", with(tlsLink + " option ca DIR/none.pem\n"), 3, []string{"conf:13: option ca: DIR/none.pem: no such file"}},
		{"broker CA is no PEM", with(tlsLink + " option ca DIR/garbage\n"), 2, []string{"conf:13: option ca: DIR/garbage holds no PEM certificate"}},
		{"no cert, no key", with(tlsLink + " option cert DIR/none.pem\n option key DIR/nor-this\n"), 3, []string{"conf:13: option cert: DIR/none.pem: no such", "conf:14: option key: DIR/nor-this: no such"}},
		{"unreadable key", spoil(unreadable, "key.pem", tlsLink+" option cert DIR/cert.pem\n option key DIR/key.pem\n"), 2, []string{"conf:14: option key: DIR/key.pem: permission denied"}},
		{"key is no key", with(tlsLink + " option cert DIR/cert.pem\n option key DIR/garbage\n"), 2, []string{"conf:13: option cert: "}},
		{"no password file", with(brokerLink + "mqtt://127.0.0.1\n option username gw\n option password_file DIR/none\n"), 3, []string{"conf:14: option password_file: DIR/none: no such file"}},
		{"unreadable password", spoil(unreadable, "password", brokerLink+"mqtt://127.0.0.1\n option username gw\n option password_file DIR/password\n"), 2, []string{"conf:14: option password_file: DIR/password: permission denied"}},
		{"password is a folder", with(brokerLink + "mqtt://127.0.0.1\n option username gw\n option password_file DIR/folder\n"), 2, []string{"conf:14: option password_file: "}},

		{"an application's folder is missing", with("config application 'mqtt'\n option path DIR/none/psk\n"), 3, []string{"conf:11: option path: open DIR/none: no such file or directory: make that folder"}},
		{"an application's folder on flash", with("config application 'mqtt'\n option path /usr/share/psk\n"), 2, []string{"conf:11: option path: /usr/share is on a disk or on flash"}},
		{"an application that is switched off", with("config application 'mqtt'\n option path /usr/share/psk\n option enabled 0\n"), 0, nil},

		{"socket in a closed folder", spoil(unreadable, "folder", "\n"), 0, nil},
		{"socket where none can be made", func(w *workshop, conf string) (string, error) {
			return strings.Replace(conf, "DIR/run/sock", "DIR/folder/sock", 1), unreadable(w.path("folder"))
		}, 2, []string{"conf:8: option socket: "}},
		{"socket in a file", instead("DIR/run/sock", "DIR/garbage/sock"), 2, []string{"conf:8: option socket: making the socket's folder: DIR/garbage is not a folder"}},
		{"socket is a file", instead("DIR/run/sock", "DIR/garbage"), 2, []string{"conf:8: option socket: "}},

		{"wrong and missing", spoil(os.Remove, "ca.pem", serialLink+" option baud 9601\n"), 2, []string{"conf:4: option ca: ", "conf:13: option baud: "}},
		{"several things missing", spoil(os.Remove, "ca.pem", tlsLink+" option ca DIR/none.pem\n"), 3, []string{"conf:4: option ca: ", "conf:13: option ca: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, program)
			conf, err := tt.edit(w, partsGateway)
			if err == nil {
				err = os.WriteFile(w.path("conf"), []byte(strings.ReplaceAll(conf, "DIR", w.dir)), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			code, says := w.init(t)
			if code != tt.code {
				t.Errorf("init: exit code %d, want %d:\n%s", code, tt.code, says)
			}
			for _, want := range tt.want {
				if want = w.dir + "/" + strings.ReplaceAll(want, "DIR/", w.dir+"/"); !strings.Contains(says, want) {
					t.Errorf("init says\n%swant %s", says, want)
				}
			}
			if strings.Contains(says, "hunter2") {
				t.Errorf("a password shows: %s", says)
			}
			if _, err := os.Lstat(w.path("state")); (err == nil) != (code == 0 || code == 3) {
				t.Errorf("exit code %d, root key and store: %v", code, err)
			}
			runCode, runSays := w.daemon(t)
			if runCode != code || runSays != says {
				t.Errorf("init: exit code %d\n%srun: exit code %d\n%s", code, says, runCode, runSays)
			}
		})
	}
}

// TestInitJudgesStateAsRun is the same for the root key and the store.
func TestInitJudgesStateAsRun(t *testing.T) {
	program := programForAll(t)
	for _, tt := range []struct {
		name  string
		spoil func(w *workshop) error
		want  string
	}{
		{"root key gone", func(w *workshop) error { return os.Remove(w.path("state/root.key")) }, "root key"},
		{"root key's binding gone", func(w *workshop) error { return os.Remove(w.path("state/root.key.board")) }, "root.key.board is missing"},
		{"root key open to others", func(w *workshop) error { return os.Chmod(w.path("state/root.key"), 0o444) }, "run chmod 400"},
		{"root key cut", func(w *workshop) error { return os.Truncate(w.path("state/root.key"), 16) }, "is not a root key"},
		{"store of the first format", func(w *workshop) error { return os.Rename(w.path("state/keys/log"), w.path("state/keys/header")) }, "move the folder away, run pngw init"},
		{"store without its header", func(w *workshop) error { return os.Truncate(w.path("state/keys/log"), 8) }, "key store"},
		{"store is a file", func(w *workshop) error {
			return errors.Join(os.RemoveAll(w.path("state/keys")), os.WriteFile(w.path("state/keys"), nil, 0o600))
		}, "store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, program)
			w.configure(t, partsGateway)
			if code, says := w.init(t); code != 0 {
				t.Fatalf("init: %d\n%s", code, says)
			}
			if err := tt.spoil(w); err != nil {
				t.Fatal(err)
			}
			for what, do := range map[string]func(*testing.T) (int, string){"init": w.init, "run": w.daemon} {
				if code, says := do(t); code != 1 || !strings.Contains(says, tt.want) {
					t.Errorf("%s: exit code %d, says %swant 1 and %q", what, code, says, tt.want)
				}
			}
		})
	}
}

// TestInitWhileRunning: a check beside a running agent finds everything in order, and
// leaves the agent and its socket as they are.
func TestInitWhileRunning(t *testing.T) {
	w := newWorkshop(t, programForAll(t))
	if err := os.WriteFile(w.path("conf"), []byte(strings.ReplaceAll(partsGateway, "DIR", w.dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, says := w.init(t); code != 0 {
		t.Fatalf("init: %d\n%s", code, says)
	}
	ready := make(chan struct{})
	cmd := w.command(t.Context(), "run")
	cmd.Stderr = &awaited{text: []byte("msg=ready"), then: func() { close(ready) }}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-ready
	out, err := w.command(t.Context(), "init").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("sock: in use by the agent that runs")) {
		t.Errorf("init beside a running agent: %v\n%s", err, out)
	}
	if out, err := w.command(t.Context(), "status").CombinedOutput(); err != nil {
		t.Errorf("the agent does not answer any more: %v\n%s", err, out)
	}
	if code, says := w.daemon(t); code != 1 {
		t.Errorf("a second agent: exit code %d\n%s", code, says)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}

// Whom a command may not become it says, and what to do.
func TestOthersPlace(t *testing.T) {
	w := newWorkshop(t, programForAll(t))
	if os.Getuid() == 0 && w.run == nil {
		t.Skip("root is the only user here, and may become anybody")
	}
	out, err := w.command(t.Context(), "init", "--user", "root").CombinedOutput()
	const want = "pngw: only root can become root: give the command as root, or without --user\n"
	if code := exitCode(t, err); code != 1 || string(out) != want {
		t.Errorf("exit code %d, %q, want %q", code, out, want)
	}
}
