//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"

	"cpns.example.net/pngw/scripts/nullmodem"
)

// stage is what the demo has set up so far.
type stage struct {
	folder string
	crew   *crew
	show   *narrator
	cable  *nullmodem.Cable
	broker *mqtt.Server

	server, brokerURL string // host:port, and a URL
	bsf               string // host:port
	apps              application
}

var devices = []string{"meter-0001", "pump-0001", "pump-0002"}

const gateway = "gw-demo"

type scene func(context.Context) error

func (s *stage) scenes() []scene {
	return []scene{s.startServer, s.startLinks, s.findApplication, s.startGateway, s.enrol, s.introduce, s.startApplication, s.startDevices, s.provision, s.reading}
}

func (s *stage) play(ctx context.Context, scenes []scene) error {
	for _, scene := range scenes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// clear ends everything; the devices first, so that no link vanishes under them.
func (s *stage) clear() error {
	err := s.crew.stop()
	if s.cable != nil {
		err = errors.Join(err, s.cable.Close())
	}
	if s.broker != nil {
		err = errors.Join(err, s.broker.Close())
	}
	return errors.Join(err, s.apps.clear())
}

func (s *stage) startServer(ctx context.Context) error {
	s.show.say("A CPNS Server, and a router's agent with a serial line and an MQTT broker, run")
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	host, _, _ := strings.Cut(listen, ":")
	if err := s.show.aside(ctx, "cpns-server", "init", "--data", "server", "--host", host); err != nil {
		return err
	}
	if err := s.crew.start("cpns-server", "cpns-server", "run", "--data", "server", "--listen", listen); err != nil {
		return err
	}
	s.show.note("cpns-server run --data server --listen %s", listen)
	s.server = listen
	return s.crew.until(ctx, "cpns-server", func() bool { return answers("tcp", listen) })
}

func (s *stage) startLinks(context.Context) (err error) {
	s.cable, err = nullmodem.New()
	if err != nil {
		return err
	}
	s.broker, s.brokerURL, err = startBroker()
	if err != nil {
		return fmt.Errorf("starting the broker: %w", err)
	}
	return nil
}

// startGateway configures where things lie and which links there are: no name, no server
// and no key.
func (s *stage) startGateway(ctx context.Context) error { return s.runGateway(ctx, "") }

// runGateway starts the agent, with more options of its section.
func (s *stage) runGateway(ctx context.Context, options string) error {
	config := strings.NewReplacer("FOLDER", s.folder, "DEVICE", s.cable.A(), "BROKER", s.brokerURL, "OPTIONS", options).Replace(`config gateway 'main'
OPTIONS	option store 'FOLDER/keys'
	option root_key 'FOLDER/root.key'
	option socket 'FOLDER/pngw.sock'

config link 'rs232'
	option type 'serial'
	option device 'DEVICE'

config link 'broker'
	option type 'mqtt'
	option url 'BROKER'
`) + s.apps.section()
	if err := s.write("pngw.conf", config); err != nil {
		return err
	}
	if err := s.show.aside(ctx, "pngw", "init", "--config", "pngw.conf"); err != nil {
		return err
	}
	if err := s.crew.start("pngw", "pngw", "run", "--config", "pngw.conf"); err != nil {
		return err
	}
	s.show.note("pngw run --config pngw.conf")
	socket := filepath.Join(s.folder, "pngw.sock")
	return s.crew.until(ctx, "pngw", func() bool { return answers("unix", socket) })
}

func (s *stage) enrol(ctx context.Context) error {
	s.show.say("1  The router becomes a gateway: the operator makes a code, a technician types it")
	code, err := s.show.read(ctx, "", "cpns-server", "gateway", "invite", "--data", "server", "--id", gateway)
	if err != nil {
		return err
	}
	return s.show.command(ctx, "", "pngw", "--config", "pngw.conf", "enrol", strings.TrimSpace(code))
}

func (s *stage) introduce(ctx context.Context) error {
	s.show.say("2  The CPNS Server learns of a user and three devices")
	tks := "entity_id,tk\n"
	for _, device := range devices {
		tk := make([]byte, 32)
		rand.Read(tk)
		tks += device + "," + hex.EncodeToString(tk) + "\n"
		// The same key as the manufacturer puts it into the device.
		if err := s.write(device+".tk", hex.EncodeToString(tk)+"\n"); err != nil {
			return err
		}
	}
	err := errors.Join(s.write("tks.csv", tks), s.write("password", "correct horse battery staple\n"))
	if err != nil {
		return err
	}
	return s.commands(ctx,
		command{"password", "cpns-server user add --password-file - --data server alice"},
		command{"", "cpns-server pne import --data server tks.csv"},
	)
}

func (s *stage) startDevices(ctx context.Context) error {
	s.show.say("3  Three headless devices are switched on; each holds only its TK")
	for i, device := range devices {
		link := []string{"--mqtt", s.brokerURL}
		if i == 0 {
			link = []string{"--serial", s.cable.B()}
			if s.apps.folder != "" {
				link = append(link, "--exec", "./publish")
			}
		}
		args := append([]string{"--entity-id", device, "--tk-file", device + ".tk", "--state", device + ".state"}, link...)
		if err := s.crew.start(device, "pne", args...); err != nil {
			return err
		}
		s.show.note("pne %s", strings.Join(args, " "))
	}
	return nil
}

func (s *stage) provision(ctx context.Context) error {
	s.show.say("4  The user asks for keys; each device must prove that it holds its own")
	err := s.commands(ctx, command{"", "pngw --config pngw.conf provision --user alice --password-file password " + strings.Join(devices, " ")})
	if err != nil {
		return err
	}
	s.show.say("5  What the gateway knows, and what the server noted")
	return s.commands(ctx,
		command{"", "pngw --config pngw.conf list"},
		command{"", "cpns-server audit --data server"},
	)
}

// explain says what runs, and how to try something of one's own against it.
func (s *stage) explain() {
	s.show.say("All of it goes on until Ctrl-C. In another terminal:")
	for _, line := range []string{
		"cd " + s.folder,
		"export PATH=" + s.crew.bin + ":$PATH",
		"pngw --config pngw.conf list        what the gateway knows; also links, status",
		"pngw --config pngw.conf authenticate --all",
		"tail -f *.log                       what the parties say",
	} {
		s.show.line(line)
	}
	s.show.say("A device of your own speaks to the broker at %s,", s.brokerURL)
	s.show.line("topics cpns/<Entity ID>/up and /down. Its Entity ID and TK are imported first.")
	s.show.line("Here pne is the device:")
	for _, line := range []string{
		"umask 077; openssl rand -hex 16 > lamp.tk",
		"printf 'entity_id,tk\\nlamp-1,%s\\n' $(cat lamp.tk) > lamp.csv",
		"cpns-server pne import --data server lamp.csv",
		"pne --entity-id lamp-1 --tk-file lamp.tk \\",
		"    --mqtt " + s.brokerURL + " >lamp.log 2>&1 &",
		"pngw --config pngw.conf provision --user alice --password-file password lamp-1",
	} {
		s.show.line(line)
	}
	s.show.say("One on a serial line, mine-1 of docs/integrating.md, with LAB the folder of its keys")
	s.show.line("and kit.tty there, or /dev/ttyUSB0, its line. The gateway needs a section for that:")
	for _, line := range []string{
		"cpns-server pne import --data server $LAB/tks.csv",
		`printf "\nconfig link 'mine'\n\toption type 'serial'\n\toption device '$LAB/kit.tty'\n" >> pngw.conf`,
		"kill -HUP $(cat pngw.pid); sleep 1",
		"pngw --config pngw.conf provision --user alice --password-file password mine-1",
	} {
		s.show.line(line)
	}
	s.show.say("A gateway of your own is enrolled at %s by another code:", s.server)
	s.show.line("cpns-server gateway invite --data server")
}

type command struct{ stdin, line string }

func (s *stage) commands(ctx context.Context, commands ...command) error {
	for _, c := range commands {
		words := strings.Fields(c.line)
		if err := s.show.command(ctx, c.stdin, words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) write(name, text string) error {
	return os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o600)
}
