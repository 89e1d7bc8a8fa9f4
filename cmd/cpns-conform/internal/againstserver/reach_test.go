package againstserver

import (
	"crypto/x509"
	"strings"
	"testing"
)

// TestReach: what the kit was given and is wrong is said before the first case.
func TestReach(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // "" for no error
	}{
		"nothing":         {func(*Config) {}, ""},
		"no code":         {func(c *Config) { c.Code, c.Unit = nil, nil }, ""},
		"the password":    {func(c *Config) { c.passwordHash = nil }, ""},
		"no PSK1":         {func(c *Config) { c.PSK1 = nil }, ""},
		"no TLS":          {func(c *Config) { c.URL = "http://cpns.example.net" }, "want https://"},
		"a user in it":    {func(c *Config) { c.URL = "https://a:b@cpns.example.net" }, "want https://"},
		"another name":    {func(c *Config) { c.URL = "https://cpns.example.org" }, "cpns.example.org"},
		"another CA":      {func(c *Config) { c.Roots = x509.NewCertPool() }, "name the CA of its certificate by --ca"},
		"another pin":     {func(c *Config) { c.Roots, c.Code.Pin = nil, [16]byte{1} }, "the code's pin"},
		"another PSK1":    {func(c *Config) { c.PSK1.Key = random(32) }, "does not know the PSK1"},
		"another secret":  {func(c *Config) { c.Code.Secret = random(16) }, "urn:cpns:enrolment-refused"},
		"a password":      {func(c *Config) { c.Password, c.passwordHash = []byte("wrong"), nil }, "is the password"},
		"no such user":    {func(c *Config) { c.User = "carol" }, "is the password"},
		"no such device":  {func(c *Config) { c.Entity = "pne-9" }, "does the server have the device"},
		"another's":       {func(c *Config) { c.Entity = "pne-2" }, "the owner of the device"},
		"a code, no word": {func(c *Config) { c.Code.Secret = nil }, "waits for a person"},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, nil, func(t *testing.T, r *rig) {
				c.change(&r.config)
				_, err := Reach(t.Context(), r.config)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			})
		})
	}
}
