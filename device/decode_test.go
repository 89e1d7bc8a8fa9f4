package device

import (
	"bytes"
	"strings"
	"testing"

	"cpns.example.net/pngw/cpns"
)

// TestDecodesAsGo changes every bit of every kind of message, and gives each of its first
// bytes every value: what is a message to one decoder is one to the other.
func TestDecodesAsGo(t *testing.T) {
	h := startHarness(t, ports[0])
	h.configure("nobody", make([]byte, 16), messages, "v")
	h.boot(0)
	v := vectors(t)[0]
	tried, taken := 0, 0
	try := func(msg []byte) {
		t.Helper()
		_, err := cpns.ParseMessage(msg)
		a := h.message(0, msg)
		if len(a.events) != 1 {
			t.Fatalf("%x: %v", msg, a.events)
		}
		// An identify for everybody is for this device too.
		if is := a.events[0].kind != kindMalformed; is != (err == nil) {
			t.Fatalf("%x: a message to C: %v; to Go: %v", msg, is, err)
		}
		tried++
		if err == nil {
			taken++
		}
	}
	everybody, err := (&cpns.Identify{}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, msg := range [][]byte{
		everybody, v.Hello, v.X25519.Hello, v.Notification, v.X25519.Notification, v.Ack, v.AckFailed[0], v.AuthChallenge, v.AuthResponse, v.Update, v.Stay,
	} {
		try(msg)
		for bit := range len(msg) * 8 {
			changed := bytes.Clone(msg)
			changed[bit/8] ^= 1 << (bit % 8)
			try(changed)
		}
		for at := range min(4, len(msg)) {
			for value := range 256 {
				changed := bytes.Clone(msg)
				changed[at] = byte(value)
				try(changed)
			}
		}
		for cut := range len(msg) {
			try(msg[:cut])
		}
		// Heads that say more than a message can hold.
		for _, head := range []string{"\x9f", "\x9c", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "\xbf", "\x5f", "\x98\x05", "\x9a\x00\x00\x00\x05"} {
			try([]byte(head + string(msg[1:])))
			try([]byte(head + string(msg[1:]) + strings.Repeat("\x00", 256-len(msg)-len(head))))
		}
	}
	if taken < 2000 || tried-taken < 10_000 {
		t.Errorf("%d messages tried, of which %d are some: that is not all", tried, taken)
	}
	t.Logf("%d messages tried, of which %d are some", tried, taken)
}
