package usbip

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex reads bytes as the kernel's document writes them, in groups, with what each
// group is behind "#".
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(s) {
		code, _, _ := strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(code), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The two examples at the end of usbip_protocol.rst: an IN transfer on endpoint 1 of
// device 1-... with room for 64 bytes, and an OUT transfer of 64 bytes, as captured
// there, without their data.
const (
	documentedIn  = `00000001 00000d05 0001000f 00000001 00000001 00000200 00000040 ffffffff 00000000 00000004 00000000 00000000`
	documentedOut = `00000001 00000d06 0001000f 00000000 00000001 00000000 00000040 ffffffff 00000000 00000004 00000000 00000000`
)

func TestReadRequest(t *testing.T) {
	tests := []struct {
		name, bytes string
		want        request
	}{
		{"the document's IN", documentedIn, request{command: cmdSubmit, seq: 0xd05, in: true, ep: 1, length: 64}},
		{
			"the document's OUT",
			documentedOut + " ffffffff860008a784ce5ae212376300000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
			request{command: cmdSubmit, seq: 0xd06, ep: 1, length: 64, data: append(
				[]byte{0xff, 0xff, 0xff, 0xff, 0x86, 0, 8, 0xa7, 0x84, 0xce, 0x5a, 0xe2, 0x12, 0x37, 0x63}, make([]byte, 49)...)},
		},
		{"control", `
			00000001 # USBIP_CMD_SUBMIT
			00000001 # seqnum
			00010002 # devid
			00000001 # IN
			00000000 # endpoint 0
			00000200 # transfer_flags
			00000012 # transfer_buffer_length
			00000000 # start_frame
			00000000 # number_of_packets
			00000000 # interval
			8006000100001200 # GET_DESCRIPTOR device, 18 bytes`,
			request{command: cmdSubmit, seq: 1, in: true, length: 18, setup: [8]byte{0x80, 6, 0, 1, 0, 0, 18, 0}}},
		{"unlink", `
			00000002 # USBIP_CMD_UNLINK
			00000007 # seqnum
			00010002 00000000 00000000
			00000005 # unlink_seqnum
			000000000000000000000000000000000000000000000000`,
			request{command: cmdUnlink, seq: 7, unlink: 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := bytes.NewReader(unhex(t, tt.bytes))
			got, err := readRequest(r)
			if err != nil {
				t.Fatal(err)
			}
			data, want := got.data, tt.want.data
			got.data, tt.want.data = nil, nil
			if got.command != tt.want.command || got.seq != tt.want.seq || got.in != tt.want.in || got.ep != tt.want.ep ||
				got.length != tt.want.length || got.setup != tt.want.setup || got.unlink != tt.want.unlink || !bytes.Equal(data, want) {
				t.Errorf("got %+v with % x, want %+v with % x", got, data, tt.want, want)
			}
			if r.Len() != 0 {
				t.Errorf("%d bytes were left", r.Len())
			}
		})
	}
}

func TestReadRequestRefuses(t *testing.T) {
	const rest = "00000000 00000000 00000000 0000000000000000"
	tests := []struct{ name, bytes, want string }{
		{"command 0", "00000000 00000001 00000000 00000000 00000000 00000000 00000000" + rest, "command 0x0"},
		{"an answer", "00000003 00000001 00000000 00000000 00000000 00000000 00000000" + rest, "command 0x3"},
		{"direction 2", "00000001 00000001 00000000 00000002 00000000 00000000 00000000" + rest, "direction 2"},
		{"too long", "00000001 00000001 00000000 00000000 00000002 00000000 00004001" + rest, "transfer of 16385 bytes"},
		{"longest", "00000001 00000001 00000000 00000000 00000002 00000000 7fffffff" + rest, "transfer of 2147483647 bytes"},
		{"negative", "00000001 00000001 00000000 00000000 00000002 00000000 ffffffff" + rest, "transfer of -1 bytes"},
		{"isochronous", "00000001 00000001 00000000 00000001 00000002 00000000 00000040 00000000 00000008 00000000 0000000000000000", "isochronous"},
		{"data cut short", "00000001 00000001 00000000 00000000 00000002 00000000 00000040" + rest + "00", "unexpected EOF"},
		{"header cut short", "00000001 00000001", "unexpected EOF"},
		{"nothing", "", "EOF"},
	}
	for _, tt := range tests {
		got, err := readRequest(bytes.NewReader(unhex(t, tt.bytes)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %+v, %v; want an error with %q", tt.name, got, err, tt.want)
		}
	}
}

// TestAnswers holds answers against the same document's layouts.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got       []byte
		wantBytes string
	}{
		{"RET_SUBMIT with data", appendReturn(nil, 0xd05, 0, 3, []byte("abc")), `
			00000003 # USBIP_RET_SUBMIT
			00000d05 # seqnum
			00000000 00000000 00000000 # devid, direction, ep
			00000000 # status
			00000003 # actual_length
			00000000 00000000 00000000 # start_frame, number_of_packets, error_count
			0000000000000000 # padding
			616263`},
		{"RET_SUBMIT of OUT", appendReturn(nil, 0xd06, 0, 64, nil), `
			00000003 00000d06 00000000 00000000 00000000 00000000 00000040 00000000 00000000 00000000 0000000000000000`},
		{"RET_SUBMIT with a stall", appendReturn(nil, 1, statusStall, 0, nil), `
			00000003 00000001 00000000 00000000 00000000
			ffffffe0 # -EPIPE, which is 32 everywhere
			00000000 00000000 00000000 00000000 0000000000000000`},
		{"RET_UNLINK", appendUnlinked(nil, 7, -104), `
			00000004 # USBIP_RET_UNLINK
			00000007 # seqnum
			00000000 00000000 00000000
			ffffff98 # -ECONNRESET, as most architectures have it
			000000000000000000000000000000000000000000000000`},
	} {
		if want := unhex(t, tt.wantBytes); !bytes.Equal(tt.got, want) {
			t.Errorf("%s:\n got %x\nwant %x", tt.name, tt.got, want)
		}
	}
}

// FuzzReadRequest holds that no host makes the device panic or keep more than it may.
func FuzzReadRequest(f *testing.F) {
	f.Add(unhex(f, documentedIn))
	f.Add(append(unhex(f, documentedOut), make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRequest(bytes.NewReader(b))
		if err != nil {
			return
		}
		if q.length > maxTransfer || len(q.data) > maxTransfer || !q.in && q.command == cmdSubmit && len(q.data) != q.length {
			t.Errorf("accepted %+v", q)
		}
		if _, ok := newDevice("s").control(q.setup); ok && q.setup[0]&0x60 != 0 {
			t.Errorf("answered a request of a class or vendor: % x", q.setup)
		}
	})
}
