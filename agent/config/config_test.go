package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/board/uci"
	"cpns.example.net/pngw/transport"
)

const whole = `
config gateway 'main'
	option id 'gw-0001'
	option server 'https://cpns.example.net:8443/'
	option ca '/etc/pngw/ca.pem'
	option pin 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
	option proxy 'http://192.0.2.1:3128'
	option psk_file '/etc/pngw/psk'
	option psk_identity 'factory-7'
	option store '/overlay/keys'
	option root_key '/overlay/root.key'
	option socket '/tmp/pngw.sock'
	option log_level 'debug'
	option reauth '6h'
	option hook_dir '/overlay/hooks.d'
	option hook_session_key '1'
	option hook_timeout '5s'

config link 'rs232'
	option type 'serial'
	option device '/dev/ttyUSB0'
	option baud '9600'

config link 'broker'
	option type 'mqtt'
	option url 'mqtts://127.0.0.1:8883'
	option prefix 'home/cpns'
	option client_id 'house-7'
	option username 'gw'
	option password_file '/etc/pngw/mqtt'
	option ca '/etc/pngw/mqtt-ca.pem'
	option cert '/etc/pngw/mqtt-cert.pem'
	option key '/etc/pngw/mqtt-key.pem'

config link 'later'
	option enabled '0'
	option type 'usb'
	option id '1209:0001:2'
	option serial 'A 1'
	option port '1-1.2'

config service 'service'
	option enabled '1'
	option gomemlimit '12MiB'
	option gogc 'off'
	option gomaxprocs '1'
`

func TestParse(t *testing.T) {
	c, err := Parse(strings.NewReader(whole), "pngw")
	if err != nil {
		t.Fatal(err)
	}
	g := c.Gateway
	g.section = uci.Section{}
	wantGateway := Gateway{
		ID: "gw-0001", Server: "https://cpns.example.net:8443", CA: "/etc/pngw/ca.pem",
		Pin:     "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		Proxy:   "http://192.0.2.1:3128",
		PSKFile: "/etc/pngw/psk", PSKIdentity: "factory-7", Store: "/overlay/keys",
		RootKey: "/overlay/root.key", Socket: "/tmp/pngw.sock", AuditDir: "/overlay/audit", LogLevel: slog.LevelDebug,
		Reauth: 6 * time.Hour, HookDir: "/overlay/hooks.d", HookSessionKey: true, HookTimeout: 5 * time.Second, ButtonHold: 3 * time.Second,
	}
	if got, want := show(g), show(wantGateway); got != want {
		t.Errorf("gateway:\n got %s\nwant %s", got, want)
	}
	wantLinks := []Link{
		{Name: "rs232", Enabled: true, Type: Serial, Device: "/dev/ttyUSB0", Baud: 9600},
		{Name: "broker", Enabled: true, Type: MQTT, URL: "mqtts://127.0.0.1:8883", Prefix: "home/cpns",
			ClientID: "house-7", Status: true, Username: "gw", PasswordFile: "/etc/pngw/mqtt", CA: "/etc/pngw/mqtt-ca.pem",
			Cert: "/etc/pngw/mqtt-cert.pem", Key: "/etc/pngw/mqtt-key.pem"},
		{Name: "later", Type: USB, USBID: "1209:0001:2", USBSerial: "A 1", USBPort: "1-1.2"},
	}
	if len(c.Links) != len(wantLinks) {
		t.Fatalf("got %d links, want %d", len(c.Links), len(wantLinks))
	}
	for i, l := range c.Links {
		l.section = uci.Section{}
		if got, want := show(l), show(wantLinks[i]); got != want {
			t.Errorf("link %d:\n got %s\nwant %s", i, got, want)
		}
	}
}

