package config

import (
	"net/url"
	"strings"

	"cpns.example.net/pngw/board/uci"
)

const (
	maxLinkName = 32
	// maxPrefix leaves room in an MQTT topic, in bytes, for an Entity ID of
	// which every byte is percent-encoded.
	maxPrefix = 128
)

// Line speeds, in baud. Which of those between the driver knows is for the
// transport to say.
const (
	defaultBaud = 115200
	minBaud     = 50
	maxBaud     = 4_000_000
)

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
		l.Baud = d.Int("baud", defaultBaud, minBaud, maxBaud)
	case MQTT:
		l.mqtt(d)
	case USB:
		// Whether there is USB in this build, and what is a good ID or port, is
		// for the transport to say.
		l.USBID = d.String("id", "")
		l.USBSerial = d.String("serial", "")
		l.USBPort = d.String("port", "")
	case "":
		return l, faultf(s, "type", "missing: want serial, usb or mqtt")
	default:
		return l, faultf(s, "type", "%q: want serial, usb or mqtt", l.Type)
	}
	return l, d.Err()
}

func (l *Link) mqtt(d *decoder) {
	l.URL = d.broker("url")
	l.Prefix = d.String("prefix", "cpns")
	l.Username = d.String("username", "")
	l.PasswordFile = d.path("password_file", "")
	l.CA = d.path("ca", "")
	l.Cert = d.path("cert", "")
	l.Key = d.path("key", "")

	if strings.ContainsAny(l.Prefix, "+#") || strings.Trim(l.Prefix, "/") != l.Prefix ||
		strings.HasPrefix(l.Prefix, "$") || len(l.Prefix) > maxPrefix {
		d.Errorf("prefix", "%q: want the beginning of a topic, at most %d bytes, without + and #, without / at its ends or $ in front", l.Prefix, maxPrefix)
	}
	if l.PasswordFile != "" && l.Username == "" {
		d.Errorf("password_file", "MQTT takes a password only with a username")
	}
	if l.Cert != "" && l.Key == "" {
		d.Errorf("cert", "comes together with option key")
	}
	if l.Key != "" && l.Cert == "" {
		d.Errorf("key", "comes together with option cert")
	}
	if strings.HasPrefix(l.URL, "mqtt:") {
		for name, v := range map[string]string{"ca": l.CA, "cert": l.Cert, "key": l.Key} {
			if v != "" {
				d.Errorf(name, "is of no use without TLS: want mqtts:// in option url")
			}
		}
	}
}

// broker is the URL of an MQTT broker. There is one spelling for each kind of
// connection, so that a reader of the file sees which it is.
func (d *decoder) broker(name string) string {
	v := d.Required(name)
	if v == "" {
		return ""
	}
	u, err := url.Parse(v)
	switch {
	case err != nil:
		d.Errorf(name, "not a URL") // which may have a password in it
	case u.User != nil:
		d.Errorf(name, "a user name in the URL: want it in options username and password_file")
	case u.Scheme != "mqtt" && u.Scheme != "mqtts":
		d.Errorf(name, "%q: want mqtt:// or, for TLS, mqtts://", v)
	case u.Hostname() == "":
		d.Errorf(name, "%q names no host", v)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		d.Errorf(name, "%q: want host and port only; the beginning of the topics is option prefix", v)
	}
	return strings.TrimRight(v, "/")
}
