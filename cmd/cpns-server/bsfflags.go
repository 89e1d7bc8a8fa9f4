package main

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/bsf"
	"cpns.example.net/pngw/internal/command"
)

// A bsfOptions is what run is told of the operator's bootstrapping server.
type bsfOptions struct {
	config            bsf.Config
	ca, cert, key, ua string
}

// bsfFlags declares the flags of run that say whom to ask for the PSK1s of gateways
// with SIMs.
func bsfFlags(fs *flag.FlagSet) *bsfOptions {
	o := new(bsfOptions)
	fs.StringVar(&o.config.URL, "bsf-url", "", "ask the 3GPP operator's BSF at `URL` for the PSK1s of gateways with SIMs (Nbsp_GBA)")
	fs.StringVar(&o.ca, "bsf-ca", "", "the CA that the BSF's certificate is verified by, a PEM `FILE`; the system's if not given")
	fs.StringVar(&o.cert, "bsf-cert", "", "the client certificate that the BSF wants, a PEM `FILE`")
	fs.StringVar(&o.key, "bsf-key", "", "the key of --bsf-cert, a PEM `FILE`")
	fs.StringVar(&o.config.TokenFile, "bsf-token-file", "", "a bearer token for the BSF, in a `FILE` that is read anew each time")
	fs.StringVar(&o.ua, "ua", "", "the Ua security protocol identifier that was agreed on with the operator: 5 bytes in `HEX`")
	fs.StringVar(&o.config.NAFHost, "naf-host", "", "gateways with SIMs call this server `HOST`")
	return o
}

func (o *bsfOptions) isEmpty() bool {
	c := o.config
	return c.URL+c.TokenFile+c.NAFHost+o.ca+o.cert+o.key+o.ua == ""
}

// client makes the client of the BSF, nil for none. The files are read with the rights
// of who gives the command, the token with those of the data folder's owner.
func (o *bsfOptions) client() (server.BSF, error) {
	switch {
	case o.isEmpty():
		return nil, nil
	case o.config.URL == "" || o.ua == "" || o.config.NAFHost == "":
		return nil, command.Misused("--bsf-url, --ua and --naf-host go together, and the other options of a BSF with them")
	case (o.cert == "") != (o.key == ""):
		return nil, command.Misused("--bsf-cert and --bsf-key go together")
	}
	ua, err := hex.DecodeString(o.ua)
	if err != nil || len(ua) != len(o.config.UA) {
		return nil, command.Misused("--ua %q: 5 bytes in hex, such as 0300000001", o.ua)
	}
	c := o.config
	c.UA = [5]byte(ua)
	if o.ca != "" {
		if c.CA, err = os.ReadFile(o.ca); err != nil {
			return nil, err
		}
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s and %s are not a certificate and its key", o.cert, o.key), err)
		}
		c.Cert = &pair
	}
	client, err := bsf.New(c)
	if err != nil {
		return nil, command.Misused("--bsf-url: %v", err)
	}
	return client, nil
}
