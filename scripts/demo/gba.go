//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// The demo of gateways with SIMs: in place of an enrolment there is a mobile operator,
// whose BSF server and gateway ask. Operator, modem and SIM are gbalab's.

const (
	imsi = "001010123456789"
	impi = imsi + "@ims.mnc001.mcc001.3gppnetwork.org"
	ua   = "0300000001"
)

func (s *stage) scenesWithSIM() []scene {
	return []scene{s.startOperator, s.startServerOfSIMs, s.startLinks, s.bind, s.startGatewayWithSIM, s.introduce, s.startDevices, s.provision, s.showBootstrap}
}

// startOperator starts a BSF, and a modem with a SIM whose keys are made up here.
func (s *stage) startOperator(ctx context.Context) (err error) {
	s.show.say("A mobile operator's BSF and a modem with a SIM run, both for labs; nobody else has the SIM's keys")
	var k, opc [16]byte
	rand.Read(k[:])
	rand.Read(opc[:])
	sim := fmt.Sprintf(`[{"imsi": %q, "impi": %q, "k": %q, "opc": %q, "amf": "8000", "sqn": 64}]`+"\n", imsi, impi, hex.EncodeToString(k[:]), hex.EncodeToString(opc[:]))
	if err := s.write("sims.json", sim); err != nil {
		return err
	}
	if s.bsf, err = freeAddress(); err != nil {
		return err
	}
	if err := s.crew.start("gbalab", "gbalab", "--subscribers", "sims.json", "--listen", s.bsf, "--modem", "ttyUSB2"); err != nil {
		return err
	}
	s.show.note("gbalab --subscribers sims.json --listen %s --modem ttyUSB2", s.bsf)
	return s.crew.until(ctx, "gbalab", func() bool {
		_, err := os.Stat(filepath.Join(s.folder, "ttyUSB2"))
		return err == nil && answers("tcp", s.bsf)
	})
}

func (s *stage) startServerOfSIMs(ctx context.Context) (err error) {
	s.show.say("A CPNS Server runs that may ask the BSF")
	if s.server, err = freeAddress(); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(s.server)
	if err := s.show.aside(ctx, "cpns-server", "init", "--data", "server", "--host", host); err != nil {
		return err
	}
	args := []string{"run", "--data", "server", "--listen", s.server, "--bsf-url", "http://" + s.bsf, "--ua", ua, "--naf-host", host}
	if err := s.crew.start("cpns-server", "cpns-server", args...); err != nil {
		return err
	}
	s.show.note("cpns-server %s", strings.Join(args, " "))
	return s.crew.until(ctx, "cpns-server", func() bool { return answers("tcp", s.server) })
}

func (s *stage) bind(ctx context.Context) error {
	s.show.say("1  The server's operator says whose SIM the gateway has; nothing goes to the router")
	return s.commands(ctx, command{"", "cpns-server gateway add --data server " + gateway + " --impi " + impi})
}

func (s *stage) startGatewayWithSIM(ctx context.Context) error {
	s.show.say("A router's agent runs, with option psk_source 'gba' and option sim 'at:…/ttyUSB2'")
	head := strings.NewReplacer("GATEWAY", gateway, "SERVER", s.server, "FOLDER", s.folder, "BSF", s.bsf, "UA", ua).Replace(`	option id 'GATEWAY'
	option server 'https://SERVER'
	option ca 'FOLDER/server/ca.pem'
	option psk_source 'gba'
	option sim 'at:FOLDER/ttyUSB2'
	option gba_ua 'UA'
	option gba_bsf 'http://BSF'
`)
	return s.runGateway(ctx, head)
}

// showBootstrap shows where PSK1 came from, and holds that it lies nowhere.
func (s *stage) showBootstrap(ctx context.Context) error {
	s.show.say("6  Where PSK1 came from; it is in no file")
	if err := s.commands(ctx, command{"", "pngw --config pngw.conf status"}); err != nil {
		return err
	}
	log, err := os.ReadFile(filepath.Join(s.folder, "gbalab.log"))
	if err != nil {
		return err
	}
	s.show.note("what gbalab says")
	for line := range strings.Lines(string(log)) {
		s.show.line("  " + strings.TrimSpace(line))
	}
	return filepath.WalkDir(s.folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), "psk1") {
			err = fmt.Errorf("there is a file %s", path)
		}
		return err
	})
}