func TestGBA(t *testing.T) {
	const head = "config gateway\n option id gw\n option server https://a\n option psk_source gba\n option gba_ua 0300000001\n"
	for text, want := range map[string]GBA{
		head + " option sim at:/dev/ttyUSB2\n": {UA: [5]byte{3, 0, 0, 0, 1}, SIM: SIM{Modem: "/dev/ttyUSB2"}},
		head + " option sim exec:/usr/libexec/sim\n option gba_bsf http://bsf.example:8080/\n option gba_impi 1@ims\n": {
			BSF: "http://bsf.example:8080", IMPI: "1@ims", UA: [5]byte{3, 0, 0, 0, 1}, SIM: SIM{Program: "/usr/libexec/sim"}},
		head + " option sim exec:/usr/libexec/sim\n option gba_bsf https://bsf.example\n option gba_ca /etc/pngw/bsf.pem\n": {
			BSF: "https://bsf.example", CA: "/etc/pngw/bsf.pem", UA: [5]byte{3, 0, 0, 0, 1}, SIM: SIM{Program: "/usr/libexec/sim"}},
	} {
		c, err := Parse(strings.NewReader(text), "pngw")
		if err != nil || c.Gateway.PSKSource != SourceGBA || c.Gateway.GBA != want {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := Parse(strings.NewReader(`
config gateway
	option id gw
	option server https://cpns.example.net
config link a
	option type serial
	option device /dev/ttyS1
config link b
	option type mqtt
	option url mqtt://broker
`), "pngw")
	if err != nil {
		t.Fatal(err)
	}
	g := c.Gateway
	g.section = uci.Section{}
	want := Gateway{
		ID: "gw", Server: "https://cpns.example.net", PSKFile: "/etc/pngw/psk1", PSKIdentity: "gw",
		Store: "/etc/pngw/keys", RootKey: "/etc/pngw/root.key", Socket: "/var/run/pngw.sock", AuditDir: "/etc/pngw/audit",
		Reauth: 24 * time.Hour, HookDir: "/etc/pngw/hooks.d", HookTimeout: 30 * time.Second, ButtonHold: 3 * time.Second,
	}
	if show(g) != show(want) {
		t.Errorf("gateway:\n got %s\nwant %s", show(g), show(want))
	}
	if got := c.Links[0].Baud; got != 115200 {
		t.Errorf("baud: got %d, want 115200", got)
	}
	if got := c.Links[1].Prefix; got != "cpns" {
		t.Errorf("prefix: got %q, want cpns", got)
	}
	if !c.Links[0].Enabled {
		t.Error("a link is not enabled by default")
	}
}

// What stands after the gateway's section, or in it, is one mistake; the
// message names the line and what is wanted.
// TestDigest: it is of the whole file, also of what means nothing.
func TestDigest(t *testing.T) {
	digest := func(text string) string {
		c, err := Parse(strings.NewReader(text), "pngw")
		if err != nil {
			t.Fatal(err)
		}
		return c.Digest
	}
	const text = "config gateway 'main'\n"
	// printf "config gateway 'main'\n" | sha256sum
	const want = "b4a00b736f7f88a464aa45f60261dfdefaa2b1c1ed18d23ea99f826aa6c5f585"
	if got := digest(text); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if digest(text+"#") == want {
		t.Error("a comment at the end does not count")
	}
}

func TestMistakes(t *testing.T) {
	const head = "config gateway main\n option id gw-0001\n option server https://cpns.example.net\n"
	const serial = "config link a\n option type serial\n option device /dev/ttyS1\n"
	const mqtt = "config link b\n option type mqtt\n"
	long := strings.Repeat("x", 65)
	tests := []struct{ name, text, want string }{
		{"empty", "", "pngw: there is no section gateway"},
		{"no gateway", serial, "pngw: there is no section gateway"},
		{"syntax", "config gateway main\n option id 'gw", "pngw:2: a ' is not closed in this line"},
		{"two gateways", head + "config gateway other\n option id gw\n option server https://a\n", "pngw:4: a second section gateway, the first is in line 1"},
		{"section", head + "config device 'x'\n", `pngw:4: unknown section type "device": want gateway, link, application or service`},
		{"service, enabled", head + "config service 'service'\n\toption enabled 'maybe'\n", `pngw:5: option enabled: "maybe"`},
		{"service, gc", head + "config service 'service'\n\toption gogc '-1'\n", `pngw:5: option gogc: "-1": want a percentage`},
		{"service, procs", head + "config service 'service'\n\toption gomaxprocs '0'\n", `pngw:5: option gomaxprocs: `},
		{"service, unknown", head + "config service 'service'\n\toption gomemlimits '12MiB'\n", `pngw:5: `},
		{"two services", head + "config service 'service'\nconfig service 'two'\n", `pngw:5: a second section service, the first is in line 4`},
		{"service without a name", head + "config service\n\toption enabled '1'\n", `pngw:4: want this section to be called so: config service 'service'`},
		{"service, called otherwise", head + "config service 'pngw'\n", `pngw:4: want this section to be called so`},
		{"gateway option", head + " option lock_level debug\n", `pngw:4: section gateway 'main' has no option "lock_level": it takes alarm_led, audit_dir, button, button_device, button_hold, ca, enrol, gba_bsf, gba_ca, gba_impi, gba_ua, hook_dir, `},
		{"gateway list", head + " list ca /a\n", "pngw:4: option ca: is a list here"},
		{"id", "config gateway\n option id 'a b'\n option server https://a\n", "pngw:2: option id: gateway ID: byte 2 is 0x20"},
		{"long id", "config gateway\n option id " + long + "\n option server https://a\n", "pngw:2: option id: gateway ID: 65 bytes, at most 64"},
		{"psk_identity", head + " option psk_identity 'a b'\n", "pngw:4: option psk_identity: PSK1 identity: byte 2"},
		{"relative", head + " option store keys\n", `pngw:4: option store: "keys": want an absolute path`},
		{"socket", head + " option socket /" + long + long + "\n", "pngw:4: option socket: 131 bytes: a socket's path has at most 107"},
		{"metrics", head + " option metrics 192.168.1.1:9464\n", `pngw:4: option metrics: "192.168.1.1:9464": want an address of this machine alone`},
		{"metrics, all", head + " option metrics :9464\n", `pngw:4: option metrics: ":9464": want an address of this machine alone`},
		{"psk_source", head + " option psk_source sim\n", `pngw:4: option psk_source: "sim": want file, tls or gba`},
		{"gba without an identifier", head + " option psk_source gba\n option sim at:/dev/ttyS1\n", `pngw:1: option gba_ua: "": want the Ua security protocol identifier that was agreed on with the operator, 5 bytes in hex`},
		{"gba_ua", head + " option gba_ua 03000001\n", `pngw:4: option gba_ua: "03000001": want the Ua`},
		{"gba without a SIM", head + " option psk_source gba\n option gba_ua 0300000001\n", `pngw:1: option sim: "": want at: and a modem's line, such as at:/dev/ttyUSB2, or exec: and a program's absolute path`},
		{"sim of another kind", head + " option sim pcsc:/0\n", `pngw:4: option sim: "pcsc:/0": want at: or exec: in front`},
		{"sim, relative", head + " option sim at:ttyUSB2\n", `pngw:4: option sim: "at:ttyUSB2": want at: and`},
		{"gba_ca without https", head + " option gba_ca /a\n option gba_bsf http://b\n", `pngw:4: option gba_ca: goes with an option gba_bsf that begins with https://`},
		{"gba_impi", head + " option gba_impi 001010123456789\n", `pngw:4: option gba_impi: "001010123456789": an IMPI is USER@REALM`},
		{"gba_impi with a space", head + " option gba_impi 'a b@c'\n", `pngw:4: option gba_impi: "a b@c": an IMPI is USER@REALM`},
		{"log_level", head + " option log_level loud\n", `pngw:4: option log_level: "loud": want debug, info, warn or error`},
		{"reauth", head + " option reauth 30s\n", "pngw:4: option reauth: 30s: want 1m0s or more, or 0 for never"},
		{"hook_dir", head + " option hook_dir hooks.d\n", `pngw:4: option hook_dir: "hooks.d": want an absolute path`},
		{"hook_session_key", head + " option hook_session_key fd3\n", `pngw:4: option hook_session_key: "fd3": want 1 or 0`},
		{"hook_timeout", head + " option hook_timeout 0\n", "pngw:4: option hook_timeout: 0s: want a time from 1s to 1h0m0s"},
		{"link name", head + "config link\n option type serial\n", "pngw:4: a link needs a name"},
		{"link twice", head + serial + "config link a\n option type serial\n option device /dev/ttyS2\n", `pngw:7: a second section named "a"`},
		{"link type", head + "config link a\n option device /dev/ttyS1\n", "pngw:4: option type: missing: want serial, usb or mqtt"},
		{"link unknown type", head + "config link a\n option type ble\n", `pngw:5: option type: "ble": want serial, usb or mqtt`},
		{"link option", head + serial + " option speed 9600\n", `pngw:7: section link 'a' has no option "speed": it takes baud, device, enabled, type`},
		{"option of another type", head + serial + " option url mqtt://a\n", `pngw:7: section link 'a' has no option "url"`},
		{"usb option", head + "config link a\n option type usb\n option vidpid 1209:0001\n", `pngw:6: section link 'a' has no option "vidpid": it takes enabled, id, port, serial, type`},
		{"enabled", head + serial + " option enabled maybe\n", `pngw:7: option enabled: "maybe": want 1 or 0`},
		{"no device", head + "config link a\n option type serial\n", "pngw:4: section link 'a' needs an option device"},
		{"device", head + "config link a\n option type serial\n option device ttyS1\n", `pngw:6: option device: "ttyS1": want an absolute path`},
		{"baud", head + serial + " option baud 115k2\n", `pngw:7: option baud: "115k2": want a number from 1 to 2147483647`},
		{"no url", head + mqtt, "pngw:4: section link 'b' needs an option url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse(strings.NewReader(tt.text), "pngw")
			if err == nil {
				t.Fatalf("got %+v, want an error %q", c, tt.want)
			}
			if got := err.Error(); !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a password: %v", err)
			}
			if e := new(uci.SyntaxError); !errors.As(err, &e) {
				t.Errorf("got a %T, want a *uci.SyntaxError", err)
			}
		})
	}
}

