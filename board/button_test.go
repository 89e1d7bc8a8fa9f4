package board

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseKey(t *testing.T) {
	for s, want := range map[string]Key{
		"wps": {0x211, "wps"}, "0x211": {0x211, "wps"}, "529": {0x211, "wps"}, "BTN_0": {0x100, "BTN_0"}, "30": {30, ""},
	} {
		if got, err := ParseKey(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for s, says := range map[string]string{
		"reset": "erases", "power": "erases", "408": "erases", "0x74": "erases",
		"": "want wps, ", "0": "want wps, ", "768": "want wps, ", "-1": "want wps, ", "wsp": "want wps, ", "65536": "want wps, ",
	} {
		if got, err := ParseKey(s); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v, want %q", s, got, err, says)
		}
	}
}

// bitmap prints a bitmap as the kernel does.
func bitmap(bits ...int) string {
	words := make([]uint64, 768/strconv.IntSize)
	for _, b := range bits {
		words[len(words)-1-b/strconv.IntSize] |= 1 << (b % strconv.IntSize)
	}
	text := fmt.Sprintf("%x", words)
	return strings.TrimLeft(strings.Trim(text, "[]"), "0 ") + "\n"
}

func TestHas(t *testing.T) {
	text := bitmap(0x211, 30, 0)
	for bit, want := range map[uint16]bool{0x211: true, 30: true, 0: true, 0x210: false, 0x212: false, 31: false, 62: false, 94: false, 0x2ff: false, 0xffff: false} {
		if has(text, bit) != want {
			t.Errorf("%d in %q: want %v", bit, text, want)
		}
	}
	for _, text := range []string{"", "\n", "xyz", strings.Repeat("f", 40)} {
		if has(text, 3) {
			t.Errorf("%q has it", text)
		}
	}
}

// inputs is a board with a button of its own, a keyboard with the same key, and a
// button with another.
func inputs(t *testing.T) *Board {
	device := func(n int, name, bus, keys string) map[string]string {
		dir := fmt.Sprintf("sys/class/input/event%d/device/", n)
		return map[string]string{dir + "name": name + "\n", dir + "id/bustype": bus + "\n", dir + "capabilities/key": keys}
	}
	all := map[string]string{"dev/input/x": ""}
	for _, d := range []map[string]string{
		device(0, "gpio-keys", "0019", bitmap(0x211)), device(1, "A Keyboard", "0003", bitmap(30, 0x211)), device(2, "keys", "0019", bitmap(0x198)),
	} {
		for name, text := range d {
			all[name] = text
		}
	}
	return New(lay(t, all))
}

// TestInputs: a key of a keyboard that somebody has plugged in is not the router's
// button, unless it is configured by name.
func TestInputs(t *testing.T) {
	b := inputs(t)
	for device, want := range map[string]string{"": "event0", "A Keyboard": "event1", "keys": "", "nobody": ""} {
		got := ""
		for _, in := range b.Inputs(&ButtonConfig{Key: Key{Code: 0x211}, Device: device}) {
			got += filepath.Base(in.Node)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", device, got, want)
		}
	}
}

// TestButtonHeld: a press counts when the key has been down for as long as it takes, once,
// and not where it was let go before, where news was lost, or where it was another key.
func TestButtonHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHotplug(nil)
		b := New(t.TempDir()).NewButton(ButtonConfig{Key: Key{0x211, "wps"}, Hold: 3 * time.Second}, h)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var n atomic.Int32
		go b.Run(ctx, func() { n.Add(1) })
		after := func(d time.Duration, what string, want int32) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := n.Swap(0); got != want {
				t.Errorf("%s: %d presses, want %d", what, got, want)
			}
		}
		down, up := uevent{"pressed", "button", "", "wps"}, uevent{"released", "button", "", "wps"}
		h.wake(down)
		after(2999*time.Millisecond, "too early", 0)
		after(2*time.Millisecond, "held", 1)
		after(time.Hour, "held for an hour", 0)
		h.wake(up)
		h.wake(down)
		after(2*time.Second, "short", 0)
		h.wake(up)
		after(time.Hour, "let go", 0)
		h.wake(uevent{"pressed", "button", "", "reset"})
		after(time.Hour, "another button", 0)
		h.wake(down)
		h.wakeAll()
		after(time.Hour, "news was lost", 0)
		for first := range 2 { // more than are kept, an odd number and an even one
			for range 40 + first {
				h.wake(up)
			}
			h.wake(down)
			h.wake(up)
			after(time.Hour, "too many at once", 0)
		}
	})
}

// event is an input_event of this machine's kernel.
func event(kind, code uint16, value int32) []byte {
	e := make([]byte, 2*strconv.IntSize/8)
	e = binary.NativeEndian.AppendUint16(e, kind)
	e = binary.NativeEndian.AppendUint16(e, code)
	return binary.NativeEndian.AppendUint32(e, uint32(value))
}

