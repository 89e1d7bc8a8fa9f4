package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/admin"
	"cpns.example.net/pngw/internal/command"
)

// adminOptions are the flags of run for the admin API.
type adminOptions struct {
	listen, clientCA string
	page             bool
}

func adminFlags(fs *flag.FlagSet) *adminOptions {
	o := new(adminOptions)
	fs.StringVar(&o.listen, "admin-listen", "", "answer the admin API at `ADDRESS`, a port of its own: for --remote of the other commands, and for programs (docs/admin-api.md); if not given, there is none")
	fs.StringVar(&o.clientCA, "admin-client-ca", "", "believe client certificates of the CAs in a PEM `FILE` too, beside those of the folder's CA")
	fs.BoolVar(&o.page, "admin-page", false, "show the operators' page too, at https://ADDRESS/ of --admin-listen (docs/operators-page.md)")
	return o
}

func (o *adminOptions) check() error {
	switch {
	case o.listen == "" && o.page:
		return command.Misused("--admin-page goes with --admin-listen")
	case o.listen == "" && o.clientCA != "":
		return command.Misused("--admin-client-ca goes with --admin-listen")
	case o.listen != "" && !isAddress(o.listen):
		return command.Misused("--admin-listen %s: write ADDRESS:PORT, such as 127.0.0.1:9443", o.listen)
	}
	return nil
}

// open begins to listen, nil where nobody asked for it, and reads the CAs, with the
// rights of who gave the command.
func (o *adminOptions) open() (net.Listener, *x509.CertPool, error) {
	if o.listen == "" {
		return nil, nil, nil
	}
	pool := x509.NewCertPool()
	if o.clientCA != "" {
		text, err := os.ReadFile(o.clientCA)
		if err != nil {
			return nil, nil, err
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, nil, fmt.Errorf("%s has no certificate in it: --admin-client-ca takes PEM", o.clientCA)
		}
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, nil, explainListen(err, "--admin-listen", o.listen)
	}
	return ln, pool, nil
}

// trustOwnCA lets the folder's CA vouch for operators. It has to be one whose key is in
// the folder: a public root, of a certificate of the operator's own, vouches for anybody.
func trustOwnCA(d dataFolder, pool *x509.CertPool) error {
	bundle, err := os.ReadFile(d.caKey())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer clear(bundle)
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return fmt.Errorf("%s has no certificate in it: put back the copy", d.caKey())
		}
		if block.Type == "CERTIFICATE" {
			ca, err := x509.ParseCertificate(block.Bytes)
			if err == nil {
				pool.AddCert(ca)
			}
			return err
		}
		clear(block.Bytes)
	}
}

// serveAdmin answers the admin API until ctx ends.
func serveAdmin(ctx context.Context, o *adminOptions, ln net.Listener, s *server.Server, cert *certificate, pool *x509.CertPool, log *slog.Logger) error {
	a, err := admin.New(admin.Config{Operator: s.Operator(), Log: log, Now: cert.now, Certificate: cert.get, ClientCAs: pool, Version: version, Ready: s.Ready, Page: o.page})
	if err != nil {
		return err
	}
	return a.Serve(ctx, ln)
}
