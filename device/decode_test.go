package device

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cpns.example.net/pngw/cpns"
)

// almostMessages is every kind of message, with every bit of each changed, its first bytes
// given every value, cut off anywhere, and with heads that say what a number of fewer bits
// takes for the same.
func almostMessages(t *testing.T) (all [][]byte) {
	everybody, err := (&cpns.Identify{}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	v := vectors(t)[0]
	for _, msg := range [][]byte{
		everybody, v.Hello, v.X25519.Hello, v.Notification, v.X25519.Notification, v.Ack, v.AckFailed[0], v.AuthChallenge, v.AuthResponse, v.Update, v.Stay,
	} {
		all = append(all, msg)
		for bit := range len(msg) * 8 {
			changed := bytes.Clone(msg)
			changed[bit/8] ^= 1 << (bit % 8)
			all = append(all, changed)
		}
		for at := range min(4, len(msg)) {
			for value := range 256 {
				changed := bytes.Clone(msg)
				changed[at] = byte(value)
				all = append(all, changed)
			}
		}
		for cut := range len(msg) {
			all = append(all, msg[:cut])
		}
		// Heads that say more than a message can hold.
		for _, head := range []string{"\x9f", "\x9c", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "\xbf", "\x5f", "\x98\x05", "\x9a\x00\x00\x00\x05"} {
			all = append(all, []byte(head+string(msg[1:])), []byte(head+string(msg[1:])+strings.Repeat("\x00", 256-len(msg)-len(head))))
		}
		for at, b := range msg {
			if b&31 >= 24 {
				continue
			}
			for _, bits := range []int{8, 16, 32} {
				head := binary.BigEndian.AppendUint64([]byte{b&^31 | 27}, 1<<bits+uint64(b&31))
				all = append(all, bytes.Join([][]byte{msg[:at], head, msg[at+1:]}, nil))
			}
		}
	}
	return all
}

// wantAsGo compares what a decoder in C takes for a message with what the one in Go does.
func wantAsGo(t *testing.T, tried [][]byte, is func(at int) bool) {
	t.Helper()
	taken := 0
	for i, msg := range tried {
		_, err := cpns.ParseMessage(msg)
		if is(i) != (err == nil) {
			t.Fatalf("%x: a message to C: %v; to Go: %v", msg, is(i), err)
		}
		if err == nil {
			taken++
		}
	}
	if taken < 2000 || len(tried)-taken < 10_000 {
		t.Errorf("%d messages tried, of which %d are some: that is not all", len(tried), taken)
	}
	t.Logf("%d messages tried, of which %d are some", len(tried), taken)
}

// TestDecodesAsGo: what is a message to one decoder is one to the other.
func TestDecodesAsGo(t *testing.T) {
	h := startHarness(t, ports[0])
	h.configure("nobody", make([]byte, 16), messages, "v")
	h.boot(0)
	tried := almostMessages(t)
	wantAsGo(t, tried, func(i int) bool {
		a := h.message(0, tried[i])
		if len(a.events) != 1 {
			t.Fatalf("%x: %v", tried[i], a.events)
		}
		// An identify for everybody is for this device too.
		return a.events[0].kind != kindMalformed
	})
}

// TestDecodesAsGoOn32Bits is the same on a processor whose size_t has 32 bits, as those of
// devices have: an array of 2^32+3 elements once was one of three there.
func TestDecodesAsGoOn32Bits(t *testing.T) {
	const compiler, emulator = "arm-linux-gnueabi-gcc", "qemu-arm-static"
	for _, name := range []string{compiler, emulator} {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, "no "+name)
		}
	}
	program := filepath.Join(t.TempDir(), "decode")
	build := exec.Command(compiler, "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-ffunction-sections", "-Wl,--gc-sections",
		"-Iinclude", "-Isrc", "src/message.c", "src/cbor.c", "src/cose.c", "test/decode.c", "-o", program)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tried := almostMessages(t)
	var in bytes.Buffer
	for _, msg := range tried {
		fmt.Fprintf(&in, "%x\n", msg)
	}
	run := exec.Command(emulator, program)
	run.Stdin = &in
	out, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	is := strings.Fields(string(out))
	if len(is) != len(tried) {
		t.Fatalf("%d answers to %d messages", len(is), len(tried))
	}
	wantAsGo(t, tried, func(i int) bool { return is[i] == "1" })
}
