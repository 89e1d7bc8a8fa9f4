package syslog

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/logtest"
)

// An rsyslogd is a real one, in a folder of its own, that takes messages over everything
// and writes each as its parser has understood it.
type rsyslogd struct {
	t      *testing.T
	folder string
	cmd    *exec.Cmd
	ports  map[string]string // by network
	roots  *x509.CertPool
}

func newRsyslogd(t *testing.T) *rsyslogd {
	t.Helper()
	if _, err := exec.LookPath("rsyslogd"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("rsyslogd is not installed: apt-get install rsyslog rsyslog-openssl")
		}
		t.Skip("rsyslogd is not installed: apt-get install rsyslog rsyslog-openssl")
	}
	folder, err := os.MkdirTemp("/tmp", "rsyslog-") // the name of a socket in t.TempDir is too long
	must(t, err)
	r := &rsyslogd{t: t, folder: folder, ports: map[string]string{"udp": freePort(t, "udp"), "tcp": freePort(t, "tcp"), "tls": freePort(t, "tcp")}}
	t.Cleanup(func() {
		r.stop()
		os.RemoveAll(folder)
	})
	r.certify()
	conf := fmt.Sprintf(`
global(workDirectory="%[1]s" defaultNetstreamDriverCAFile="%[1]s/ca.pem" defaultNetstreamDriverCertFile="%[1]s/ca.pem" defaultNetstreamDriverKeyFile="%[1]s/key.pem")
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
module(load="imptcp")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imuxsock" Socket="%[1]s/log" CreatePath="off" ParseTrusted="off" UseSpecialParser="off" UsePIDFromSystem="off" IgnoreTimestamp="off")
input(type="imudp" Address="127.0.0.1" Port="%[2]s")
input(type="imptcp" Address="127.0.0.1" Port="%[3]s")
input(type="imtcp" Address="127.0.0.1" Port="%[4]s")
template(name="parsed" type="string" string="%%pri%%|%%timereported:::date-rfc3339%%|%%hostname%%|%%app-name%%|%%procid%%|%%msgid%%|%%structured-data%%|%%msg%%\n")
action(type="omfile" file="%[1]s/out" template="parsed" asyncWriting="off" flushOnTXEnd="on")
`, folder, r.ports["udp"], r.ports["tcp"], r.ports["tls"])
	must(t, os.WriteFile(filepath.Join(folder, "conf"), []byte(conf), 0o600))
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// freePort is one that nobody listens on at the moment.
func freePort(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		defer c.Close()
		_, port, _ := net.SplitHostPort(c.LocalAddr().String())
		return port
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (r *rsyslogd) certify() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(r.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "logs"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(r.t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(r.t, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	must(r.t, os.WriteFile(filepath.Join(r.folder, "ca.pem"), cert, 0o600))
	must(r.t, os.WriteFile(filepath.Join(r.folder, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	r.roots = x509.NewCertPool()
	r.roots.AppendCertsFromPEM(cert)
}

func (r *rsyslogd) start() {
	r.t.Helper()
	r.cmd = exec.Command("rsyslogd", "-n", "-f", filepath.Join(r.folder, "conf"), "-i", filepath.Join(r.folder, "pid"))
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := new(bytes.Buffer)
	r.cmd.Stdout, r.cmd.Stderr = out, out
	must(r.t, r.cmd.Start())
	until(r.t, "rsyslogd listens", func() bool {
		for _, network := range []string{"tcp", "tls"} {
			c, err := net.Dial("tcp", "127.0.0.1:"+r.ports[network])
			if err != nil {
				return false
			}
			c.Close()
		}
		_, err := os.Stat(filepath.Join(r.folder, "log"))
		return err == nil
	})
}

func (r *rsyslogd) stop() {
	if r.cmd != nil {
		r.cmd.Process.Kill()
		r.cmd.Wait()
		r.cmd = nil
		os.Remove(filepath.Join(r.folder, "log"))
		os.Remove(filepath.Join(r.folder, "pid"))
	}
}

func (r *rsyslogd) out() string {
	text, err := os.ReadFile(filepath.Join(r.folder, "out"))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(text)
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 2*time.Minute {
			t.Fatalf("%s: not within two minutes", what)
		}
	}
}

// exporter runs an exporter to a network of r, until the test or what it returns ends it.
func (r *rsyslogd) exporter(network string, log *logtest.Buffer) (*Exporter, func()) {
	r.t.Helper()
	c := Config{Network: network, Address: "127.0.0.1:" + r.ports[network], Log: slog.New(slog.NewTextHandler(log, nil))}
	switch network {
	case "unix":
		c.Address = filepath.Join(r.folder, "log")
	case "tls":
		c.TLS = &tls.Config{RootCAs: r.roots, ServerName: "127.0.0.1"}
	}
	x, err := New(c)
	must(r.t, err)
	x.firstWait = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); x.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(stop)
	return x, stop
}

var at = time.Date(2026, 3, 1, 12, 30, 0, 123e6, time.UTC)

func event(n int64, detail string) server.Event {
	return server.Event{Seq: n, Time: at, Kind: server.EventAssigned, User: "alice", Entity: "urn:dev:1", Gateway: "gw", Epoch: 7, Source: "192.0.2.1", Detail: detail}
}

func TestRsyslog(t *testing.T) {
	r := newRsyslogd(t)
	r.start()
	seal := server.Seal{Number: 9, MAC: bytes.Repeat([]byte{0xab}, 32)}
	host, err := os.Hostname()
	must(t, err)
	for _, network := range []string{"unix", "udp", "tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			r.t = t
			before := len(r.out())
			log := new(logtest.Buffer)
			x, stop := r.exporter(network, log)
			refused := event(2, "a \"quoted\" ] \\ word\nand <34>1 another line\x1b[31m €")
			refused.Kind = server.EventAuthFailed
			x.Sealed(seal, []server.Event{event(1, ""), refused})
			until(t, "two messages", func() bool { return strings.Count(r.out()[before:], "\n") == 2 })
			got := strings.Split(r.out()[before:], "\n")
			pid := fmt.Sprint(os.Getpid())
			want := []string{
				"110|2026-03-01T12:30:00.123Z|" + host + "|cpns-server|" + pid + `|assigned|[cpns@32473 number="1" user="alice" pne="urn:dev:1" gateway="gw" epoch="7" source="192.0.2.1"]|assigned user=alice pne=urn:dev:1 gateway=gw epoch=7 from="192.0.2.1"`,
				"108|2026-03-01T12:30:00.123Z|" + host + "|cpns-server|" + pid + `|auth_failed|[cpns@32473 number="2" user="alice" pne="urn:dev:1" gateway="gw" epoch="7" source="192.0.2.1" detail="a \"quoted\" \] \\ word and <34>1 another line [31m €" head="9:abababababababababababababababab"]|auth_failed user=alice pne=urn:dev:1 gateway=gw epoch=7 from="192.0.2.1" detail="a \"quoted\" ] \\ word\nand <34>1 another line\x1b[31m €" head=9:abababababababababababababababab`,
			}
			for n := range want {
				if got[n] != want[n] {
					t.Errorf("message %d:\ngot  %s\nwant %s", n, got[n], want[n])
				}
			}
			until(t, "they are counted", func() bool { return x.Counts() == server.SyslogCounts{Up: true, Sent: 2} })
			x.Sealed(seal, []server.Event{event(3, "")})
			stop()
			until(t, "what waited is sent at the end", func() bool { return strings.Contains(r.out()[before:], `number="3"`) })
		})
	}
}

// While the syslog server is away events wait, and the newest of too many are lost,
// counted and told.
func TestRsyslogAway(t *testing.T) {
	for _, network := range []string{"unix", "tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			r := newRsyslogd(t)
			r.start()
			log := new(logtest.Buffer)
			x, _ := r.exporter(network, log)
			x.Sealed(server.Seal{}, []server.Event{event(1, "")})
			until(t, "the first message", func() bool { return strings.Contains(r.out(), `number="1"`) })
			r.stop()
			// What is written before the end of the other side has been noticed is lost, and
			// nothing says so: the next one shows it.
			until(t, "it is away", func() bool {
				if !x.Counts().Up {
					return true
				}
				x.Sealed(server.Seal{}, []server.Event{event(2, "")})
				return false
			})
			before := uint64(x.Counts().Waiting)
			if !strings.Contains(log.String(), "takes no events, and they wait") {
				t.Errorf("log: %s", log)
			}
			events := make([]server.Event, queueSize+10)
			for n := range events {
				events[n] = event(int64(n+3), "")
			}
			x.Sealed(server.Seal{}, events)
			if c := x.Counts(); c.Lost < 9+before || c.Lost > 10+before || c.Waiting != queueSize {
				t.Errorf("counted: %+v", c)
			}
			r.start()
			until(t, "it has all", func() bool { return x.Counts().Waiting == 0 && x.Counts().Up })
			last := fmt.Sprintf(`number="%d"`, queueSize+3)
			until(t, "the last that was queued", func() bool {
				return strings.Contains(r.out(), last) || strings.Contains(r.out(), fmt.Sprintf(`number="%d"`, queueSize+2))
			})
			out := r.out()
			if !strings.Contains(out, `|events_lost|[cpns@32473 lost="`) || !strings.Contains(out, `number="2"`) {
				t.Errorf("the loss is not told, or what waited did not come: %.2000s", out)
			}
			if !strings.Contains(log.String(), "the syslog server takes events") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// A syslog server that takes nothing does not keep the server from ending, and its
// certificate is looked at.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	r := &rsyslogd{t: t, ports: map[string]string{"tcp": fmt.Sprint(port)}}
	log := new(logtest.Buffer)
	x, stop := r.exporter("tcp", log)
	x.Sealed(server.Seal{}, []server.Event{event(1, ""), event(2, "")})
	until(t, "it is away", func() bool { return strings.Contains(log.String(), "they wait") })
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > lastTime+5*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if c := x.Counts(); c.Lost != 2 || !strings.Contains(log.String(), "got not all events") {
		t.Errorf("counted: %+v, log: %s", c, log)
	}

	r = newRsyslogd(t)
	r.start()
	r.roots = x509.NewCertPool()
	log = new(logtest.Buffer)
	r.exporter("tls", log)
	until(t, "the certificate is refused", func() bool { return strings.Contains(log.String(), "certificate signed by unknown authority") })
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"unix:/dev/log": "unix /dev/log", "udp:10.0.0.1:514": "udp 10.0.0.1:514", "tcp://logs.example.net:601": "tcp logs.example.net:601",
		"tls:[::1]:6514": "tls [::1]:6514",
		"":               "", "unix:log": "", "udp:host": "", "udp::514": "", "tcp:host:x": "", "tcp:host:70000": "", "http:host:80": "", "/dev/log": "",
	} {
		network, address, err := ParseAddress(text)
		if got := strings.TrimSpace(network + " " + address); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}
