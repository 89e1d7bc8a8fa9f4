//go:build !usb

package usb

const available = false

// openDevice is not reached: New refuses first.
func openDevice(*match) (device, error) { return nil, errNoBus }
