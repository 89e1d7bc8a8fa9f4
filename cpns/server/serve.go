package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// What a connection may take. A request is one small POST, so all of these are
// far from what a working gateway needs over a slow line.
const (
	headerTime  = 5 * time.Second
	readTime    = 10 * time.Second
	writeTime   = answerTime + 15*time.Second // counts from the end of the header
	idleTime    = 30 * time.Second
	headerBytes = 8 << 10
	stopTime    = answerTime
)

// Serve answers on ln, over TLS 1.2 or later with the certificate that cert
// gives, until ctx ends; then it lets the requests under way finish, 10 seconds
// at most. It has 1024 connections, 256 of them from one address, at a time;
// connlimit.go says who makes room for whom above that. HTTP/2
// is not offered: a gateway sends one
// request, and its limits are harder to hold.
func (s *Server) Serve(ctx context.Context, ln net.Listener, cert func(*tls.ClientHelloInfo) (*tls.Certificate, error)) error {
	tlsConf := tlsConfig(cert)
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          log.New(noiseWriter{s}, "", 0),
		ConnContext:       withConn,
		TLSConfig:         tlsConf,
		Protocols:         new(http.Protocols),
	}
	hs.Protocols.SetHTTP1(true)
	limited := newLimitListener(ln, s.proxyProtocol, s.forwarders, func(err error) { s.logNoise(noiseConnection, "error", err) })
	s.tally.connections.Store(limited)
	ln = limited

	ctx, cancel := context.WithCancel(ctx)
	s.serving.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { s.pruneUntil(ctx) })
	wg.Go(func() { s.countUntil(ctx) })
	wg.Go(func() { s.sealUntil(ctx) })
	if s.ticketSecret != nil {
		wg.Go(func() { s.rotateTickets(ctx, tlsConf) })
	}
	stopped := make(chan error, 1)
	wg.Go(func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		err := hs.Shutdown(grace)
		if err != nil {
			hs.Close()
		}
		stopped <- err
	})
	err := hs.ServeTLS(ln, "", "")
	cancel()
	wg.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	if err := <-stopped; err != nil {
		s.log.Warn("requests under way were cut off", "error", err)
	}
	return nil
}

// tlsConfig asks for a client certificate, which step 0 needs and nothing else. What a
// gateway exports from a connection of step 0 is that connection's alone: a session
// on which a certificate was shown is not resumed. All others are, which spares a
// router's processor. There is no early data in crypto/tls.
func tlsConfig(cert func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert, ClientAuth: tls.RequestClientCert}
	c.WrapSession = func(cs tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		if len(cs.PeerCertificates) > 0 {
			return []byte("not resumed"), nil // a ticket that opens nothing
		}
		return c.EncryptTicket(cs, session)
	}
	c.UnwrapSession = c.DecryptTicket
	return c
}