// TestButtonEvents: of what an input device says, the key counts, and that events were
// lost is the end of a press; a device that goes away ends it too.
func TestButtonEvents(t *testing.T) {
	b := inputs(t)
	node := filepath.Join(b.root, "dev/input/event0")
	if err := syscall.Mkfifo(node, 0o600); err != nil {
		t.Fatal(err)
	}
	button := b.NewButton(ButtonConfig{Key: Key{0x211, "wps"}}, NewHotplug(nil))
	f, err := openInput(node)
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(node, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan press)
	go button.read(t.Context(), f, events)
	next := func(want bool, what string) {
		t.Helper()
		select {
		case p := <-events:
			if p.down != want {
				t.Errorf("%s: down is %v", what, p.down)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s: nothing", what)
		}
	}
	var all []byte
	for _, e := range [][]byte{
		event(evKey, 0x210, 1), event(4, 0x211, 1), event(evKey, 0x211, 1), event(evSyn, 0, 0),
		event(evKey, 0x211, 2), event(evKey, 0x211, 2), event(evKey, 0x211, 0),
		event(evKey, 0x211, 1), event(evSyn, synDropped, 0),
		event(evKey, 0x211, 1),
	} {
		all = append(all, e...)
	}
	if _, err := w.Write(all); err != nil {
		t.Fatal(err)
	}
	next(true, "pressed")
	next(false, "let go")
	next(true, "pressed again")
	next(false, "events lost")
	next(true, "pressed a third time")
	w.Close()
	next(false, "gone")
}

// TestButtonState: what is in the way is told in words.
func TestButtonState(t *testing.T) {
	b := inputs(t)
	look := func(b *Board, cfg ButtonConfig) (string, bool) {
		button := b.NewButton(cfg, NewHotplug(nil))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			button.Run(ctx, func() {})
		}()
		for {
			if text, fault := button.State(); text != "" {
				cancel()
				<-ended
				return text, fault
			}
		}
	}
	wps := ButtonConfig{Key: Key{0x211, "wps"}}
	if text, fault := look(b, wps); !fault || !strings.Contains(text, "event0 is not here") {
		t.Errorf("without a node: %q, %v", text, fault)
	}
	if text, fault := look(New(t.TempDir()), wps); !fault || !strings.Contains(text, "no input device has it") {
		t.Errorf("without a button: %q, %v", text, fault)
	}
	openwrt := New(lay(t, map[string]string{"sys/module/gpio_button_hotplug/x": ""}))
	if text, fault := look(openwrt, wps); fault || !strings.Contains(text, "OpenWrt's button events") {
		t.Errorf("OpenWrt's: %q, %v", text, fault)
	}
	if text, fault := look(openwrt, ButtonConfig{Key: Key{30, ""}}); !fault {
		t.Errorf("OpenWrt's, and a key that it has no name for: %q", text)
	}
	if err := syscall.Mkfifo(filepath.Join(b.root, "dev/input/event0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, fault := look(b, wps); fault || !strings.HasPrefix(text, "gpio-keys (") {
		t.Errorf("with a node: %q, %v", text, fault)
	}
}

// TestLacksButton: who names a key that the board does not have is told which it has.
func TestLacksButton(t *testing.T) {
	b := inputs(t)
	rfkill, wps := Key{247, "rfkill"}, Key{0x211, "wps"}
	module := map[string]string{"sys/module/gpio_button_hotplug/x": ""}
	tree := map[string]string{
		"sys/module/gpio_button_hotplug/x":        "",
		"proc/device-tree/keys/reset/linux,code":  "\x00\x00\x01\x98",
		"proc/device-tree/keys/rfkill/linux,code": "\x00\x00\x00\xf7",
		"proc/device-tree/keys/odd/linux,code":    "\x00",
	}
	for _, tt := range []struct {
		name  string
		board *Board
		cfg   ButtonConfig
		want  []string // none where it is there
	}{
		{"there", b, ButtonConfig{Key: wps}, nil},
		{"another", b, ButtonConfig{Key: rfkill}, []string{"no input device has it", "gpio-keys has wps", "keys has reset"}},
		{"another's", b, ButtonConfig{Key: Key{30, ""}}, []string{"no input device has it", "A Keyboard is no button of the board's own", "option button_device 'A Keyboard'"}},
		{"a board without any", New(t.TempDir()), ButtonConfig{Key: wps}, []string{"no input device has it; this board has no button that the kernel shows"}},
		{"OpenWrt's module", New(lay(t, module)), ButtonConfig{Key: wps}, nil},
		{"OpenWrt's module, a key without a name", New(lay(t, module)), ButtonConfig{Key: Key{30, ""}}, []string{"no input device has it"}},
		{"in the device tree", New(lay(t, tree)), ButtonConfig{Key: rfkill}, nil},
		{"not in the device tree", New(lay(t, tree)), ButtonConfig{Key: wps}, []string{"this router has other buttons: reset, rfkill"}},
	} {
		got := tt.board.LacksButton(&tt.cfg)
		if len(tt.want) == 0 && got != "" {
			t.Errorf("%s: %q", tt.name, got)
		}
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q in it", tt.name, got, want)
			}
		}
	}
}
