//go:build usb && !cgo

package usb

// A build that was asked for USB and would have none ends here, by its name.
const available = the_build_tag_usb_needs_cgo__set_CGO_ENABLED_to_1_and_CC
