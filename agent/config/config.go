// Package config turns the agent's UCI file, /etc/config/pngw, into values
// that have been checked.
//
// The file has one section of type gateway, any number of sections of type
// link and of type application, and at most one of type service:
//
//	config gateway 'main'
//		option id 'gw-0001'                               # else as enrolled
//		option server 'https://cpns.example.net:8443'     # else as enrolled
//		option enrol 'CPNS1-...'                          # a code to enrol by
//		option psk_source 'tls'                           # or file, or gba
//		option ca '/etc/pngw/ca.pem'                      # else the system's roots
//		option pin 'BASE64'                               # SHA-256 of the server's SPKI
//		option proxy 'http://192.168.1.2:3128'            # HTTP proxy to ask through
//		option sim 'at:/dev/ttyUSB2'                      # gba only: or exec:PATH
//		option gba_ua '0300000001'                        # gba only: 5 bytes
//		option gba_bsf 'http://bsf.example'               # else as the SIM says
//		option gba_ca '/etc/pngw/bsf-ca.pem'              # gba_bsf by https only
//		option gba_impi 'USER@REALM'                      # else as the SIM says
//		option psk_file '/etc/pngw/psk1'                  # this and all that follow:
//		option psk_identity 'gw-0001'                     # the values shown are
//		option store '/etc/pngw/keys'                     # what holds when the
//		option root_key '/etc/pngw/root.key'              # option is not there
//		option socket '/var/run/pngw.sock'
//		option metrics '127.0.0.1:9464'                   # for Prometheus; else none
//		option metrics_devices '0'                        # 1: metrics name devices
//		option audit_dir '/etc/pngw/audit'                # else beside the store
//		option web '192.168.1.1:8480'                     # the page; else none
//		option log_level 'info'                           # debug, info, warn, error
//		option reauth '24h'                               # 1m or more; 0 for never
//		option led 'led-running'                          # a light; else none
//		option alarm_led 'red:status'                     # for alarms alone; else led
//		option button 'wps'                               # a key; else none
//		option button_device 'gpio-keys'                  # else whichever has the key
//		option button_hold '3s'                           # 1s to 30s
//		option hook_dir '/etc/pngw/hooks.d'
//		option hook_session_key '0'                       # 1: hooks get session keys
//		option hook_timeout '30s'                         # 1s to 1h
//
//	config link 'rs232'
//		option enabled '1'
//		option type 'serial'
//		option device '/dev/ttyUSB0'                      # required
//		option baud '115200'
//
//	config link 'stick'
//		option type 'usb'
//		option id '1209:0001'                             # else by the PNE's class;
//		option serial 'A1'                                # ID:N is interface N
//		option port '1-1.2'                               # where it is plugged in
//
//	config link 'broker'
//		option type 'mqtt'
//		option url 'mqtt://127.0.0.1:1883'                # required; or mqtts://
//		option prefix 'cpns'
//		option username 'gw-0001'
//		option password_file '/etc/pngw/mqtt-password'
//		option ca '/etc/pngw/mqtt-ca.pem'                 # mqtts only, as are
//		option cert '/etc/pngw/mqtt-cert.pem'             # these two, which come
//		option key '/etc/pngw/mqtt-key.pem'               # together
//
//	config application 'mqtt'                             # keys for devices' programs
//		option enabled '1'
//		option type 'psk_file'                            # or hook, with label alone
//		option label 'tls13-psk'                          # or tls12-psk
//		option path '/var/run/pngw-applications/mqtt/psk' # NAME of the section, as in
//		option notify '/var/run/pngw-applications/mqtt.signal'
//		option pid_file '/var/run/mosquitto.pid'          # in place of notify
//		option group 'mosquitto'                          # these two are for
//		option service 'mosquitto'                        # OpenWrt's init script
//
//	config service 'service'                              # for OpenWrt's init script,
//		option enabled '0'                                # not the agent
//		option gomemlimit '12MiB'
//		option gogc '100'
//		option gomaxprocs '1'
//
// An option with an empty value counts as not there. Everything that is not in
// this list is refused by name and line: a typing mistake in a security setting
// must not pass for its default. Package board/uci reads the text. What a value
// means to a link, to the CPNS Server's client or to the Go runtime is for those to
// judge, and so are the files that are named: the commands that need them make them,
// and Fault names the line of what they refuse.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"cpns.example.net/pngw/board/uci"
	"cpns.example.net/pngw/cpns"
)

