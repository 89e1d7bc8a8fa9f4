package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

// A certificate is the server certificate in use.
type certificate struct {
	folder  dataFolder
	now     func() time.Time
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	known   atomic.Pointer[server.Anchors]

	renewal renewal
}

// loadCertificate reads the server certificate. One that is not valid now is used all
// the same, and the log says so: this machine's clock may be the wrong one, and a server
// that does not start tells nobody what it lacks.
func loadCertificate(d dataFolder, now func() time.Time, log *slog.Logger) (*certificate, error) {
	c := &certificate{folder: d, now: now, log: log}
	cert, anchors, err := c.read()
	if err != nil {
		return nil, err
	}
	c.current.Store(cert)
	c.known.Store(anchors)
	c.renewal.look(c, true)
	c.warn()
	return c, nil
}

func (c *certificate) read() (*tls.Certificate, *server.Anchors, error) {
	if err := c.folder.hasCertificate(); err != nil {
		return nil, nil, err
	}
	_, cert, err := readKeyPair(c.folder.serverCert(), c.folder.serverKey())
	if err != nil {
		return nil, nil, fmt.Errorf("loading the server certificate: %w", err)
	}
	anchors, err := c.folder.anchorsOf(&cert)
	if err != nil {
		return nil, nil, fmt.Errorf("loading the server certificate: %w", err)
	}
	return &cert, anchors, nil
}

// hasCertificate says what to do where the server certificate or its key is missing.
func (d dataFolder) hasCertificate() error {
	for _, path := range []string{d.serverCert(), d.serverKey()} {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is missing: put back the copy, or have another made by cpns-server init --data %s --renew-cert, with a --host NAME for each name by which gateways reach this server", path, command.Quote(string(d)))
		}
	}
	return nil
}

// anchorsOf is what gateways know the server by: the key of its certificate, and the
// keys of all that vouch for it, so that a new key of the server's own locks nobody
// out. A root that the folder has is sent along from now on: a gateway that pins its
// key has no other way to it.
func (d dataFolder) anchorsOf(cert *tls.Certificate) (*server.Anchors, error) {
	root, err := readLeaf(d.caCert())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	sent := func(der []byte) bool { return bytes.Equal(der, root.Raw) }
	if root != nil && !slices.ContainsFunc(cert.Certificate, sent) {
		cert.Certificate = append(cert.Certificate, root.Raw)
	}
	anchors := new(server.Anchors)
	top := root
	for _, der := range cert.Certificate {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if pin := cpns.PinOf(one.RawSubjectPublicKeyInfo); !slices.Contains(anchors.Pins, pin) {
			anchors.Pins = append(anchors.Pins, pin)
		}
		if root == nil {
			top = one
		}
	}
	anchors.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: top.Raw})
	return anchors, nil
}

func (c *certificate) anchors() server.Anchors { return *c.known.Load() }

// reload takes a new certificate, but not one that is not valid for one that is.
func (c *certificate) reload() error {
	cert, anchors, err := c.read()
	if err != nil {
		return err
	}
	if err := checkValidity(cert.Leaf, c.now()); err != nil && checkValidity(c.current.Load().Leaf, c.now()) == nil {
		return err
	}
	c.current.Store(cert)
	c.known.Store(anchors)
	c.log.Info("certificate loaded", "ends", cert.Leaf.NotAfter)
	c.warn()
	return nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// ends is when the certificate in use does.
func (c *certificate) ends() time.Time { return c.current.Load().Leaf.NotAfter }

// warn says in the log that no gateway takes the certificate, or that it has to be
// renewed.
func (c *certificate) warn() {
	const advice = "renew it by cpns-server init --renew-cert, with --cert and --key where it is your own"
	leaf := c.current.Load().Leaf
	if err := checkValidity(leaf, c.now()); err != nil {
		c.log.Error("GATEWAYS REFUSE THE SERVER CERTIFICATE, if this machine's clock is right: "+err.Error(), "advice", advice)
	} else if nearExpiry(leaf, c.now()) {
		c.log.Warn("the server certificate ends soon: "+advice, "ends", leaf.NotAfter)
	}
}

// watch loads the certificate again on every hangup, and renews it when it is time. It
// warns every hour of one that is not valid, and once a day of one that ends soon.
func (c *certificate) watch(ctx context.Context, hangup <-chan os.Signal) {
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	renewal := time.NewTicker(renewEvery)
	defer renewal.Stop()
	for hour := 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-hourly.C:
			if hour%24 == 0 || checkValidity(c.current.Load().Leaf, c.now()) != nil {
				c.warn()
			}
			hour++
		case <-renewal.C:
			c.renewal.look(c, false)
		case <-hangup:
			if err := c.reload(); err != nil {
				c.log.Error("the certificate in use stays", "error", err)
			}
		}
	}
}

// A visit is why somebody comes to an address at which the server listens.
type visit int

const (
	gatewaysCome visit = iota
	operatorsCome
)

// warnOfNames says in the log that the certificate is not for an address at which the
// server listens. Gateways mostly come by a name that leads there, and programs and
// browsers of operators by the address itself.
func (c *certificate) warnOfNames(why visit, listen string) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return
	}
	leaf := c.current.Load().Leaf
	ip := net.ParseIP(host)
	isAny := host == "" || ip != nil && ip.IsUnspecified()
	others := slices.DeleteFunc(hostsOf(leaf), func(name string) bool { return slices.Contains(ownHosts, name) })
	switch {
	case !isAny && leaf.VerifyHostname(host) == nil:
		return
	case (isAny || why == gatewaysCome) && len(others) > 0:
		return
	}
	message := "gateways that do not pin the certificate's key refuse it: it has no name by which they come to this address"
	if why == operatorsCome {
		message = "browsers and cpns-server --remote refuse the certificate: it is not for this address of the admin API"
	}
	c.log.Warn(message, "address", listen, "for", strings.Join(hostsOf(leaf), ", "),
		"advice", "cpns-server init --renew-cert --host NAME, for each name or address by which they come, then SIGHUP")
}
