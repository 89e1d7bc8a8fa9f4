package https

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestOpenSSL asks a server whose TLS is not Go's, under each version.
func TestOpenSSL(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ca := newAuthority(t, "test CA")
	cert := ca.issue(t, leaf{})
	certFile := filepath.Join(t.TempDir(), "server.pem")
	text := append(pemOf("CERTIFICATE", cert.Certificate[0]), keyPEM(t, cert.PrivateKey)...)
	if err := os.WriteFile(certFile, text, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		version string
		want    string // of the reason; "": accepted
	}{
		{"-tls1_3", ""},
		{"-tls1_2", ""},
		{"-tls1_1", "speaks only an old TLS"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			addr, _ := startOpenSSL(t, tool, certFile, tt.version)
			c := newClient(t, addr, ca, withTimeout(10*time.Second), func(cfg *Config) { cfg.PinSPKI = pinOf(cert) })
			resp, err := c.Post(t.Context(), []byte("request\n"))
			if tt.want != "" {
				if u := asUnreachable(t, err); !strings.Contains(u.Reason, tt.want) {
					t.Errorf("got error %v, want a reason with %q", err, tt.want)
				}
				return
			}
			if err != nil || string(resp.Body) != "sealed" {
				t.Errorf("got %q, %v, want %q", resp.Body, err, "sealed")
			}
		})
	}
}

// TestExchangeOpenSSL: what Exchange exports is what OpenSSL exports at the other end, and
// OpenSSL reads the certificate that is shown.
func TestExchangeOpenSSL(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	own, mine := issue(t, nil, loopback), issue(t, nil, func(c *x509.Certificate) { c.Subject.CommonName = "CPNS PN GW" })
	certFile := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(certFile, append(pemOf("CERTIFICATE", own.cert.Raw), keyPEM(t, own.key)...), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, said := startOpenSSL(t, tool, certFile, "-tls1_3", "-verify", "1", "-keymatexport", "EXPERIMENTAL test", "-keymatexportlen", "32")
	var exported []byte
	got, err := Exchange(t.Context(), ExchangeConfig{
		Server: "https://" + addr.String(), Pins: []Pin{shortPin(own.cert)}, Timeout: 10 * time.Second,
		Certificate: tls.Certificate{PrivateKey: mine.key, Certificate: [][]byte{mine.cert.Raw}},
	}, "/", func(e Exporter) (_ []byte, err error) {
		exported, err = e("EXPERIMENTAL test", nil, 32)
		return []byte("request\n"), err
	})
	if err != nil || string(got.Body) != "sealed" {
		t.Fatalf("got %+v, %v", got, err)
	}
	text := said()
	if want := fmt.Sprintf("Keying material: %X", exported); !strings.Contains(text, want) || !strings.Contains(text, "CPNS PN GW") {
		t.Errorf("OpenSSL says\n%s\nwant %q, and the certificate", text, want)
	}
}

// startOpenSSL runs an s_server that answers one request, typed into it as an
// operator would. said ends it, and tells all that it printed.
func startOpenSSL(t *testing.T, tool, certFile string, flags ...string) (_ net.Addr, said func() string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool, append([]string{"s_server", "-accept", "127.0.0.1:0", "-naccept", "1",
		"-cert", certFile, "-cipher", "ALL:@SECLEVEL=0"}, flags...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	lines := bufio.NewScanner(stdout)
	var addr net.Addr
	for addr == nil && lines.Scan() {
		if at, ok := strings.CutPrefix(lines.Text(), "ACCEPT "); ok {
			if addr, err = net.ResolveTCPAddr("tcp", at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if addr == nil {
		t.Fatal("openssl s_server did not say where it listens")
	}
	done := make(chan struct{})
	var all strings.Builder
	go func() {
		defer close(done)
		for lines.Scan() {
			all.WriteString(lines.Text() + "\n")
			if lines.Text() == "request" {
				io.WriteString(stdin, "HTTP/1.1 200 OK\r\nContent-Type: "+testContentType+"\r\nContent-Length: 6\r\n\r\nsealed")
			}
		}
	}()
	end := sync.OnceFunc(func() {
		cmd.Process.Kill()
		<-done
		cmd.Wait()
	})
	t.Cleanup(end)
	return addr, func() string { end(); return all.String() }
}
