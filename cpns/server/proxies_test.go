package server_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// program finds a program that Debian has in /usr/sbin. A test without it is
// skipped, except in CI.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: scripts/setup.sh installs it", name)
	}
	t.Skipf("%s is missing: scripts/setup.sh installs it", name)
	return ""
}

// freeAddress is an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// runProxy runs a proxy until the test ends, and waits until it listens.
func runProxy(t *testing.T, addr string, name string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", name, err, said.String())
		default:
		}
		if time.Since(begin) > 2*time.Minute {
			t.Fatalf("%s does not listen: %v", name, err)
		}
	}
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func haproxy(t *testing.T, backend, send string) string {
	addr := freeAddress(t)
	config := write(t, t.TempDir(), "haproxy.cfg", fmt.Sprintf(`
defaults
	mode tcp
	timeout connect 5s
	timeout client 30s
	timeout server 30s
listen cpns
	bind %s
	server cpns %s %s check check-send-proxy inter 200
`, addr, backend, send))
	runProxy(t, addr, program(t, "haproxy"), "-db", "-f", config)
	return addr
}

// nginx runs with what it needs in a folder of the test.
func nginx(t *testing.T, addr, modules, block string) string {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o777))
	must(t, os.Chmod(filepath.Dir(dir), 0o777)) // its workers are another user's
	config := write(t, dir, "nginx.conf", fmt.Sprintf(`%s
daemon off;
worker_processes 1;
error_log stderr;
pid %s/pid;
events {}
%s`, modules, dir, block))
	runProxy(t, addr, program(t, "nginx"), "-p", dir, "-c", config)
	return addr
}

func nginxStream(t *testing.T, backend string) string {
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	load := ""
	if _, err := os.Stat(module); err == nil {
		load = "load_module " + module + ";"
	}
	addr := freeAddress(t)
	return nginx(t, addr, load, fmt.Sprintf("stream { server { listen %s; proxy_pass %s; proxy_protocol on; } }", addr, backend))
}

// nginxHTTP ends TLS and makes it anew.
func nginxHTTP(t *testing.T, r *rig, backend string) string {
	dir := t.TempDir()
	cert := r.http.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	must(t, err)
	certFile := write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
	keyFile := write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	addr := freeAddress(t)
	return nginx(t, addr, "", fmt.Sprintf(`http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server {
		listen %[2]s ssl;
		ssl_certificate %[3]s; ssl_certificate_key %[4]s;
		location / {
			proxy_pass https://%[5]s;
			proxy_http_version 1.1;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_ssl_verify on; proxy_ssl_trusted_certificate %[3]s; proxy_ssl_name example.com;
		}
	}
}`, dir, addr, certFile, keyFile, backend))
}

// from posts to addr from one of the loopback's addresses.
func (s *served) from(t *testing.T, source, addr string, body []byte) (*http.Response, []byte) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: s.tls(), DisableKeepAlives: true}}
	req, err := http.NewRequest("POST", "https://"+addr+cpns.AssignmentPath, bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", cpns.ContentType)
	req.Header.Set("X-Forwarded-For", "203.0.113.5") // anybody can write this
	res, err := client.Do(req)
	must(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(t, err)
	return res, answer
}

// Through real proxies every sender pays for itself: strangers behind one take
// nothing from gateways behind it, and the audit log shows who was there.
func TestThroughProxies(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	header := func(c *server.Config) { c.ProxyProtocol = loopback }
	tests := []struct {
		name   string
		config func(*server.Config)
		start  func(t *testing.T, r *rig, backend string) string
		whose  bool // the server learns who sent it
	}{
		{"haproxy, version 1", header, func(t *testing.T, r *rig, b string) string { return haproxy(t, b, "send-proxy") }, true},
		{"haproxy, version 2", header, func(t *testing.T, r *rig, b string) string { return haproxy(t, b, "send-proxy-v2") }, true},
		{"nginx, stream", header, func(t *testing.T, r *rig, b string) string { return nginxStream(t, b) }, true},
		{"nginx, HTTP", func(c *server.Config) { c.ForwardedFor = loopback }, nginxHTTP, true},
		{"haproxy that says nothing", func(*server.Config) {}, func(t *testing.T, r *rig, b string) string { return haproxy(t, b, "") }, false},
		{"nginx that is not believed", func(*server.Config) {}, nginxHTTP, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRigWith(t, tt.config)
			s := serve(t, r)
			addr := tt.start(t, r, s.addr)
			forged := r.forged()
			for range server.SourceBurst {
				s.from(t, "127.0.7.1", addr, forged)
			}
			res, answer := s.from(t, "127.0.7.1", addr, forged)
			wantProblem(t, res, answer, http.StatusTooManyRequests)

			// Another address has a budget of its own, as far as it is known.
			want := http.StatusTooManyRequests
			if tt.whose {
				want = http.StatusUnauthorized
			}
			res, answer = s.from(t, "127.0.7.2", addr, forged)
			wantProblem(t, res, answer, want)

			// Gateways are answered, whatever the address owes.
			for _, source := range []string{"127.0.7.1", "127.0.7.2"} {
				body := r.seal("gw-1", r.request("alice", "pne-1"))
				res, answer := s.from(t, source, addr, body)
				if got := r.open("gw-1", body, res, answer); got.Status != cpns.Success {
					t.Errorf("from %s: got %v", source, got.Status)
				}
				events := r.events()
				last := events[len(events)-1].Source
				if (last == source) != tt.whose {
					t.Errorf("audit: from %s, want that it is known: %v", last, tt.whose)
				}
			}
		})
	}
}

// Whoever is no configured proxy cannot say that it is somebody else, and a proxy
// has to say who it speaks for.
func TestProxyHeaderFromOthers(t *testing.T) {
	hello := "PROXY TCP4 192.0.2.7 127.0.0.1 4660 8443\r\n"
	proxy := netip.MustParsePrefix("127.0.0.1/32")
	r := newRigWith(t, func(c *server.Config) { c.ProxyProtocol = []netip.Prefix{proxy} })
	s := serve(t, r)
	exchange := func(source, send string) string {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
		c, err := dialer.Dial("tcp", s.addr)
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Minute))
		io.WriteString(c, send)
		answer, _ := io.ReadAll(c)
		return string(answer)
	}
	plain := "GET / HTTP/1.1\r\nHost: x\r\n\r\n" // to a TLS port: answered, where it is read
	if got := exchange("127.0.0.9", plain); !strings.HasPrefix(got, "HTTP/1.0 400") {
		t.Errorf("without a header from elsewhere: got %q", got)
	}
	if got := exchange("127.0.0.9", hello+plain); strings.HasPrefix(got, "HTTP/") {
		t.Errorf("with a header from elsewhere: got %q", got)
	}
	if got := exchange("127.0.0.1", hello+plain); !strings.HasPrefix(got, "HTTP/1.0 400") {
		t.Errorf("with a header from the proxy: got %q", got)
	}
	if got := exchange("127.0.0.1", plain); got != "" {
		t.Errorf("without a header from the proxy: got %q", got)
	}
}
