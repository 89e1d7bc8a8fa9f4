package main

import (
	"fmt"
	"log/slog"

	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/cmd/pngw/internal/config"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/serial"
	"cpns.example.net/pngw/transport/usb"
)

// openLinks makes the links that are enabled, and tells their types by name.
// What a transport does not like about its options names the link's line. Links
// that wait for a device are woken by hotplug.
func openLinks(cfg *config.Config, hotplug *board.Hotplug, log *slog.Logger) (links []transport.Link, types map[string]string, err error) {
	types = map[string]string{}
	for i := range cfg.Links {
		l := &cfg.Links[i]
		if !l.Enabled {
			continue
		}
		link, err := openLink(l, cfg.Gateway.ID, hotplug, log)
		if err != nil {
			return nil, nil, l.Fault(err)
		}
		links = append(links, link)
		types[l.Name] = string(l.Type)
	}
	return links, types, nil
}

func openLink(l *config.Link, id cpns.GatewayID, hotplug *board.Hotplug, log *slog.Logger) (transport.Link, error) {
	switch l.Type {
	case config.Serial:
		return serial.New(serial.Config{Name: l.Name, Device: l.Device, Baud: l.Baud, Changed: hotplug.Watch("tty"), Log: log})
	case config.USB:
		return usb.New(usb.Config{
			Name:    l.Name,
			ID:      l.USBID,
			Serial:  l.USBSerial,
			Port:    l.USBPort,
			Changed: hotplug.Watch("usb"),
			Log:     log,
		})
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
