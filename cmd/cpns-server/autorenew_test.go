package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/internal/logtest"
)

// certFolder makes a folder with a CA and a certificate, as init does.
func certFolder(t *testing.T, now time.Time) dataFolder {
	t.Helper()
	d := dataFolder(t.TempDir())
	ca, err := newCA(now)
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	pair, err := newServerCert(ca, key, append([]string{"cpns.example.net"}, ownHosts...), now)
	must(t, err)
	write := func(path string, data []byte, perm os.FileMode) error { return os.WriteFile(path, data, 0o600) }
	must(t, writeCert(d, pair, ca.cert, write))
	must(t, write(d.caKey(), append(slices.Clone(ca.cert), ca.key...), 0))
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A server that runs for five years always has a certificate that holds, under the
// same CA and with the same key; gateways that know either notice nothing.
func TestRenewsByItself(t *testing.T) {
	base := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	d := certFolder(t, base)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		now := func() time.Time { return base.Add(time.Since(begin)) }
		log := new(logtest.Buffer)
		c, err := loadCertificate(d, now, slog.New(slog.NewTextHandler(log, nil)))
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.watch(ctx, nil) }()
		first := c.current.Load().Leaf
		pins, roots := c.anchors(), x509.NewCertPool()
		roots.AppendCertsFromPEM(pins.CA)
		renewed := 0
		for range 5 * 52 {
			time.Sleep(7 * 24 * time.Hour)
			synctest.Wait()
			leaf := c.current.Load().Leaf
			if !bytes.Equal(leaf.Raw, first.Raw) {
				renewed++
				if left := first.NotAfter.Sub(now()); left < renewWithin-8*24*time.Hour || left > renewWithin {
					t.Errorf("renewed %v before its end", left)
				}
				if pinOf(leaf) != pinOf(first) || !slices.Equal(hostsOf(leaf), hostsOf(first)) {
					t.Error("another key, or other names")
				}
				onDisk, err := readLeaf(d.serverCert())
				if err != nil || !bytes.Equal(onDisk.Raw, leaf.Raw) {
					t.Errorf("the folder has another certificate: %v", err)
				}
				first = leaf
			}
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "cpns.example.net", CurrentTime: now()}); err != nil {
				t.Fatal(err)
			}
		}
		if a := c.anchors(); !slices.Equal(a.Pins, pins.Pins) || !bytes.Equal(a.CA, pins.CA) {
			t.Error("gateways would have to know it by something else")
		}
		if renewed != 2 {
			t.Errorf("renewed %d times in five years", renewed)
		}
		stop()
		<-done
	})
}

// What is not renewed: the operator's own, by a clock that jumps or was never set, and
// under a CA that ends before.
func TestRenewsNot(t *testing.T) {
	base := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		change  func(d dataFolder)
		days    int // that the clock is ahead
		looks   int
		renewed bool
		logged  string
	}{
		{"not yet time", nil, 600, 20, false, ""},
		{"time", nil, 710, renewLooks, true, "the certificate was renewed"},
		{"a clock that is ahead for a while", nil, 710, renewLooks - 1, false, ""},
		{"a clock that was never set", nil, -20000, 20, false, ""},
		{"before its beginning", nil, -10, renewLooks, true, "the certificate was renewed"},
		{"no CA", func(d dataFolder) { os.Remove(d.caKey()) }, 710, 20, false, ""},
		{"another's", func(d dataFolder) {
			other := certFolder(t, base)
			must(t, os.Rename(other.serverCert(), d.serverCert()))
			must(t, os.Rename(other.serverKey(), d.serverKey()))
			must(t, os.Remove(d.caCert()))
		}, 710, 20, false, ""},
		{"at the end of the CA", nil, 366 * caYears, renewLooks, false, "the CA itself ends on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := certFolder(t, base)
			if c.change != nil {
				c.change(d)
			}
			at := base
			log := new(logtest.Buffer)
			cert, err := loadCertificate(d, func() time.Time { return at }, slog.New(slog.NewTextHandler(log, nil)))
			must(t, err)
			before := cert.current.Load().Leaf
			at = base.AddDate(0, 0, c.days)
			for range c.looks {
				cert.renewal.look(cert, false)
			}
			if got := !bytes.Equal(cert.current.Load().Leaf.Raw, before.Raw); got != c.renewed {
				t.Errorf("renewed: %v", got)
			}
			if !strings.Contains(log.String(), c.logged) || c.logged == "" && log.String() != "" {
				t.Errorf("log: %s", log)
			}
		})
	}
	t.Run("a folder that cannot be written to", func(t *testing.T) {
		d := certFolder(t, base)
		at := base
		log := new(logtest.Buffer)
		cert, err := loadCertificate(d, func() time.Time { return at }, slog.New(slog.NewTextHandler(log, nil)))
		must(t, err)
		must(t, os.Remove(d.serverKey()))
		must(t, os.MkdirAll(filepath.Join(d.serverKey(), "x"), 0o700)) // also root cannot put a file there
		at = base.AddDate(0, 0, 710)
		for range renewLooks {
			cert.renewal.look(cert, false)
		}
		if !strings.Contains(log.String(), "the certificate cannot be renewed") {
			t.Errorf("log: %s", log)
		}
	})
}
