package usbip

import (
	"bytes"
	"testing"
)

// TestControl walks through what a host does with endpoint 0, in this order.
func TestControl(t *testing.T) {
	d := newDevice("pne-1")
	for _, tt := range []struct {
		name, setup string
		want        string // "stall", or the answer
	}{
		{"device descriptor", "8006 0001 0000 1200", "12 01 0002 000000 40 0912 0100 0001 01 02 03 01"},
		{"device qualifier: a device of one speed only", "8006 0006 0000 0a00", "stall"},
		{"configuration descriptor", "8006 0002 0000 ff00", `
			09 02 2000 01 01 00 80 32
			09 04 00 00 02 ff 43 01 00
			07 05 81 02 0002 00
			07 05 02 02 0002 00`},
		{"second configuration", "8006 0102 0000 ff00", "stall"},
		{"languages", "8006 0003 0000 ff00", "04 03 0904"},
		{"manufacturer", "8006 0103 0904 ff00", "0a 03 43 00 50 00 4e 00 53 00"},
		{"serial number", "8006 0303 0904 ff00", "0c 03 70 00 6e 00 65 00 2d 00 31 00"},
		{"string that is not there", "8006 0403 0904 ff00", "stall"},
		{"string 255", "8006 ff03 0904 ff00", "stall"},
		{"configuration", "8008 0000 0000 0100", "00"},
		{"interface before it is configured", "810a 0000 0000 0100", "stall"},
		{"halt before it is configured", "0203 0000 8100 0000", "stall"},
		{"set configuration 2", "0009 0200 0000 0000", "stall"},
		{"set configuration 257", "0009 0101 0000 0000", "stall"},
		{"set configuration 1", "0009 0100 0000 0000", ""},
		{"configuration again", "8008 0000 0000 0100", "01"},
		{"status", "8000 0000 0000 0200", "0000"},
		{"interface", "810a 0000 0000 0100", "00"},
		{"interface 1", "810a 0000 0100 0100", "stall"},
		{"set alternate setting 0", "010b 0000 0000 0000", ""},
		{"set alternate setting 1", "010b 0100 0000 0000", "stall"},
		{"halt endpoint 81", "0203 0000 8100 0000", ""},
		{"status of 81", "8200 0000 8100 0200", "0100"},
		{"status of 02", "8200 0000 0200 0200", "0000"},
		{"clear halt of 81", "0201 0000 8100 0000", ""},
		{"status of 81 again", "8200 0000 8100 0200", "0000"},
		{"halt endpoint 83", "0203 0000 8300 0000", "stall"},
		{"halt endpoint 0181", "0203 0000 8101 0000", "stall"},
		{"another feature of an endpoint", "0203 0100 8100 0000", "stall"},
		{"vendor request", "c001 0000 0000 0100", "stall"},
		{"class request", "2101 0000 0000 0000", "stall"},
		{"set configuration 0", "0009 0000 0000 0000", ""},
		{"configuration at last", "8008 0000 0000 0100", "00"},
	} {
		var setup [8]byte
		copy(setup[:], unhex(t, tt.setup))
		got, ok := d.control(setup)
		if tt.want == "stall" {
			if ok {
				t.Errorf("%s: answered % x, want a stall", tt.name, got)
			}
			continue
		}
		if want := unhex(t, tt.want); !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: got % x, %v; want % x", tt.name, got, ok, want)
		}
	}
}

// TestLongString holds that a descriptor's length fits its byte.
func TestLongString(t *testing.T) {
	for _, size := range []int{0, 126, 127, 1000} {
		b := encodeString(string(bytes.Repeat([]byte{'x'}, size)))
		if int(b[0]) != len(b) || len(b) > 254 {
			t.Errorf("%d characters: %d bytes, which say %d", size, len(b), b[0])
		}
	}
}
