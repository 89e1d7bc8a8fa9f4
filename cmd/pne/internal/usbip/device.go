package usbip

import (
	"encoding/binary"
	"unicode/utf16"
)

// The device: high speed, one configuration with one interface of the class that
// docs/protocol.md, section 5, reserves, and two bulk endpoints in it.
const (
	// vendorID and productID are pid.codes' pair for tests on one's own desk.
	vendorID  = 0x1209
	productID = 0x0001

	class, subclass, protocol = 0xff, 0x43, 0x01

	endpointIn  = 0x81
	endpointOut = 0x02
	packetSize  = 512 // as high speed wants it

	controlPacketSize = 64

	configuration = 1
)

// Standard requests and descriptor types, USB 2.0, tables 9-4 and 9-5.
const (
	getStatus        = 0
	clearFeature     = 1
	setFeature       = 3
	getDescriptor    = 6
	getConfiguration = 8
	setConfiguration = 9
	getInterface     = 10
	setInterface     = 11

	deviceDescriptor        = 1
	configurationDescriptor = 2
	stringDescriptor        = 3

	endpointHalt = 0 // the feature
)

// Of the setup packet's bmRequestType.
const (
	toHost      = 0x80
	toDevice    = 0x00
	toInterface = 0x01
	toEndpoint  = 0x02
)

// A device is the state and the descriptors behind endpoint 0. It is not safe for
// concurrent use.
type device struct {
	serial     string
	configured bool
	halted     map[uint8]bool // by endpoint address
}

func newDevice(serial string) *device {
	return &device{serial: serial, halted: make(map[uint8]bool)}
}

// control answers the request in setup, and carries it out. What the device does
// not know it stalls: ok is false. The answer may be longer than was asked for.
func (d *device) control(setup [8]byte) (answer []byte, ok bool) {
	value := binary.LittleEndian.Uint16(setup[2:])
	index := binary.LittleEndian.Uint16(setup[4:])
	switch kind, code := setup[0], setup[1]; {
	case kind == toHost|toDevice && code == getDescriptor:
		return d.descriptor(uint8(value>>8), uint8(value))
	case kind == toHost|toDevice && code == getStatus:
		return []byte{0, 0}, true // powered by the bus, wakes nobody
	case kind == toHost|toDevice && code == getConfiguration:
		if d.configured {
			return []byte{configuration}, true
		}
		return []byte{0}, true
	case kind == toDevice && code == setConfiguration:
		if value > configuration {
			return nil, false
		}
		d.configured = value == configuration
		clear(d.halted)
		return nil, true
	case !d.configured:
		return nil, false
	case kind == toHost|toInterface && code == getStatus:
		return []byte{0, 0}, index == 0
	case kind == toHost|toInterface && code == getInterface:
		return []byte{0}, index == 0
	case kind == toInterface && code == setInterface:
		if value != 0 || index != 0 {
			return nil, false
		}
		clear(d.halted)
		return nil, true
	case kind&^toHost == toEndpoint:
		return d.endpoint(kind, code, value, index)
	}
	return nil, false
}

// endpoint is control for requests about an endpoint.
func (d *device) endpoint(kind, code uint8, value, index uint16) (answer []byte, ok bool) {
	if index != endpointIn && index != endpointOut {
		return nil, false
	}
	address := uint8(index)
	switch {
	case kind == toHost|toEndpoint && code == getStatus:
		if d.halted[address] {
			return []byte{1, 0}, true
		}
		return []byte{0, 0}, true
	case kind == toEndpoint && value == endpointHalt && code == clearFeature:
		delete(d.halted, address)
		return nil, true
	case kind == toEndpoint && value == endpointHalt && code == setFeature:
		d.halted[address] = true
		return nil, true
	}
	return nil, false
}

// descriptor returns the descriptor of a type and number.
func (d *device) descriptor(kind, number uint8) (_ []byte, ok bool) {
	switch {
	case kind == deviceDescriptor && number == 0:
		return []byte{
			18, deviceDescriptor,
			0x00, 0x02, // USB 2.0
			0, 0, 0, // the class is the interface's
			controlPacketSize,
			vendorID & 0xff, vendorID >> 8, productID, productID >> 8,
			0x00, 0x01, // the device's version, 1.00
			1, 2, 3, // strings: manufacturer, product, serial number
			1, // configurations
		}, true
	case kind == configurationDescriptor && number == 0:
		return []byte{
			9, configurationDescriptor,
			32, 0, // with what follows
			1,                // interfaces
			configuration, 0, // no name
			0x80, 50, // powered by the bus, 100 mA

			9, 4, // interface
			0, 0, // number and alternate setting
			2, // endpoints
			class, subclass, protocol, 0,

			7, 5, endpointIn, 2, packetSize & 0xff, packetSize >> 8, 0, // bulk
			7, 5, endpointOut, 2, packetSize & 0xff, packetSize >> 8, 0,
		}, true
	case kind == stringDescriptor && number == 0:
		return []byte{4, stringDescriptor, 0x09, 0x04}, true // in English only
	case kind == stringDescriptor && int(number) <= 3:
		return encodeString([]string{"CPNS", "headless PNE", d.serial}[number-1]), true
	}
	return nil, false
}

// maxString is how many UTF-16 units a string descriptor has room for.
const maxString = 126

func encodeString(s string) []byte {
	units := utf16.Encode([]rune(s))
	units = units[:min(len(units), maxString)]
	b := []byte{byte(2 + 2*len(units)), stringDescriptor}
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
