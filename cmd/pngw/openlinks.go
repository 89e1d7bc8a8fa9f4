package main

import (
	"fmt"
	"log/slog"

	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/serial"
	"cpns.example.net/pngw/transport/usb"
)

// openLinks makes the links that are enabled. Each transport checks its own options, and
// its errors are reported with the line of the option. Hotplug wakes links that wait for a
// device.
func (p *parts) openLinks(cfg *config.Config, id cpns.GatewayID, log *slog.Logger, all *findings) {
	p.types = map[string]string{}
	claimed := map[string]*config.Link{}
	for i := range cfg.Links {
		l := &cfg.Links[i]
		if !l.Enabled {
			continue
		}
		if all.files(l.Files(), l.OptionFault) {
			continue
		}
		link, err := openLink(l, id, p.hotplug, log)
		if err != nil {
			all.add(err, l.Fault(err))
			continue
		}
		p.links = append(p.links, link)
		p.types[l.Name] = string(l.Type)
		if err := claim(claimed, l, link); err != nil {
			all.add(err, l.Fault(err))
		}
	}
}

// claim refuses a link that uses the same device, or the same MQTT client ID, as an
// earlier one.
func claim(claimed map[string]*config.Link, l *config.Link, link transport.Link) error {
	c, ok := link.(interface{ Claims() []string })
	if !ok {
		return nil
	}
	for _, what := range c.Claims() {
		if first, ok := claimed[what]; ok {
			return fmt.Errorf("this link and '%s', line %d, would both use %s", first.Name, first.Line(), what)
		}
	}
	for _, what := range c.Claims() {
		claimed[what] = l
	}
	return nil
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
			ClientID:     l.ClientID,
			NoStatus:     !l.Status,
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