// DefaultFile is where the configuration is unless --config says otherwise.
const DefaultFile = "/etc/config/pngw"

// Config is the whole configuration.
type Config struct {
	File    string // as given to Load, for messages
	Digest  string // of the file's bytes: another where the file has been changed since
	Gateway Gateway
	Links   []Link // in the order of the file
	Apps    []Application
	Service Service
}

// Gateway is the section of type gateway.
type Gateway struct {
	ID          cpns.GatewayID
	Server      string              // base URL of the CPNS Server, https, without a final slash
	CA          string              // PEM file, "" for the system's roots
	Proxy       string              // HTTP proxy on the way to the server, "" for none
	Pin         string              // base64 of SHA-256 of the SubjectPublicKeyInfo, "" for none
	Enrol       *cpns.EnrolmentCode // nil for none
	PSKSource   string              // SourceFile, SourceTLS, SourceGBA, "" for what enrolment makes of it
	GBA         GBA                 // of SourceGBA
	PSKFile     string
	PSKIdentity cpns.PSKIdentity // "" for the gateway's ID
	Store       string
	RootKey     string
	Socket      string
	Metrics     netip.AddrPort // where metrics and health are read, the zero value for nowhere
	AuditDir    string
	Web         netip.AddrPort // where the technician's page is served, the zero value for nowhere
	LogLevel    slog.Level
	Reauth      time.Duration // how often PNEs are authenticated, 0 for never

	MetricsDevices bool // metrics name devices

	LED, AlarmLED string // lights, "" for none
	Button        string // a key, "" for none
	ButtonDevice  string // the input device that has it, "" for the board's own
	ButtonHold    time.Duration

	HookDir        string
	HookSessionKey bool // hooks get session keys
	HookTimeout    time.Duration

	section uci.Section
}

// Values of option psk_source.
const (
	SourceFile = "file"
	SourceTLS  = "tls"
	SourceGBA  = "gba"
)

// Link is a section of type link.
type Link struct {
	Name    string
	Enabled bool
	Type    LinkType

	Device string // serial
	Baud   int    // serial

	USBID     string // usb, as this and the next two
	USBSerial string
	USBPort   string

	URL          string // mqtt, as this and all that follow
	Prefix       string
	ClientID     string // empty: the transport makes one
	Status       bool
	Username     string
	PasswordFile string
	CA           string
	Cert         string
	Key          string

	section uci.Section
}

// LinkType says which transport carries a link.
type LinkType string

// The link types.
const (
	Serial LinkType = "serial"
	USB    LinkType = "usb"
	MQTT   LinkType = "mqtt"
)

// Load reads and checks a configuration file. A fault in the file is a
// *uci.SyntaxError; all faults of its sections are reported together, joined.
func Load(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	return Parse(f, file)
}

// Parse is Load for text that has been opened already.
func Parse(r io.Reader, file string) (*Config, error) {
	digest := sha256.New()
	sections, err := uci.Parse(io.TeeReader(r, digest), file)
	if err != nil {
		return nil, err
	}
	c := &Config{File: file, Digest: hex.EncodeToString(digest.Sum(nil)), Service: Service{GoMemLimit: DefaultMemLimit, GoGC: defaultGC}}
	var faults []error
	gateway, service := 0, 0 // the lines of these sections
	for _, s := range sections {
		var err error
		switch {
		case s.Type == "gateway" && gateway != 0:
			err = s.Errorf("a second section gateway, the first is in line %d", gateway)
		case s.Type == "gateway":
			gateway = s.Line
			c.Gateway, err = parseGateway(s)
		case s.Type == "link":
			var l Link
			l, err = parseLink(s)
			c.Links = append(c.Links, l)
		case s.Type == "application":
			var a Application
			a, err = parseApplication(s)
			c.Apps = append(c.Apps, a)
		case s.Type == "service" && service != 0:
			err = s.Errorf("a second section service, the first is in line %d", service)
		case s.Type == "service" && s.Name != "service":
			err = s.Errorf("want this section to be called so: config service 'service'; it is found by that name, as in uci set pngw.service.enabled=1")
		case s.Type == "service":
			service = s.Line
			c.Service, err = parseService(s)
		default:
			err = s.Errorf("unknown section type %q: want gateway, link, application or service", s.Type)
		}
		faults = append(faults, err)
	}
	if gateway == 0 {
		faults = append(faults, &uci.SyntaxError{File: file, Msg: "there is no section gateway"})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return c, nil
}
