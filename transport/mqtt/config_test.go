package mqtt

import (
	"os"
	"path/filepath"
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
		{"http://broker.example.net", `"http" is not one of mqtt, tcp, mqtts, ssl`},
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
		{"url", func(c *Config) { c.URL = "" }},
		{"prefix", func(c *Config) { c.Prefix = "cpns/#" }},
		{"no role", func(c *Config) { c.Role = 0 }},
		{"no role", func(c *Config) { c.Role = PNE + 1 }},
		{"entity", func(c *Config) { c.Entity = "" }},
		{"entity", func(c *Config) { c.Entity = "two words" }},
		{"entity", func(c *Config) { c.Entity = strings.Repeat("e", 65) }},
		{"password_file without username", func(c *Config) { c.PasswordFile = empty }},
		{"reading password_file", func(c *Config) { c.Username, c.PasswordFile = "gw", missing }},
		{"cert and key go together", func(c *Config) { c.CertFile = empty }},
		{"need an mqtts:// url", func(c *Config) { c.URL, c.CAFile = "mqtt://broker.example.net", empty }},
		{"reading ca", func(c *Config) { c.CAFile = missing }},
		{"holds no PEM certificate", func(c *Config) { c.CAFile = empty }},
		{"reading cert and key", func(c *Config) { c.CertFile, c.KeyFile = empty, empty }},
		{"client ID", func(c *Config) { c.ClientID = strings.Repeat("i", maxClientID+1) }},
	}
	for _, tt := range tests {
		cfg := good
		tt.edit(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v): got %v, want an error with %q", cfg, err, tt.want)
		}
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
