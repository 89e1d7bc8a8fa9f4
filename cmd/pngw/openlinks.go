package main

import (
	"fmt"
	"log/slog"

	"cpns.example.net/pngw/cmd/pngw/internal/config"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/serial"
)

// openLinks makes the links that are enabled, and tells their types by name.
// What a transport does not like about its options names the link's line.
func openLinks(cfg *config.Config, log *slog.Logger) (links []transport.Link, types map[string]string, err error) {
	types = map[string]string{}
	for i := range cfg.Links {
		l := &cfg.Links[i]
		if !l.Enabled {
			continue
		}
		link, err := openLink(l, cfg.Gateway.ID, log)
		if err != nil {
			return nil, nil, l.Fault(err)
		}
		links = append(links, link)
		types[l.Name] = string(l.Type)
	}
	return links, types, nil
}

func openLink(l *config.Link, id cpns.GatewayID, log *slog.Logger) (transport.Link, error) {
	switch l.Type {
	case config.Serial:
		return serial.New(serial.Config{Name: l.Name, Device: l.Device, Baud: l.Baud, Log: log})
	case config.MQTT:
		return mqtt.New(mqtt.Config{
			Name:         l.Name,
			URL:          l.URL,
			Prefix:       l.Prefix,
			Username:     l.Username,
			PasswordFile: l.PasswordFile,
			CAFile:       l.CA,
			CertFile:     l.Cert,
			KeyFile:      l.Key,
			Role:         mqtt.Gateway,
			Entity:       string(id),
			Log:          log,
		})
	}
	return nil, fmt.Errorf("no link of type %s", l.Type)
}