// All mistakes come at once, so that a file needs one round of mending.
func TestSeveralMistakes(t *testing.T) {
	_, err := Parse(strings.NewReader("config gateway\n option id 'a b'\n option server https://a\n option reauth 1s\nconfig link a\n option type serial\n option baud x\n"), "pngw")
	if err == nil {
		t.Fatal("got no error")
	}
	got := strings.Split(err.Error(), "\n")
	want := []string{"pngw:2: option id", "pngw:4: option reauth", "pngw:5: section link 'a' needs an option device", "pngw:7: option baud"}
	if len(got) != len(want) {
		t.Fatalf("got %d lines, want %d:\n%v", len(got), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("line %d: got %q, want it to begin with %q", i, got[i], want[i])
		}
	}
}

func TestFault(t *testing.T) {
	c, err := Parse(strings.NewReader(whole), "pngw")
	if err != nil {
		t.Fatal(err)
	}
	link := c.Links[0]
	noSpeed := fmt.Errorf("serial link rs232: %w", &transport.OptionError{Option: "baud", Err: errors.New("no such speed")})
	for _, tt := range []struct {
		got  error
		want string
	}{
		{link.Fault(errors.New("no such thing")), "pngw:19: no such thing"},
		{link.Fault(noSpeed), "pngw:22: option baud: no such speed"},
		{link.Fault(&transport.OptionError{Option: "prefix", Err: errors.New("is not there")}), "pngw:19: option prefix: is not there"},
		{link.OptionFault("device", errors.New("moved")), "pngw:21: option device: moved"},
		{c.Gateway.Fault("psk_file", errors.New("too short")), "pngw:8: option psk_file: too short"},
		{c.Gateway.Fault("server", noSpeed), "pngw:2: option baud: no such speed"},
		{c.Service.Fault("gomemlimit", errors.New("too much")), "pngw:44: option gomemlimit: too much"},
	} {
		if tt.got.Error() != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func show(v any) string { return fmt.Sprintf("%+v", v) }
