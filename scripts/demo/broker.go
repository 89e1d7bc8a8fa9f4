//go:build linux

package main

import (
	"io"
	"log/slog"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// startBroker runs an MQTT broker inside this program, on a free port of the
// loopback interface, and returns its URL. It lets everybody in: the protocol
// trusts no broker with anything.
func startBroker() (broker *mqtt.Server, url string, err error) {
	broker = mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := broker.AddHook(new(auth.AllowHook), nil); err != nil {
		return nil, "", err
	}
	tcp := listeners.NewTCP(listeners.Config{ID: "demo", Address: "127.0.0.1:0"})
	if err := broker.AddListener(tcp); err != nil {
		return nil, "", err
	}
	if err := broker.Serve(); err != nil {
		return nil, "", err
	}
	return broker, "mqtt://" + tcp.Address(), nil
}
