//go:build usb && cgo

package usb

import (
	"errors"
	"fmt"

	"github.com/google/gousb"
)

// A found is an open device with the libusb that it was found by, which lives as
// long: where there is no device, nothing of libusb runs either.
type found struct {
	bulk
	ctx *gousb.Context
}

func (f *found) close() {
	f.bulk.close()
	f.ctx.Close()
}

// openDevice finds the device that is meant and claims its interface.
func openDevice(want *match) (_ device, err error) {
	ctx, err := newContext()
	if err != nil {
		return nil, err
	}
	f := &found{ctx: ctx}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	all, err := scan(ctx)
	if len(all) == 0 && err == nil {
		return nil, errNoBus // which would be listed itself
	}
	candidates := want.candidates(all)
	if len(candidates) == 0 && err != nil {
		return nil, fmt.Errorf("looking for USB devices: %w", translate(err))
	}
	err = errNotFound
	for i := range candidates {
		openErr := f.open(ctx, want, &candidates[i])
		if openErr == nil {
			if others := len(candidates) - 1; others > 0 && want.serial == "" && want.port == "" {
				f.name += fmt.Sprintf("; %d more like it, tell them apart by serial number or port", others)
			}
			return f, nil
		}
		if errors.Is(err, errNotFound) {
			err = openErr // the first fault is told, unless another candidate works
		}
	}
	return nil, err
}

// newContext starts libusb. gousb panics where that cannot be done, which is
// everywhere without a USB bus.
func newContext() (ctx *gousb.Context, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w (%v)", errNoBus, r)
		}
	}()
	return gousb.NewContext(), nil
}

// scan describes every device on every bus. A device whose descriptors cannot be
// read is left out, and the error is about it. gousb panics over some that no
// honest device has, such as an interface that comes twice: then the devices that
// were seen before that one are returned.
func scan(ctx *gousb.Context) (all []description, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a device with senseless descriptors is in the way, unplug it: %v", r)
		}
	}()
	_, err = ctx.OpenDevices(func(d *gousb.DeviceDesc) bool {
		all = append(all, describe(d))
		return false
	})
	return all, err
}

func describe(d *gousb.DeviceDesc) description {
	desc := description{
		bus: d.Bus, address: d.Address, port: portPath(d.Bus, d.Path),
		vendor: uint16(d.Vendor), product: uint16(d.Product),
	}
	for _, config := range d.Configs {
		for _, intf := range config.Interfaces {
			for _, alt := range intf.AltSettings {
				desc.settings = append(desc.settings, describeSetting(config.Number, alt))
			}
		}
	}
	desc.sort()
	return desc
}

func describeSetting(config int, alt gousb.InterfaceSetting) setting {
	s := setting{
		config: config, number: alt.Number, alternate: alt.Alternate,
		class: [3]uint8{uint8(alt.Class), uint8(alt.SubClass), uint8(alt.Protocol)},
	}
	for _, e := range alt.Endpoints {
		s.endpoints = append(s.endpoints, endpoint{
			address: uint8(e.Address),
			bulk:    e.TransferType == gousb.TransferTypeBulk,
			packet:  e.MaxPacketSize & 0x7ff, // the bits above mean nothing for bulk
		})
	}
	return s
}

// open opens d and claims its interface. After an error nothing is left open.
func (b *bulk) open(ctx *gousb.Context, want *match, d *description) (err error) {
	b.name, b.node = d.String(), d.node()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("senseless descriptors: %v", r)
		}
		if err != nil {
			err = &deviceError{b.name, b.node, translate(err)}
			b.close()
		}
	}()
	devices, err := ctx.OpenDevices(func(other *gousb.DeviceDesc) bool {
		return other.Bus == d.bus && other.Address == d.address
	})
	if len(devices) == 0 {
		if err == nil {
			err = errGone
		}
		return err
	}
	b.dev = devices[0]
	b.dev.ControlTimeout = controlLimit
	serial, err := b.dev.SerialNumber()
	if err != nil && want.serial != "" {
		return fmt.Errorf("reading the serial number: %w", err)
	}
	if serial = printable(serial); serial != "" {
		b.name += ", serial number " + serial
	}
	if want.serial != "" && serial != want.serial {
		return errNotFound
	}
	return b.claim(want, d)
}

// claim selects the setting of d to use, and takes its interface from the kernel's
// driver if there is one.
func (b *bulk) claim(want *match, d *description) error {
	active, err := b.dev.ActiveConfigNum()
	if err != nil {
		return err
	}
	if b.target, err = want.choose(d, active); err != nil {
		return err
	}
	// Told to detach, gousb's Config detaches the drivers of all interfaces, and
	// for good. That is for changing the configuration, which ends them anyway; of
	// one that is active only our interface is taken, by libusb when it is claimed.
	if b.target.config != active {
		if err := b.dev.SetAutoDetach(true); err != nil {
			return err
		}
	}
	if b.config, err = b.dev.Config(b.target.config); err != nil {
		return err
	}
	if err := b.dev.SetAutoDetach(true); err != nil {
		return err
	}
	b.config.Desc.Interfaces = byNumber(b.config.Desc.Interfaces)
	if b.intf, err = b.config.Interface(b.target.number, b.target.alternate); err != nil {
		return err
	}
	if b.in, err = b.intf.InEndpoint(int(b.target.in.address &^ 0x80)); err != nil {
		return err
	}
	b.out, err = b.intf.OutEndpoint(int(b.target.out.address))
	return err
}

// byNumber puts interfaces where gousb looks for them: it takes an interface's
// number for its index. Devices that leave numbers out are common.
func byNumber(interfaces []gousb.InterfaceDesc) []gousb.InterfaceDesc {
	var byNumber []gousb.InterfaceDesc
	for _, i := range interfaces {
		for len(byNumber) <= i.Number {
			byNumber = append(byNumber, gousb.InterfaceDesc{Number: -1})
		}
		byNumber[i.Number] = i
	}
	return byNumber
}
