package https

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
			addr := startOpenSSL(t, tool, certFile, tt.version)
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

// startOpenSSL runs an s_server that answers one request, typed into it as an
// operator would.
func startOpenSSL(t *testing.T, tool, certFile, version string) net.Addr {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool, "s_server", "-accept", "127.0.0.1:0", "-naccept", "1",
		"-cert", certFile, version, "-cipher", "ALL:@SECLEVEL=0")
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
	go func() {
		defer close(done)
		for lines.Scan() {
			if lines.Text() == "request" {
				io.WriteString(stdin, "HTTP/1.1 200 OK\r\nContent-Type: "+testContentType+"\r\nContent-Length: 6\r\n\r\nsealed")
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
		cmd.Wait()
	})
	return addr
}
