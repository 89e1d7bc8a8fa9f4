package main

import (
	"flag"
	"io"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// The flags of run get into the server's configuration.
func TestRunFlags(t *testing.T) {
	networks := func(list ...string) (all []netip.Prefix) {
		for _, p := range list {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	tests := []struct {
		args []string
		want *server.Config // nil where the command line makes no sense
	}{
		{nil, &server.Config{FirstClaim: server.ClaimByAnyone, DailyClaims: server.DefaultDailyClaims}},
		{[]string{"--first-claim", "present", "--daily-claims", "7"}, &server.Config{FirstClaim: server.ClaimIfPresent, DailyClaims: 7}},
		{[]string{"--first-claim", "owner"}, &server.Config{FirstClaim: server.ClaimByOwner, DailyClaims: server.DefaultDailyClaims}},
		{[]string{"--proxy-protocol", "10.0.0.5", "--proxy-protocol", "2001:db8::/32", "--forwarded-for", "::ffff:192.0.2.1"}, &server.Config{
			FirstClaim: server.ClaimByAnyone, DailyClaims: server.DefaultDailyClaims,
			ProxyProtocol: networks("10.0.0.5/32", "2001:db8::/32"), ForwardedFor: networks("192.0.2.1/32"),
		}},
		{[]string{"--psk1-lifetime", "2d"}, &server.Config{FirstClaim: server.ClaimByAnyone, DailyClaims: server.DefaultDailyClaims, PSK1Lifetime: 48 * time.Hour}},
		{[]string{"--psk1-lifetime", "90m"}, &server.Config{FirstClaim: server.ClaimByAnyone, DailyClaims: server.DefaultDailyClaims, PSK1Lifetime: 90 * time.Minute}},
		{[]string{"--psk1-lifetime", "366d"}, nil},
		{[]string{"--psk1-lifetime", "-1h"}, nil},
		{[]string{"--first-claim", ""}, nil},
		{[]string{"--proxy-protocol", "fe80::1%eth0"}, nil},
		{[]string{"--proxy-protocol", "10.0.0.0/33"}, nil},
		{[]string{"--forwarded-for", "proxy.example"}, nil},
	}
	for _, tt := range tests {
		fs := flag.NewFlagSet("run", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		got := configFlags(fs)
		if err := fs.Parse(tt.args); (err == nil) != (tt.want != nil) {
			t.Errorf("%q: got error %v", tt.args, err)
		} else if err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %+v, want %+v", tt.args, got, tt.want)
		}
	}
}
