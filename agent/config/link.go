package config

import (
	"errors"
	"fmt"
	"math"

	"cpns.example.net/pngw/board/uci"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/serial"
)

const maxLinkName = 32

// parseLink reads a link's section. Which values make sense is for the link's own
// package to say, once: pngw init and pngw run make the link and see.
func parseLink(s uci.Section) (Link, error) {
	if s.Name == "" || len(s.Name) > maxLinkName {
		return Link{}, s.Errorf("a link needs a name of at most %d letters, digits and _, such as: config link 'rs232'", maxLinkName)
	}
	d := &decoder{uci.NewDecoder(s)}
	l := Link{
		Name:    s.Name,
		Enabled: d.Bool("enabled", true),
		Type:    LinkType(d.Required("type")),
		section: s,
	}
	switch l.Type {
	case Serial:
		l.Device = d.path("device", "")
		d.Required("device")
		l.Baud = d.Int("baud", serial.DefaultBaud, 1, math.MaxInt32)
	case MQTT:
		l.mqtt(d)
	case USB:
		l.USBID = d.String("id", "")
		l.USBSerial = d.String("serial", "")
		l.USBPort = d.String("port", "")
	case "":
		return l, fault(s, "type", errors.New("missing: want serial, usb or mqtt"))
	default:
		return l, fault(s, "type", fmt.Errorf("%q: want serial, usb or mqtt", l.Type))
	}
	return l, d.Err()
}

func (l *Link) mqtt(d *decoder) {
	l.URL = d.Required("url")
	l.Prefix = d.String("prefix", mqtt.DefaultPrefix)
	l.ClientID = d.String("client_id", "")
	l.Status = d.Bool("status", true)
	l.Username = d.String("username", "")
	l.PasswordFile = d.path("password_file", "")
	l.CA = d.path("ca", "")
	l.Cert = d.path("cert", "")
	l.Key = d.path("key", "")
}
