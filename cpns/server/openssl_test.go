package server_test

import (
	"bufio"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// An opensslGateway is OpenSSL as the gateway, on one connection.
type opensslGateway struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// opensslGateway connects, and ends with the test.
func (s *site) opensslGateway(t *testing.T, u *unit, args ...string) *opensslGateway {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no openssl")
		}
		t.Skip("no openssl")
	}
	file := filepath.Join(t.TempDir(), "unit.pem")
	key, err := x509.MarshalPKCS8PrivateKey(u.cert.PrivateKey)
	must(t, err)
	must(t, os.WriteFile(file, append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.cert.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, openssl, append([]string{"s_client", "-connect", s.addr, "-tls1_3", "-ign_eof", "-cert", file, "-key", file}, args...)...)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cancel()
		cmd.Wait()
	})
	return &opensslGateway{in, bufio.NewReader(out)}
}

// says waits for a line of s_client's that begins so, and returns what follows.
func (g *opensslGateway) says(t *testing.T, prefix string) string {
	t.Helper()
	for {
		line, err := g.out.ReadString('\n')
		must(t, err)
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
			return text
		}
	}
}

func (g *opensslGateway) post(t *testing.T, path, body string) *reaction {
	t.Helper()
	_, err := fmt.Fprintf(g.in, "POST %s HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", path, len(body), body)
	must(t, err)
	for { // what s_client says of the connection and its tickets is in between
		start, err := g.out.Peek(5)
		must(t, err)
		if string(start) == "HTTP/" {
			break
		}
		_, err = g.out.ReadString('\n')
		must(t, err)
	}
	res, err := http.ReadResponse(g.out, nil)
	must(t, err)
	answer, err := io.ReadAll(res.Body)
	must(t, err)
	return &reaction{Response: res, body: answer}
}

// TestOpenSSLEnrols lets OpenSSL be the gateway: it shows the certificate and exports,
// and the server takes the proof that is made of it.
func TestOpenSSLEnrols(t *testing.T) {
	s := newSite(t)
	u := newUnit(t)
	secret := s.invite(t, "gw-openssl", 1)
	g := s.opensslGateway(t, u, "-keymatexport", cpns.ExporterEnrolment, "-keymatexportlen", fmt.Sprint(cpns.ExporterSize))
	exported, err := hex.DecodeString(g.says(t, "Keying material: "))
	must(t, err)
	proof := cpns.EnrolmentProof(secret, u.key, (*[cpns.ExporterSize]byte)(exported))
	res := g.post(t, cpns.EnrolmentPath, fmt.Sprintf(`{"gateway_id":null,"proof":%q,"model":"","serial":"","macs":[]}`, cpns.Base64.EncodeToString(proof[:])))
	if id := res.wantApproved(t); id != "gw-openssl" {
		t.Errorf("called %s", id)
	}
}

// TestOpenSSLAgreesOnPSK1: what the server makes of a connection is what follows from
// OpenSSL's exporter secret of it. s_client exports without a context only, so the rest
// of RFC 8446, 7.5 is done here, by hand.
func TestOpenSSLAgreesOnPSK1(t *testing.T) {
	s := newSite(t)
	u := newUnit(t)
	s.enrol(t, u, s.invite(t, "gw-openssl", 1), nil).wantApproved(t)
	log := filepath.Join(t.TempDir(), "keys")
	g := s.opensslGateway(t, u, "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-keylogfile", log)
	var got struct{ Identity, Confirmation string }
	if res := g.post(t, cpns.PSK1Path, ""); res.StatusCode != 200 || json.Unmarshal(res.body, &got) != nil {
		t.Fatalf("got HTTP %s: %s", res.Status, res.body)
	}
	text, err := os.ReadFile(log)
	must(t, err)
	_, line, _ := strings.Cut(string(text), "EXPORTER_SECRET ")
	line, _, _ = strings.Cut(line, "\n")
	exporter, err := hex.DecodeString(line[strings.LastIndex(line, " ")+1:])
	must(t, err)

	expand := func(secret []byte, label string, context []byte) []byte { // HKDF-Expand-Label of 32 bytes
		info := []byte{0, 32, byte(len("tls13 " + label))}
		info = append(info, "tls13 "+label...)
		info = append(append(info, byte(len(context))), context...)
		out, err := hkdf.Expand(sha256.New, secret, string(info), 32)
		must(t, err)
		return out
	}
	nothing := sha256.Sum256(nil)
	context := sha256.Sum256([]byte("cpns1\x00" + string(u.key[:]) + got.Identity))
	psk := expand(expand(exporter, "EXPERIMENTAL CPNS PSK1", nothing[:]), "exporter", context[:])
	mac := hmac.New(sha256.New, psk)
	mac.Write([]byte("CPNS PSK1 server\x00" + got.Identity))
	if want := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); got.Confirmation != want {
		t.Errorf("confirmation: got %s, want %s", got.Confirmation, want)
	}
	s.wantUnder(t, "OpenSSL's", given{cpns.PSKIdentity(got.Identity), psk, 0}, 200)
}
