package mqtt

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	tests := []struct {
		url  string
		addr string
		tls  bool
	}{
		{"mqtt://broker.example.net", "broker.example.net:1883", false},
		{"tcp://broker.example.net:2883", "broker.example.net:2883", false},
		{"mqtts://broker.example.net/", "broker.example.net:8883", true},
		{"ssl://[2001:db8::1]", "[2001:db8::1]:8883", true},
		{"MQTTS://192.0.2.1:443", "192.0.2.1:443", true},
	}
	for _, tt := range tests {
		got, err := parseURL(tt.url)
		if err != nil || got.addr != tt.addr || got.tls != tt.tls {
			t.Errorf("parseURL(%q) = %+v, %v, want %s, TLS %v", tt.url, got, err, tt.addr, tt.tls)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	tests := []struct{ url, want string }{
		{"", "scheme"},
		{"broker.example.net:1883", "scheme"},
		{"http://broker.example.net", "the scheme is not mqtt: write it as mqtt://HOST:PORT"},
		{"ws://broker.example.net", "WebSocket is not supported"},
		{"wss://broker.example.net", "WebSocket is not supported"},
		{"mqtt://gw:hunter2@broker.example.net", "use username and password_file"},
		{"mqtt://gw:hunter2@broker.example.net:port", "not valid"},
		{"mqtt://gw:hunter2%@broker.example.net", "not valid"},
		{"mqtt://", "no host"},
		{"mqtt://:1883", "no host"},
		{"mqtt://broker.example.net/cpns", "set by prefix"},
		{"mqtt://broker.example.net?clientid=7", "set by prefix"},
		{"mqtt://broker.example.net#x", "set by prefix"},
		{"mqtt://broker.example.net:0", "the port must be 1 to 65535"},
		{"mqtt://broker.example.net:65536", "the port must be 1 to 65535"},
		{"mqtt://broker.example.net:", "the port must be 1 to 65535"},
	}
	for _, tt := range tests {
		_, err := parseURL(tt.url)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("parseURL(%q): got %v, want an error with %q", tt.url, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("parseURL(%q): the password shows in %q", tt.url, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	missing, empty := filepath.Join(dir, "missing"), filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := Config{Name: "broker", URL: "mqtts://broker.example.net", Role: Gateway, Entity: "gw-0001"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		want string
		edit func(*Config)
	}{
		{"without a name", func(c *Config) { c.Name = "" }},
		{"url: the scheme is not mqtt", func(c *Config) { c.URL = "" }},
		{"url: the port must be 1 to 65535", func(c *Config) { c.URL = "mqtts://broker.example.net:99999" }},
		{"key: comes together with cert", func(c *Config) { c.KeyFile = empty }},
		{"key: open ", func(c *Config) { c.CertFile, c.KeyFile = empty, missing }},
		{"prefix", func(c *Config) { c.Prefix = "cpns/#" }},
		{"no role", func(c *Config) { c.Role = 0 }},
		{"no role", func(c *Config) { c.Role = PNE + 1 }},
		{"entity", func(c *Config) { c.Entity = "" }},
		{"entity", func(c *Config) { c.Entity = "two words" }},
		{"entity", func(c *Config) { c.Entity = strings.Repeat("e", 65) }},
		{"password_file: MQTT takes a password only with a username", func(c *Config) { c.PasswordFile = empty }},
		{"password_file: open ", func(c *Config) { c.Username, c.PasswordFile = "gw", missing }},
		{"cert: comes together with key", func(c *Config) { c.CertFile = empty }},
		{"ca: is of no use without TLS: want mqtts://", func(c *Config) { c.URL, c.CAFile = "mqtt://broker.example.net", empty }},
		{"ca: open ", func(c *Config) { c.CAFile = missing }},
		{"holds no PEM certificate", func(c *Config) { c.CAFile = empty }},
		{"cert: tls: failed to find any PEM data", func(c *Config) { c.CertFile, c.KeyFile = empty, empty }},
		{"client_id: 129 bytes, at most 128", func(c *Config) { c.ClientID = strings.Repeat("i", maxClientID+1) }},
	}
	for _, tt := range tests {
		cfg := good
		tt.edit(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v): got %v, want an error with %q", cfg, err, tt.want)
		}
	}
}

// One broker has several spellings, and what two links at it may not share is the same
// in each.
func TestClaims(t *testing.T) {
	claims := func(url, prefix, id string) []string {
		t.Helper()
		l, err := New(Config{Name: "a", URL: url, Prefix: prefix, ClientID: id, Role: Gateway, Entity: "gw-0001"})
		if err != nil {
			t.Fatal(err)
		}
		return l.Claims()
	}
	shared := func(a, b []string) (n int) {
		for _, c := range a {
			if slices.Contains(b, c) {
				n++
			}
		}
		return n
	}
	one := claims("mqtt://broker.example.net", "", "")
	for _, url := range []string{"mqtt://broker.example.net:1883", "mqtt://Broker.Example.NET./", "tcp://broker.example.net:01883"} {
		if shared(one, claims(url, "", "")) != 2 {
			t.Errorf("%s is not the same broker", url)
		}
	}
	if shared(claims("mqtt://[::1]:7", "", ""), claims("mqtt://[0:0::1]:7", "", "")) != 2 {
		t.Error("two spellings of an IPv6 address are two brokers")
	}
	for _, tt := range []struct {
		url, prefix, id string
		want            int
	}{
		{"mqtt://broker.example.net", "other", "", 0},  // another prefix has another client ID
		{"mqtt://broker.example.net", "", "mine", 1},   // the messages would come twice
		{"mqtt://broker.example.net:1884", "", "", 0},  // another broker, for all that is known
		{"mqtts://broker.example.net:1883", "", "", 2}, // a port takes TLS or not
		{"mqtt://broker.example.org", "cpns", "", 0},
	} {
		if got := shared(one, claims(tt.url, tt.prefix, tt.id)); got != tt.want {
			t.Errorf("%+v: %d claims shared, want %d", tt, got, tt.want)
		}
	}
	if shared(claims("mqtt://a", "x", "mine"), claims("mqtt://a", "y", "mine")) != 1 {
		t.Error("two links may have one client ID")
	}
}

func TestClientID(t *testing.T) {
	seen := make(map[string]bool)
	for _, role := range []Role{Gateway, PNE} {
		for _, prefix := range []string{"cpns", "cpn"} {
			for _, entity := range []string{"gw-0001", "gw-0002", "s/gw-0001", strings.Repeat("e", 64)} {
				id := clientID(role, prefix, entity)
				if len(id) != 23 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
					t.Errorf("client ID %q is not 23 letters and digits", id)
				}
				if seen[id] {
					t.Errorf("client ID %q stands for two clients", id)
				}
				seen[id] = true
				if again := clientID(role, prefix, entity); again != id {
					t.Errorf("client ID %q became %q", id, again)
				}
			}
		}
	}
}
