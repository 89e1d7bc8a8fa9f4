package config

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"cpns.example.net/pngw/agent/certificate"
	"cpns.example.net/pngw/board/uci"
	"cpns.example.net/pngw/cpns"
)

// maxSocketPath is what sockaddr_un has room for, in bytes, without the final
// zero.
const maxSocketPath = 107

// Bounds of times.
const (
	minReauth      = time.Minute // as in package agent
	minHookTimeout = time.Second
	maxHookTimeout = time.Hour
	minButtonHold  = time.Second
	maxButtonHold  = 30 * time.Second
)

func parseGateway(s uci.Section) (Gateway, error) {
	d := &decoder{uci.NewDecoder(s)}
	g := Gateway{
		Server:    strings.TrimRight(d.String("server", ""), "/"),
		CA:        d.path("ca", ""),
		Pin:       d.String("pin", ""),
		Proxy:     d.String("proxy", ""),
		PSKSource: d.String("psk_source", ""),
		PSKFile:   d.path("psk_file", "/etc/pngw/psk1"),
		Store:     d.path("store", "/etc/pngw/keys"),
		RootKey:   d.path("root_key", "/etc/pngw/root.key"),
		Socket:    d.path("socket", "/var/run/pngw.sock"),
		Web:       d.web("web"),
		LogLevel:  d.logLevel("log_level"),
		Reauth:    d.reauth("reauth"),

		HookDir:        d.path("hook_dir", "/etc/pngw/hooks.d"),
		HookSessionKey: d.Bool("hook_session_key", false),
		HookTimeout:    d.hookTimeout("hook_timeout"),

		section: s,
	}
	g.LED, g.AlarmLED = d.led("led"), d.led("alarm_led")
	g.Button, g.ButtonDevice, g.ButtonHold = d.String("button", ""), d.String("button_device", ""), d.buttonHold("button_hold")
	g.Metrics, g.MetricsDevices = d.metrics("metrics"), d.Bool("metrics_devices", false)
	if g.AuditDir = d.path("audit_dir", ""); g.AuditDir == "" {
		g.AuditDir = filepath.Join(filepath.Dir(g.Store), "audit")
	}
	switch g.PSKSource {
	case "", SourceFile, SourceTLS, SourceGBA:
	default:
		d.Errorf("psk_source", "%q: want file, tls or gba", g.PSKSource)
	}
	g.GBA = d.gba(g.PSKSource == SourceGBA)
	if v := d.String("enrol", ""); v != "" {
		code, err := cpns.ParseEnrolmentCode(v)
		if err != nil {
			d.Errorf("enrol", "%v", err)
		}
		g.Enrol = code
	}
	if v := d.String("id", ""); v != "" {
		id, err := cpns.ParseGatewayID(v)
		if err != nil {
			d.Errorf("id", "%v", err)
		}
		g.ID = id
	}
	if v := d.String("psk_identity", string(g.ID)); v != "" {
		id, err := cpns.ParsePSKIdentity(v)
		if err != nil && v != string(g.ID) {
			d.Errorf("psk_identity", "%v", err)
		}
		g.PSKIdentity = id
	}
	if len(g.Socket) > maxSocketPath {
		d.Errorf("socket", "%d bytes: a socket's path has at most %d", len(g.Socket), maxSocketPath)
	}
	return g, d.Err()
}

// decoder adds the kinds of value that the agent's options have.
type decoder struct{ *uci.Decoder }

func (d *decoder) logLevel(name string) slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	v := d.String(name, "info")
	level, ok := levels[v]
	if !ok {
		d.Errorf(name, "%q: want debug, info, warn or error", v)
	}
	return level
}

// metrics is where metrics are read. They are for this machine: whoever connects is shown
// what happens here.
func (d *decoder) metrics(name string) (at netip.AddrPort) {
	v := d.String(name, "")
	if v == "" {
		return at
	}
	at, err := netip.ParseAddrPort(v)
	if err != nil || at.Port() == 0 || !at.Addr().IsLoopback() {
		d.Errorf(name, "%q: want an address of this machine alone and a port, such as 127.0.0.1:9464; to read them from elsewhere, put a proxy in front that asks who it is", v)
	}
	return at
}

// web is the one address at which the page is served. One of a network that is not one's
// own is refused: the page is not for the whole world, and its CA cannot vouch for it.
func (d *decoder) web(name string) (at netip.AddrPort) {
	v := d.String(name, "")
	if v == "" {
		return at
	}
	at, err := netip.ParseAddrPort(v)
	switch {
	case err != nil || at.Port() == 0 || at.Addr().Zone() != "":
		d.Errorf(name, "%q: want the router's address in its own network, and a port, such as 192.168.1.1:8480", v)
	case !certificate.Vouchable(at.Addr()):
		d.Errorf(name, "%q: want one address of a network of your own, such as 192.168.1.1:8480: the page is for who is on site", v)
	}
	return at
}

// reauth is the schedule of mutual authentications. Each of them uses a key of
// the PNE's set up.
func (d *decoder) reauth(name string) time.Duration {
	v := d.Duration(name, 24*time.Hour)
	if v != 0 && v < minReauth {
		d.Errorf(name, "%s: want %s or more, or 0 for never; each time uses up a key of each device", v, minReauth)
	}
	return v
}

// led is a light's name in /sys/class/leds, or an alias of the device tree.
func (d *decoder) led(name string) string {
	v := d.String(name, "")
	if strings.Contains(v, "/") || strings.Trim(v, ".") == "" && v != "" {
		d.Errorf(name, "%q: want a name that ls /sys/class/leds shows, or an alias of the device tree, such as led-running", v)
	}
	return v
}

func (d *decoder) buttonHold(name string) time.Duration {
	v := d.Duration(name, 3*time.Second)
	if v < minButtonHold || v > maxButtonHold {
		d.Errorf(name, "%s: want a time from %s to %s", v, minButtonHold, maxButtonHold)
	}
	return v
}

func (d *decoder) hookTimeout(name string) time.Duration {
	v := d.Duration(name, 30*time.Second)
	if v < minHookTimeout || v > maxHookTimeout {
		d.Errorf(name, "%s: want a time from %s to %s", v, minHookTimeout, maxHookTimeout)
	}
	return v
}

// path is an option that names a file or folder. A relative path is refused:
// the daemon and the command line run in different folders.
func (d *decoder) path(name, def string) string {
	v := d.String(name, def)
	if v != "" && !strings.HasPrefix(v, "/") {
		d.Errorf(name, "%q: want an absolute path", v)
	}
	return v
}
