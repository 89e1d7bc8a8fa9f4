package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/secretfile"
)

// configFlags declares the flags of run that say how the server treats who asks.
func configFlags(fs *flag.FlagSet) *server.Config {
	c := &server.Config{FirstClaim: server.ClaimByAnyone}
	fs.Func("first-claim", "`WHO` gets a PNE that nobody owns: anyone, the first user to ask; present, the first whose gateway has heard it; owner, nobody but the owner that the import named (anyone)", func(value string) (err error) {
		c.FirstClaim, err = server.ParseFirstClaim(value)
		return err
	})
	fs.IntVar(&c.DailyClaims, "daily-claims", server.DefaultDailyClaims, "at most `N` PNEs that nobody owned for one user through one gateway in a day")
	fs.Func("psk1-lifetime", "a PSK1 that a gateway agrees on by TLS is good for `TIME`, such as 7d or 12h; gateways ask for another after two thirds of it (7d)", func(value string) (err error) {
		if c.PSK1Lifetime, err = parseDays(value); err != nil {
			return err
		}
		return server.CheckPSK1Lifetime(c.PSK1Lifetime)
	})
	fs.Func("ticket-key-file", "the secret of TLS session tickets is in `FILE`, 64 hex digits, the same for all servers behind a balancer: a gateway's next connection is cheap at each of them", func(path string) error {
		c.TicketSecret = func() (*server.TicketSecret, error) { return readTicketSecret(path) }
		return nil
	})
	fs.Func("proxy-protocol", "connections from `NETWORK`, such as 10.0.0.5 or 10.0.0.0/24, begin with the header of the PROXY protocol; may be given several times", networks(&c.ProxyProtocol))
	fs.Func("forwarded-for", "believe the X-Forwarded-For of requests from `NETWORK`; may be given several times", networks(&c.ForwardedFor))
	return c
}

// readTicketSecret reads the secret of session tickets. It is read anew every minute, by
// the owner of the data folder.
func readTicketSecret(path string) (*server.TicketSecret, error) {
	raw, err := secretfile.Key(path, server.TicketSecretSize)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	if len(raw) != server.TicketSecretSize {
		return nil, fmt.Errorf("%s: want %d hex digits, as openssl rand -hex %d makes", path, 2*server.TicketSecretSize, server.TicketSecretSize)
	}
	return (*server.TicketSecret)(append([]byte(nil), raw...)), nil
}

// parseDays reads a time that may be in days.
func parseDays(value string) (time.Duration, error) {
	if text, ok := strings.CutSuffix(value, "d"); ok {
		if n, err := strconv.ParseUint(text, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, errors.New("want a time such as 14d, 12h or 30m")
	}
	return d, nil
}

// networks reads the values of a flag: addresses, and networks with a prefix length.
func networks(list *[]netip.Prefix) func(string) error {
	return func(value string) error {
		p, err := netip.ParsePrefix(value)
		if err != nil {
			addr, addrErr := netip.ParseAddr(value)
			if addrErr != nil || addr.Zone() != "" {
				return errors.New("neither an address nor a network, such as 10.0.0.0/24")
			}
			p = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		}
		*list = append(*list, p)
		return nil
	}
}
