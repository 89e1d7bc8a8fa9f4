package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/durable"
)

// renewCert replaces the server certificate.
func renewCert(c *command.Console, opts *initOptions) error {
	var cert tls.Certificate
	newKey := opts.privateCA
	err := inFolder(opts.place, func(d dataFolder) error {
		if _, err := os.Stat(d.serverKey()); errors.Is(err, fs.ErrNotExist) {
			newKey = true
		}
		if opts.own != nil {
			cert = opts.own.chain
			return writeCert(d, opts.own.pair, opts.own.root, durable.Replace)
		}
		pair, ca, err := reissue(d, opts, opts.now)
		if err != nil {
			return err
		}
		if cert, err = tls.X509KeyPair(pair.cert, pair.key); err != nil {
			return err
		}
		return writeCert(d, pair, ca, durable.Replace)
	})
	if err != nil {
		return err
	}
	display.Fill(c.Stdout, "", fmt.Sprintf("server certificate for %s until %s", strings.Join(hostsOf(cert.Leaf), ", "), day(cert.Leaf.NotAfter)), 0)
	c.Printf("SPKI pin %s\n", pinOf(cert.Leaf))
	if opts.own != nil || newKey {
		c.Printf("Gateways have to trust its CA from now on, and those that pin a key, this one.\n")
	}
	sayRoot(c, opts.own)
	c.Printf("A running server takes it on SIGHUP, or when it is started again.\n")
	return nil
}

// errNotOurs says that another CA than the folder's has signed the certificate.
var errNotOurs = errors.New("the certificate is your own")

// reissue makes a new certificate of the private CA, for the names and the key of the
// old one, and for the names that are given. A certificate of the operator's own is not
// replaced unless that is asked for; the new one then has a new key.
func reissue(d dataFolder, opts *initOptions, now time.Time) (pair keyPair, ca []byte, err error) {
	bundle, err := os.ReadFile(d.caKey())
	if errors.Is(err, fs.ErrNotExist) {
		return pair, nil, fmt.Errorf("%w, and the folder has no CA: give the new one by --cert and --key", errNotOurs)
	}
	if err != nil {
		return pair, nil, err
	}
	issuer, err := tls.X509KeyPair(bundle, bundle)
	if err != nil {
		return pair, nil, fmt.Errorf("%s is not a CA that init made: %w", d.caKey(), err)
	}
	old, err := readLeaf(d.serverCert())
	isGone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isGone {
		return pair, nil, err
	}
	var key *ecdsa.PrivateKey
	isOwn := !isGone && old.CheckSignatureFrom(issuer.Leaf) != nil
	if isOwn && !opts.privateCA {
		return pair, nil, fmt.Errorf("%w, signed by %q: give the new one by --cert and --key; --private-ca goes back to one of the folder's CA", errNotOurs, old.Issuer)
	}
	if !isOwn {
		key, err = readServerKey(d)
	}
	if isOwn || errors.Is(err, fs.ErrNotExist) {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return pair, nil, err
	}
	var names []string
	if !isGone {
		names = hostsOf(old)
	}
	for _, host := range slices.Concat(ownHosts, opts.hosts) {
		if !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Leaf.Raw})
	pair, err = newServerCert(keyPair{ca, bundle}, key, names, now)
	return pair, ca, err
}

// readLeaf reads the first certificate of a file.
func readLeaf(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s is not a certificate", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is not a certificate: %w", path, err)
	}
	return cert, nil
}

// readServerKey reads the key that init made.
func readServerKey(d dataFolder) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(d.serverKey())
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(text); block != nil {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, ok := key.(*ecdsa.PrivateKey); ok {
				return key, nil
			}
		}
	}
	return nil, fmt.Errorf("%s is not the key that init made: put back the copy", d.serverKey())
}

type writeFunc func(path string, data []byte, perm os.FileMode) error

// writeCert writes a server certificate, and as ca.pem the root that signed it; where that
// is not known there is no ca.pem. The key is the first: a server that starts in the middle
// finds a pair that does not match and says so, and the same command again mends it.
func writeCert(d dataFolder, pair keyPair, root []byte, write writeFunc) error {
	if err := write(d.serverKey(), pair.key, 0o400); err != nil {
		return err
	}
	if err := write(d.serverCert(), pair.cert, 0o644); err != nil {
		return err
	}
	if root == nil {
		if err := os.Remove(d.caCert()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return durable.SyncDir(string(d))
	}
	return write(d.caCert(), root, 0o644)
}

// sayRoot says what gateways have to trust where the folder has no root.
func sayRoot(c *command.Console, own *ownCert) {
	if own == nil || own.root != nil {
		return
	}
	last, err := x509.ParseCertificate(own.chain.Certificate[len(own.chain.Certificate)-1])
	if err != nil || bytes.Equal(last.RawIssuer, last.RawSubject) {
		last = own.chain.Leaf
	}
	display.Fill(c.Stdout, "", fmt.Sprintf("There is no ca.pem: gateways have to know the CA %q from elsewhere. If that is an intermediate one, --cert has not the whole chain.", last.Issuer), 0)
}
