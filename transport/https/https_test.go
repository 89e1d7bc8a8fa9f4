package https

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	testPath        = "/cpns/v1/eukey-assignments"
	testContentType = `application/cose; cose-type="cose-encrypt0"`
)

func TestNewRefusesServerAddress(t *testing.T) {
	tests := []struct{ server, want string }{
		{"", "server: there is none"},
		{"cpns.example.net", "must begin with https://"},
		{"cpns.example.net:8443", "must begin with https://"},
		{"http://cpns.example.net", "must begin with https://"},
		{"https://", "has no host name"},
		{"https://:8443", "has no host name"},
		{"https://cpns.example.net?x=1", "must end with the path"},
		{"https://cpns.example.net/#top", "must end with the path"},
		{"https://alice:geheim@cpns.example.net", "user name or password"},
		{"https://alice:geheim@cpns.example.net:port", "invalid port"},
		{"https://cpns.example.net:70000", "port"},
		{"https://cpns.example.net:0", "port"},
		{"https://cpns.example.net:", "port"},
	}
	for _, tt := range tests {
		_, err := New(Config{Server: tt.server, Path: testPath, ContentType: testContentType})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("server %q: got error %v, want one with %q", tt.server, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("server %q: the error repeats the password: %v", tt.server, err)
		}
	}
}

func TestNewJoinsPrefixAndPath(t *testing.T) {
	for server, want := range map[string]string{
		"https://cpns.example.net":           "https://cpns.example.net" + testPath,
		"https://cpns.example.net/":          "https://cpns.example.net" + testPath,
		"https://cpns.example.net:8443/a/b/": "https://cpns.example.net:8443/a/b" + testPath,
		"https://[2001:db8::1]:8443":         "https://[2001:db8::1]:8443" + testPath,
	} {
		c, err := New(Config{Server: server, Path: testPath, ContentType: testContentType})
		if err != nil {
			t.Errorf("server %q: %v", server, err)
		} else if c.url != want {
			t.Errorf("server %q: got %q, want %q", server, c.url, want)
		}
	}
}

// Not even for a host that net/http would ask a proxy for.
func TestNewTakesNoProxyFromEnvironment(t *testing.T) {
	c, err := New(Config{Server: "https://cpns.example.net", Path: testPath, ContentType: testContentType})
	if err != nil {
		t.Fatal(err)
	}
	if c.transport.Proxy != nil {
		t.Error("the transport has a proxy function")
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Server: "https://cpns.example.net", Path: testPath, ContentType: testContentType}
	short := base64.StdEncoding.EncodeToString(make([]byte, 31))
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"path without slash", func(c *Config) { c.Path = "cpns" }, "must begin with a slash"},
		{"content type", func(c *Config) { c.ContentType = "application/" }, "content type"},
		{"negative limit", func(c *Config) { c.MaxResponse = -1 }, "must not be negative"},
		{"negative timeout", func(c *Config) { c.Timeout = -time.Second }, "must not be negative"},
		{"pin in hex", func(c *Config) { c.PinSPKI = strings.Repeat("ab", 32) }, "44 characters"},
		{"pin too short", func(c *Config) { c.PinSPKI = short }, "44 characters"},
		{"pin is no base64", func(c *Config) { c.PinSPKI = "sha256//x" }, "44 characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			_, err := New(cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestNewReadsCAFile(t *testing.T) {
	ca := newAuthority(t, "test CA")
	certPEM, err := os.ReadFile(ca.file)
	if err != nil {
		t.Fatal(err)
	}
	key := keyPEM(t, ca.key)
	tests := []struct {
		name, text, want string // want "": accepted
	}{
		{"one certificate", string(certPEM), ""},
		{"text around two", "# ours\n" + string(certPEM) + "\n# again\n" + string(certPEM), ""},
		{"empty", "", "no certificate in it"},
		{"DER", string(ca.cert.Raw), "no certificate in it"},
		{"a private key", string(key), "contains a private key"},
		{"a private key besides", string(certPEM) + string(key), "contains a private key"},
		{"a broken second one", string(certPEM) + string(pemOf("CERTIFICATE", []byte{0x30, 0})), "certificate 2:"},
		{"a request", string(pemOf("CERTIFICATE REQUEST", []byte{0x30, 0})), "no certificate in it"},
		{"giant", strings.Repeat("#", maxCAFile+1), "larger than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := newWithCA(file)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got error %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), file)):
				t.Errorf("got error %v, want one with %q and the file's name", err, tt.want)
			}
		})
	}
	if _, err := newWithCA(filepath.Join(t.TempDir(), "none.pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: got error %v, want fs.ErrNotExist", err)
	}
}

// A CA file that is exchanged under a running program counts from the next request
// on, for better and for worse, and a session from before does not go on.
func TestCAFileExchanged(t *testing.T) {
	c := startHTTPS(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, "yes") })
	right, err := os.ReadFile(c.caFile)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(newAuthority(t, "another CA").file)
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		text []byte // nil: the file is gone
		want string // in the error, "" for an answer
	}{
		{right, ""},
		{other, "certificate"},
		{right, ""},
		{[]byte("half a certif"), "cannot be used"},
		{nil, "cannot be used"},
		{right, ""},
	} {
		// By rename, as programs that are careful do it; in place is no harder.
		if step.text == nil {
			err = os.Remove(c.caFile)
		} else if err = os.WriteFile(c.caFile+".new", step.text, 0o600); err == nil {
			err = os.Rename(c.caFile+".new", c.caFile)
		}
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Post(t.Context(), nil)
		if step.want == "" {
			if err != nil || string(resp.Body) != "yes" {
				t.Errorf("step %d: got %q, %v", i, resp.Body, err)
			}
		} else if got := asUnreachable(t, err); !strings.Contains(got.Error(), step.want) {
			t.Errorf("step %d: got %v, want %q", i, got, step.want)
		}
	}
}

func newWithCA(file string) (*Client, error) {
	return New(Config{Server: "https://cpns.example.net", CAFile: file, Path: testPath, ContentType: testContentType})
}
