package bootstrap

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cpns.example.net/pngw/gba"
)

// A BSF by https is asked where its certificate verifies against the roots that were
// given, and not where it does not.
func TestRoots(t *testing.T) {
	r := newRig(t)
	web := httptest.NewUnstartedServer(http.HandlerFunc(r.bsf.Ub))
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	web.StartTLS()
	t.Cleanup(web.Close)
	own := x509.NewCertPool()
	own.AddCert(web.Certificate())
	for _, roots := range []*x509.CertPool{own, x509.NewCertPool(), nil} {
		s := New(Config{
			Card: &gba.Modem{Open: func(context.Context) (gba.Port, error) {
				here, there := net.Pipe()
				go func() { r.modem.Serve(there); there.Close() }()
				return here, nil
			}},
			BSF: web.URL, Roots: roots, NAFID: nafID, Clock: &r.clock, Log: slog.New(slog.DiscardHandler),
		})
		psk, err := s.PSK1(t.Context())
		switch {
		case roots == own && err != nil:
			t.Errorf("with the BSF's CA: %v", err)
		case roots != own && (err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority")):
			t.Errorf("with another: %v, %v", psk, err)
		}
	}
}
