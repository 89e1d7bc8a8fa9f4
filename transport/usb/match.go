package usb

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cpns.example.net/pngw/transport"
)

// pneClass is the class, subclass and protocol of a PNE's interface
// (docs/protocol.md, section 5).
var pneClass = [3]uint8{0xff, 0x43, 0x01}

// A description is what the descriptors of a device say, as far as a Link cares.
type description struct {
	bus, address    int
	port            string // such as "1-1.2"
	vendor, product uint16
	settings        []setting
}

// A setting is an alternate setting of an interface in one of the device's
// configurations.
type setting struct {
	config, number, alternate int
	class                     [3]uint8
	endpoints                 []endpoint
}

// An endpoint is one way into or out of a device.
type endpoint struct {
	address uint8 // with the top bit set the device sends
	bulk    bool
	packet  int // bytes that a packet has at most
}

func (e endpoint) in() bool { return e.address&0x80 != 0 }

// maxPacket is the most that a bulk endpoint's packet has at any speed, in bytes.
const maxPacket = 1024

func (e endpoint) usable() bool {
	return e.bulk && e.address&0x0f != 0 && e.packet > 0 && e.packet <= maxPacket
}

func (d *description) String() string {
	return fmt.Sprintf("%04x:%04x at %s", d.vendor, d.product, d.port)
}

// node is the device's file.
func (d *description) node() string {
	return fmt.Sprintf("/dev/bus/usb/%03d/%03d", d.bus, d.address)
}

// sort puts settings and endpoints into the order in which they are preferred.
func (d *description) sort() {
	for _, s := range d.settings {
		slices.SortFunc(s.endpoints, func(a, b endpoint) int { return cmp.Compare(a.address, b.address) })
	}
	slices.SortFunc(d.settings, func(a, b setting) int {
		return cmp.Or(cmp.Compare(a.config, b.config), cmp.Compare(a.number, b.number), cmp.Compare(a.alternate, b.alternate))
	})
}

// portPath spells where a device is plugged in as the kernel does.
func portPath(bus int, ports []int) string {
	if len(ports) == 0 {
		return fmt.Sprintf("usb%d", bus) // the bus itself
	}
	path := fmt.Sprintf("%d-%d", bus, ports[0])
	for _, p := range ports[1:] {
		path += fmt.Sprintf(".%d", p)
	}
	return path
}

// printable replaces what a device may have put into a string to deceive a reader.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// A match says which device is meant.
type match struct {
	byID            bool // by vendor and product; by class otherwise
	vendor, product uint16
	number          int // of the interface; -1 is any
	serial, port    string
}

// maxSerial is the size in bytes of the longest serial number that a string
// descriptor has.
const maxSerial = 126

// newMatch checks what people have written, strictly: what they copied wrongly would
// be a device that never comes.
func newMatch(id, serial, port string) (match, error) {
	m := match{number: -1, serial: serial, port: port}
	if id != "" && !m.parseID(id) {
		return match{}, option("id", "%q: want VENDOR:PRODUCT in four digits of hex each, such as 1209:0001, and :N for interface N", id)
	}
	if printable(serial) != serial || len(serial) > maxSerial {
		return match{}, option("serial", "%q: want at most %d characters of ASCII", serial, maxSerial)
	}
	if port != "" && !isPort(port) {
		return match{}, option("port", "%q: want a bus and the ports on the way, such as 1-1.2", port)
	}
	return m, nil
}

func option(name, format string, args ...any) error {
	return &transport.OptionError{Option: name, Err: fmt.Errorf(format, args...)}
}

// parseID reads "VVVV:PPPP" or "VVVV:PPPP:N".
func (m *match) parseID(id string) bool {
	parts := strings.Split(id, ":")
	if len(parts) < 2 || len(parts) > 3 || len(parts[0]) != 4 || len(parts[1]) != 4 {
		return false
	}
	vendor, err1 := strconv.ParseUint(parts[0], 16, 16)
	product, err2 := strconv.ParseUint(parts[1], 16, 16)
	if err1 != nil || err2 != nil {
		return false
	}
	m.byID, m.vendor, m.product = true, uint16(vendor), uint16(product)
	if len(parts) == 3 {
		n, err := strconv.ParseUint(parts[2], 10, 8)
		m.number = int(n)
		return err == nil
	}
	return true
}

// isPort tells whether s is a port path as the kernel spells it: a bus, and up to
// seven ports.
func isPort(s string) bool {
	bus, path, ok := strings.Cut(s, "-")
	ports := strings.Split(path, ".")
	for _, number := range append(ports, bus) {
		if n, err := strconv.ParseUint(number, 10, 8); err != nil || n == 0 || number[0] == '0' {
			return false
		}
	}
	return ok && len(ports) <= 7
}

func (m *match) String() string {
	s := "an interface of class ff/43/01"
	if m.byID {
		s = fmt.Sprintf("ID %04x:%04x", m.vendor, m.product)
		if m.number >= 0 {
			s += fmt.Sprintf(", interface %d", m.number)
		}
	}
	if m.serial != "" {
		s += ", serial number " + m.serial
	}
	if m.port != "" {
		s += ", port " + m.port
	}
	return s
}

// candidates returns those of all that may be meant, as far as can be said without
// opening them, in the order of their ports.
func (m *match) candidates(all []description) []description {
	var found []description
	for _, d := range all {
		if m.port == "" || d.port == m.port {
			if slices.ContainsFunc(d.settings, func(s setting) bool { return m.covers(&d, &s) }) || m.names(&d) {
				found = append(found, d)
			}
		}
	}
	slices.SortFunc(found, func(a, b description) int { return cmp.Compare(a.port, b.port) })
	return found
}

// names tells whether d is meant by vendor and product.
func (m *match) names(d *description) bool {
	return m.byID && d.vendor == m.vendor && d.product == m.product
}

// covers tells whether s is a setting of an interface that is meant.
func (m *match) covers(d *description, s *setting) bool {
	if !m.byID {
		return s.class == pneClass
	}
	return m.names(d) && (m.number < 0 || s.number == m.number)
}

// A target is the setting to select and the endpoints to use in it.
type target struct {
	config, number, alternate int
	in, out                   endpoint
}

// choose picks the setting of d to use: the first that is meant and has a bulk IN
// and a bulk OUT endpoint, if possible in the configuration that is active
// (0: none is), because changing that takes the device away from others.
func (m *match) choose(d *description, active int) (target, error) {
	var best *target
	for _, s := range d.settings {
		if !m.covers(d, &s) {
			continue
		}
		t := target{config: s.config, number: s.number, alternate: s.alternate}
		for _, e := range s.endpoints {
			switch {
			case !e.usable():
			case e.in() && t.in.address == 0:
				t.in = e
			case !e.in() && t.out.address == 0:
				t.out = e
			}
		}
		if t.in.address == 0 || t.out.address == 0 {
			continue
		}
		if best == nil || best.config != active && t.config == active {
			best = &t
		}
	}
	if best == nil {
		return target{}, errNoBulk
	}
	return *best, nil
}
