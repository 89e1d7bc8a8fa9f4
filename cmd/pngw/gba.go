//go:build !nogba

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os/exec"
	"strings"

	"cpns.example.net/pngw/agent/bootstrap"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/gba"
	"cpns.example.net/pngw/transport/https"
	"cpns.example.net/pngw/transport/serial"
)

const hasGBA = true

// newSIM makes what bootstraps with the SIM. The modem need not be there yet; a
// program does. The option is what an error is about.
func newSIM(g *config.GBA, serverURL string, clock *board.Clock, log *slog.Logger) (_ simSource, option string, err error) {
	server, err := url.Parse(serverURL)
	if err != nil || server.Hostname() == "" {
		return nil, "", nil // https.New says what is wrong with it
	}
	if g.BSF != "" {
		if err := gba.CheckBSF(g.BSF); err != nil {
			return nil, "gba_bsf", err
		}
	}
	var roots *x509.CertPool
	if g.CA != "" {
		if roots, err = https.ReadRoots(g.CA); err != nil {
			return nil, "gba_ca", err
		}
	}
	var card bootstrap.Card = &gba.Program{Path: g.SIM.Program}
	if g.SIM.Program != "" {
		err = runnable(g.SIM.Program)
	} else {
		card = &gba.Modem{Open: func(context.Context) (gba.Port, error) {
			return serial.Open(g.SIM.Modem, serial.DefaultBaud, "option sim")
		}}
	}
	return bootstrap.New(bootstrap.Config{
		Card: card, BSF: g.BSF, Roots: roots, IMPI: g.IMPI, Clock: clock, Log: log,
		NAFID: gba.NAFID(strings.ToLower(server.Hostname()), g.UA), // as the server's --naf-host
	}), "sim", err
}

func runnable(path string) error {
	_, err := exec.LookPath(path)
	if err == nil {
		return nil
	}
	if e := (*exec.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
