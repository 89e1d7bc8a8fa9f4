package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
)

// selfSigned makes a certificate for a name, and its key, as PEM.
func selfSigned(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", pkcs8)
}

// Over TCP, with TLS as libpq names its modes, and with passwords from a file and from
// pgpass.
func TestTLSAndPasswords(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	cert, key := selfSigned(t, "localhost")
	db := pgtest.Start(t, pgtest.Fast)
	for name, text := range map[string]string{"server.crt": cert, "server.key": key} {
		path := filepath.Join(db.Data(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		db.Own(path)
	}
	db.Exec("CREATE ROLE remote LOGIN SUPERUSER PASSWORD 'correct horse'")
	db.Append("postgresql.conf", fmt.Sprintf("ssl = on\nlisten_addresses = '127.0.0.1'\nport = %d\n", port))
	db.Append("pg_hba.conf", "")
	if err := os.WriteFile(filepath.Join(db.Data(), "pg_hba.conf"), []byte("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	db.Stop()
	db.Port = port
	db.Run()

	ca := write(t, "ca.pem", cert, 0o600)
	otherCert, _ := selfSigned(t, "localhost")
	other := write(t, "other.pem", otherCert, 0o600)
	password := func(text string) func() (string, error) { return func() (string, error) { return text, nil } }
	right := password("correct horse")
	pgpass := write(t, "pgpass", fmt.Sprintf("localhost:%d:*:remote:correct horse\n", port), 0o600)
	url := func(host, mode string) string {
		return fmt.Sprintf("postgres://remote@%s:%d/postgres?sslmode=%s", host, port, mode)
	}
	for _, tt := range []struct {
		name   string
		c      Config
		pgpass string
		says   string // "" for a connection
	}{
		{"require", Config{URL: url("localhost", "require"), Password: right}, "", ""},
		{"verify-full", Config{URL: url("localhost", "verify-full&sslrootcert="+ca), Password: right}, "", ""},
		{"pgpass", Config{URL: url("localhost", "verify-full&sslrootcert="+ca)}, pgpass, ""},
		{"verify-ca under another name", Config{URL: url("127.0.0.1", "verify-ca&sslrootcert="+ca), Password: right}, "", ""},
		{"verify-full under another name", Config{URL: url("127.0.0.1", "verify-full&sslrootcert="+ca), Password: right}, "", "certificate is not to be trusted"},
		{"another CA", Config{URL: url("localhost", "verify-full&sslrootcert="+other), Password: right}, "", "certificate is not to be trusted"},
		{"without TLS", Config{URL: url("localhost", "disable"), Password: right}, "", "refuses the user or the password"},
		{"a wrong password", Config{URL: url("localhost", "require"), Password: password("battery staple")}, "", "refuses the user or the password"},
		{"no password", Config{URL: url("localhost", "require")}, "/nowhere", "refuses the user or the password"},
		{"a file that is not there", Config{URL: url("localhost", "require"), Password: func() (string, error) {
			_, err := os.ReadFile("/not/there")
			return "", err
		}}, "", "/not/there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("PGPASSFILE", tt.pgpass)
			s, err := New(tt.c)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.Prepare(t.Context())
			if tt.says == "" {
				if !errors.Is(err, ErrNoTables) { // it was asked
					t.Errorf("got %v", err)
				}
				return
			}
			wantSays(t, tt.name, err, tt.says, false)
			if errors.Is(err, server.ErrNotFound) {
				t.Error("looks like something that is not in the store")
			}
		})
	}
}
