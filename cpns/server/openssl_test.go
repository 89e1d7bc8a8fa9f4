package server_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/hex"
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

// TestOpenSSLEnrols lets OpenSSL be the gateway: it shows the certificate and exports,
// and the server takes the proof that is made of it.
func TestOpenSSLEnrols(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no openssl")
		}
		t.Skip("no openssl")
	}
	s := newSite(t)
	u := newUnit(t)
	secret := s.invite(t, "gw-openssl", 1)
	file := filepath.Join(t.TempDir(), "unit.pem")
	key, err := x509.MarshalPKCS8PrivateKey(u.cert.PrivateKey)
	must(t, err)
	must(t, os.WriteFile(file, append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.cert.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), 0o600))

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, openssl, "s_client", "-connect", s.addr, "-tls1_3", "-ign_eof", "-cert", file, "-key", file,
		"-keymatexport", cpns.ExporterEnrolment, "-keymatexportlen", fmt.Sprint(cpns.ExporterSize))
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer in.Close()

	lines := bufio.NewReader(out)
	var exported []byte
	for exported == nil {
		line, err := lines.ReadString('\n')
		must(t, err)
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "Keying material: "); ok {
			exported, err = hex.DecodeString(text)
			must(t, err)
		}
	}
	proof := cpns.EnrolmentProof(secret, u.key, (*[cpns.ExporterSize]byte)(exported))
	body := fmt.Sprintf(`{"gateway_id":null,"proof":%q,"model":"","serial":"","macs":[]}`, cpns.Base64.EncodeToString(proof[:]))
	_, err = fmt.Fprintf(in, "POST %s HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", cpns.EnrolmentPath, len(body), body)
	must(t, err)
	for { // what s_client says of the connection and its tickets is in between
		start, err := lines.Peek(5)
		must(t, err)
		if string(start) == "HTTP/" {
			break
		}
		_, err = lines.ReadString('\n')
		must(t, err)
	}
	res, err := http.ReadResponse(lines, nil)
	must(t, err)
	answer, err := io.ReadAll(res.Body)
	must(t, err)
	if id := (&reaction{Response: res, body: answer}).wantApproved(t); id != "gw-openssl" {
		t.Errorf("called %s", id)
	}
}
