package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies in front of the server hide whose connection or request it is. Two ways
// to say so are understood, each from configured addresses only: anybody else
// could name any address.
//
//	PROXY protocol    a header before TLS, by balancers that pass bytes on
//	X-Forwarded-For   a header of HTTP, by proxies that end TLS
type proxies []netip.Prefix

func (p proxies) contain(addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// checkProxies refuses prefixes that contain no address.
func checkProxies(lists ...[]netip.Prefix) error {
	for _, list := range lists {
		for _, p := range list {
			if !p.IsValid() || p.Addr().Is4In6() {
				return fmt.Errorf("proxy %v: not a network", p)
			}
		}
	}
	return nil
}

// forwardedFor is the address that sent a request which reached the server from
// the address from: what the last proxy that is not ours was told to be talking to
// cannot be believed, so the list is read from its end, where each proxy appends
// who it was talking to, as long as ours wrote it.
func (p proxies) forwardedFor(h http.Header, from netip.Addr) netip.Addr {
	list := strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
	for n := len(list) - 1; n >= 0 && p.contain(from); n-- {
		addr, err := parseHost(strings.TrimSpace(list[n]))
		if err != nil {
			break
		}
		from = addr
	}
	return from
}

// parseHost reads an address that may have a port, as some proxies write it.
func parseHost(s string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return addr.Unmap().WithZone(""), err
}

// The PROXY protocol, versions 1 and 2, as haproxy documents it.
const (
	proxyV1Most = 107     // bytes of a line
	proxyV2Most = 2 << 10 // bytes of addresses and what else a proxy wants to say
)

var (
	proxyV2Signature = []byte("\r\n\r\n\x00\r\nQUIT\n")
	errProxyHeader   = errors.New("no PROXY protocol header, although the address is a configured proxy's")
)

// readProxyHeader reads the header that a connection from a proxy begins with. It
// returns no address where the proxy speaks for itself.
func readProxyHeader(r *bufio.Reader) (netip.Addr, error) {
	first, err := r.Peek(len(proxyV2Signature))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("reading the PROXY protocol header: %w", err)
	}
	if bytes.Equal(first, proxyV2Signature) {
		return readProxyV2(r)
	}
	if bytes.HasPrefix(first, []byte("PROXY ")) {
		return readProxyV1(r)
	}
	return netip.Addr{}, errProxyHeader
}

// readProxyV1: PROXY TCP4 source destination port port, or PROXY UNKNOWN.
func readProxyV1(r *bufio.Reader) (netip.Addr, error) {
	line := make([]byte, 0, proxyV1Most)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		b, err := r.ReadByte()
		if err != nil {
			return netip.Addr{}, fmt.Errorf("reading the PROXY protocol header: %w", err)
		}
		if line = append(line, b); len(line) > proxyV1Most {
			return netip.Addr{}, errors.New("a PROXY protocol header without an end")
		}
	}
	fields := strings.Split(strings.TrimSuffix(string(line), "\r\n"), " ")
	if fields[1] == "UNKNOWN" {
		return netip.Addr{}, nil
	}
	if len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return netip.Addr{}, errors.New("a malformed PROXY protocol header")
	}
	addr, err := netip.ParseAddr(fields[2])
	if err != nil || addr.Is4() != (fields[1] == "TCP4") {
		return netip.Addr{}, errors.New("a malformed address in a PROXY protocol header")
	}
	return addr.Unmap().WithZone(""), nil
}

// readProxyV2:
//
//	signature (12 bytes) | version 2, command (1) | family, transport (1) | length of the rest (2) | source | destination | …
func readProxyV2(r *bufio.Reader) (netip.Addr, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.Addr{}, fmt.Errorf("reading the PROXY protocol header: %w", err)
	}
	size := int(binary.BigEndian.Uint16(head[14:]))
	command := head[12]
	if command != 0x20 && command != 0x21 || size > proxyV2Most {
		return netip.Addr{}, errors.New("a malformed PROXY protocol header")
	}
	rest := make([]byte, size)
	if _, err := io.ReadFull(r, rest); err != nil {
		return netip.Addr{}, fmt.Errorf("reading the PROXY protocol header: %w", err)
	}
	const local = 0x20 // a proxy's own connection, a health check
	switch family := head[13]; {
	case command == local:
		return netip.Addr{}, nil
	case family == 0x11 && size >= 12:
		return netip.AddrFrom4([4]byte(rest[:4])), nil
	case family == 0x21 && size >= 36:
		return netip.AddrFrom16([16]byte(rest[:16])).Unmap(), nil
	case family == 0x00:
		return netip.Addr{}, nil // the proxy does not know
	}
	return netip.Addr{}, errors.New("a PROXY protocol header for something other than TCP")
}
