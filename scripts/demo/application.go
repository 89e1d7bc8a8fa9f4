//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// application is the broker beside the agent that a device speaks with by its key: the
// real mosquitto, since Go's TLS has no pre-shared keys. Without one that part of the demo
// is left out, and it says so.
type application struct {
	folder string // in memory; "" for no mosquitto here
	broker string // path of mosquitto

	secure, plain string // ports
}

// findApplication looks for mosquitto and its clients, and for a folder in memory.
func (s *stage) findApplication(context.Context) error {
	broker, err := exec.LookPath("mosquitto")
	if err != nil {
		broker, err = exec.LookPath("/usr/sbin/mosquitto")
	}
	for _, client := range []string{"mosquitto_pub", "mosquitto_sub"} {
		if _, clientErr := exec.LookPath(client); clientErr != nil {
			err = clientErr
		}
	}
	if err != nil {
		return nil // reading says that there is none
	}
	if s.apps.folder, err = os.MkdirTemp("/dev/shm", "pngw-demo-"); err != nil {
		s.apps.folder = ""
		return nil
	}
	s.apps.broker = broker
	for _, port := range []*string{&s.apps.secure, &s.apps.plain} {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		_, *port, _ = net.SplitHostPort(address)
	}
	return nil
}

// section is the application's, in the gateway's configuration.
func (a *application) section() string {
	if a.folder == "" {
		return ""
	}
	return fmt.Sprintf("\nconfig application 'mqtt'\n\toption path '%[1]s/psk'\n\toption pid_file '%[1]s/mosquitto.pid'\n", a.folder)
}

// startApplication starts the broker, once the agent has made the file of keys.
func (s *stage) startApplication(ctx context.Context) error {
	a := &s.apps
	if a.folder == "" {
		return nil
	}
	if err := s.crew.until(ctx, "pngw", func() bool { _, err := os.Stat(a.folder + "/psk"); return err == nil }); err != nil {
		return err
	}
	conf := strings.NewReplacer("SECURE", a.secure, "PLAIN", a.plain, "APPS", a.folder, "FOLDER", s.folder).Replace(`user root
pid_file APPS/mosquitto.pid
per_listener_settings true
listener SECURE 127.0.0.1
psk_file APPS/psk
psk_hint pngw
tls_version tlsv1.3
use_identity_as_username true
allow_anonymous false
acl_file FOLDER/mosquitto.acl
listener PLAIN 127.0.0.1
allow_anonymous true
`)
	publish := strings.NewReplacer("SECURE", a.secure, "APPS", a.folder).Replace(`#!/bin/sh
# What the meter does: read its key, and publish what it measures. The key is handed over
# in a file in memory: on a command line everybody would read it.
umask 077
read -r key <&3
config=$(mktemp -d APPS/publish-XXXXXX)
printf -- '--psk %s\n' "$key" >"$config/mosquitto_pub"
XDG_CONFIG_HOME=$config mosquitto_pub -h 127.0.0.1 -p SECURE --psk-identity "$PSK_IDENTITY" \
	--tls-version tlsv1.3 -q 1 -r -t "devices/$PSK_IDENTITY/reading" -m '21.5 kWh'
code=$?
rm -r "$config"
exit $code
`)
	for name, text := range map[string]string{"mosquitto.conf": conf, "mosquitto.acl": "pattern readwrite devices/%u/#\n", "publish": publish} {
		if err := s.write(name, text); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(s.folder, "publish"), 0o700); err != nil {
		return err
	}
	if err := s.crew.start("mosquitto", a.broker, "-c", "mosquitto.conf"); err != nil {
		return err
	}
	s.show.note("mosquitto -c mosquitto.conf        for what the devices measure: TLS with their keys")
	return s.crew.until(ctx, "mosquitto", func() bool { return answers("tcp", "127.0.0.1:"+a.plain) })
}

// reading is what the keys are for.
func (s *stage) reading(ctx context.Context) error {
	s.show.say("6  What the key is for: the meter publishes a reading over TLS, by a key from its session")
	if s.apps.folder == "" {
		s.show.note("left out: it takes mosquitto and mosquitto-clients, which are not here")
		return nil
	}
	err := s.commands(ctx,
		command{"", "pngw --config pngw.conf authenticate " + devices[0]},
	)
	if err != nil {
		return err
	}
	return s.commands(ctx, command{"", "mosquitto_sub -p " + s.apps.plain + " -t devices/# -v -C 1 -W 30"})
}

func (a *application) clear() error {
	if a.folder == "" {
		return nil
	}
	return os.RemoveAll(a.folder)
}
