package main

import (
	"errors"
	"flag"
	"net/netip"

	"cpns.example.net/pngw/cpns/server"
)

// configFlags declares the flags of run that say how the server treats who asks.
func configFlags(fs *flag.FlagSet) *server.Config {
	c := &server.Config{FirstClaim: server.ClaimByAnyone}
	fs.Func("first-claim", "`WHO` gets a PNE that nobody owns: anyone, the first user to ask; present, the first whose gateway has heard it; owner, nobody but the owner that the import named (anyone)", func(value string) (err error) {
		c.FirstClaim, err = server.ParseFirstClaim(value)
		return err
	})
	fs.IntVar(&c.DailyClaims, "daily-claims", server.DefaultDailyClaims, "at most `N` PNEs that nobody owned for one user through one gateway in a day")
	fs.Func("proxy-protocol", "connections from `NETWORK`, such as 10.0.0.5 or 10.0.0.0/24, begin with the header of the PROXY protocol; may be given several times", networks(&c.ProxyProtocol))
	fs.Func("forwarded-for", "believe the X-Forwarded-For of requests from `NETWORK`; may be given several times", networks(&c.ForwardedFor))
	return c
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
