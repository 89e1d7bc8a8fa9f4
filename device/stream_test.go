package device

import (
	"bytes"
	"fmt"
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// TestFraming takes the framing vectors: what the device can say comes out as they have
// it, and of what comes in, messages of up to 256 bytes are taken out of their frames
// (and are none of the protocol's), longer ones dropped.
func TestFraming(t *testing.T) {
	h := startHarness(t, ports[0])
	h.configure("e", make([]byte, 16), stream, "v")
	h.boot(0)
	made, taken, dropped := 0, 0, 0
	read(t, "../transport/testdata", "protocol*.json", func(f struct {
		Framing []struct{ Message, Frame hexBytes }
	}) {
		for _, v := range f.Framing {
			if len(v.Message) > 0 && len(v.Message) <= 172 {
				made++
				if got := h.do("frame %x", v.Message).result[0]; got != fmt.Sprintf("%x", v.Frame) {
					t.Errorf("the frame of %x\n got %s\nwant %x", v.Message, got, v.Frame)
				}
			}
			for _, step := range []int{1, 1000} {
				a := h.do("feed 0 %x %d", v.Frame, step)
				if len(v.Message) > 256 {
					dropped++
					if len(a.events) != 0 {
						t.Errorf("a frame of %d bytes got %v", len(v.Message), a.events)
					}
					continue
				}
				taken++
				if len(a.events) != 1 || a.events[0].kind != kindMalformed {
					t.Errorf("the frame of %x got %v, want one message", v.Message, a.events)
				}
			}
		}
	})
	if got := h.do("dropped").result[0]; got != fmt.Sprint(dropped) {
		t.Errorf("%s frames dropped, want %d", got, dropped)
	}
	if made < 3 || taken < 10 || dropped < 4 {
		t.Errorf("%d frames made, %d taken, %d dropped: that is not all vectors", made, taken, dropped)
	}
}

// TestFrames makes and takes messages of every length, with zeros at every place.
func TestFrames(t *testing.T) {
	h := startHarness(t, ports[0])
	for size := 1; size <= 172; size++ {
		msg := make([]byte, size)
		for i := range msg {
			msg[i] = byte((i + size) % 5 * 51)
		}
		if got := h.do("frame %x", msg).result[0]; got != fmt.Sprintf("%x", transport.EncodeFrame(nil, msg)) {
			t.Fatalf("the frame of %x is %s", msg, got)
		}
	}
}

// TestStream feeds 64 kB at once, and a byte at a time: noise, half frames, giant frames,
// and identifies in between, each of which is answered.
func TestStream(t *testing.T) {
	identify, err := (&cpns.Identify{Entity: "e"}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	frame := transport.EncodeFrame(nil, identify)
	var all []byte
	asked := 0
	for i := 0; len(all) < 1<<16; i++ {
		switch i % 4 {
		case 0:
			all = append(all, bytes.Repeat([]byte{byte(i)}, i%700)...)
		case 1:
			all = append(all, frame[:i%(len(frame)-1)]...)
		case 2:
			all = append(all, bytes.Repeat([]byte{0xff, 1, 2}, 100+i%300)...)
		}
		all = append(all, frame...)
		asked++
	}
	for _, step := range []int{1, 13, len(all)} {
		h := startHarness(t, ports[0])
		h.configure("e", make([]byte, 16), stream, "v")
		h.boot(0)
		a := h.do("feed 5000 %x %d", all, step)
		heard := 0
		for _, e := range a.events {
			if e.kind == kindIdentify {
				heard++
			}
		}
		if heard != asked || len(a.said) != asked {
			t.Errorf("%d bytes at a time: %d identifies heard and %d answered, want %d", step, heard, len(a.said), asked)
		}
	}
}

// TestBadConfig: what a device cannot be made of is refused.
func TestBadConfig(t *testing.T) {
	h := startHarness(t, ports[0])
	for _, c := range []struct {
		entity string
		tk     int
		link   link
		flags  string
		want   string
	}{
		{"e", 16, serial, "-", "0"},
		{"-", 16, serial, "-", "0"},
		{"\x7f", 16, serial, "-", "1"}, // empty
		{"a\x7f", 16, serial, "-", "1"},
		{string(bytes.Repeat([]byte{'e'}, 64)), 64, serial, "-", "0"},
		{string(bytes.Repeat([]byte{'e'}, 65)), 64, serial, "-", "1"},
		{"e", 15, serial, "-", "2"},
		{"e", 65, serial, "-", "2"},
		{"e", 16, serial, "xc", "3"},
		{"e", 16, 3, "-", "5"},
	} {
		h.configure(c.entity, make([]byte, c.tk), c.link, c.flags)
		if got := h.do("boot 0").result[0]; got != c.want {
			t.Errorf("%q, a TK of %d bytes, link %d, %s: %s, want %s", c.entity, c.tk, c.link, c.flags, got, c.want)
		}
	}
}

// TestWipe: an EUKey is in memory once, the one before it is not, and of a device that was
// wiped nothing is left.
func TestWipe(t *testing.T) {
	v := vectors(t)[0]
	d := newTwin(t, ports[0], &v, "")
	d.hold(1)
	if got := d.do("secret %x", v.EUKeys[0]).result[0]; got != "1" {
		t.Fatalf("the EUKey that is held is in memory %s times, want once", got)
	}
	d.do("script %x", v.RandPNE)
	d.message(d.now, v.AuthChallenge)
	d.message(d.now, v.Update)
	if got := d.do("secret %x", v.EUKeys[0]).result[0]; got != "0" {
		t.Error("the EUKey before is still in memory")
	}
	d.do("wipe")
	for what, secret := range map[string][]byte{"EUKey": v.EUKeys[1], "session key": v.UpdateSession} {
		if got := d.do("secret %x", secret).result[0]; got != "0" {
			t.Errorf("the %s is still in memory", what)
		}
	}
}

// TestSharedLine: the first hello waits until nobody speaks: 20 ms after the last byte, and
// where another was spoken to, until that one has answered or 600 ms have gone.
func TestSharedLine(t *testing.T) {
	frame := func(m cpns.Message, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return transport.EncodeFrame(nil, b)
	}
	challenge := frame(&cpns.AuthChallenge{Entity: "other", Gateway: "gw"}, nil)
	answer := frame(cpns.NewFailedAcknowledgement(cpns.AckStale, "other", 1, 1), nil)
	third := frame(cpns.NewFailedAcknowledgement(cpns.AckStale, "third", 1, 1), nil)
	for _, test := range []struct {
		name  string
		hears map[int][]byte // so many milliseconds before it looks at the line
		says  bool
	}{
		{"silence", nil, true},
		{"a byte 19 ms ago", map[int][]byte{19: {1}}, false},
		{"a byte 20 ms ago", map[int][]byte{20: {1}}, true},
		{"a challenge for another", map[int][]byte{45: challenge}, false},
		{"and its answer", map[int][]byte{45: challenge, 40: answer}, true},
		{"and a third one's", map[int][]byte{45: challenge, 40: third}, false},
	} {
		h := startHarness(t, ports[0])
		h.configure("own", make([]byte, 16), serial, "v")
		h.boot(0)
		h.do("up 1000")
		var wait int
		if _, err := fmt.Sscan(h.do("poll 1000").result[0], &wait); err != nil || wait < 20 || wait >= 270 {
			t.Fatalf("%s: it looks after %d ms, want 20 to 269", test.name, wait)
		}
		look := max(1000+wait, 1060)
		for before := 60; before > 0; before-- {
			if bytes := test.hears[before]; bytes != nil {
				h.do("feed %d %x", look-before, bytes)
			}
		}
		a := h.do("poll %d", look)
		if says := len(a.said) == 1; says != test.says {
			t.Errorf("%s: it said %x, want a hello: %v", test.name, a.said, test.says)
		}
	}
}
