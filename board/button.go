package board

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Button is a key of the router, pressed for long. It is heard of by either of two
// ways, whichever the kernel has: input events (the driver gpio-keys; Documentation/input/
// of the kernel's sources), or the uevents that OpenWrt's gpio-button-hotplug sends.
type Button struct {
	cfg     ButtonConfig
	board   *Board
	wake    <-chan struct{}
	uevents <-chan press

	mu    sync.Mutex
	heard string // how it is listened to, or why it is not
	fault bool
}

// ButtonConfig says which key it is.
type ButtonConfig struct {
	Key    Key
	Device string        // the input device's name, "" for whichever of the board's own has the key
	Hold   time.Duration // how long it has to be pressed
}

// A Key is one by its code and by the name that OpenWrt has for it, "" for none.
type Key struct {
	Code uint16
	Name string
}

// keys are those of input-event-codes.h that OpenWrt's buttons have names for, but for
// reset and power: what is done there with those for long is not to be done by chance.
var keys = [...]Key{{0x211, "wps"}, {247, "rfkill"}, {238, "wlan"}, {0x100, "BTN_0"}, {0x101, "BTN_1"}, {0x102, "BTN_2"}, {0x103, "BTN_3"}}

const (
	keyRestart = 0x198
	keyPower   = 116
	maxKey     = 0x2ff
)

// ParseKey takes a key by its name, or by its code.
func ParseKey(s string) (Key, error) {
	code, err := strconv.ParseUint(s, 0, 16)
	names := ""
	for _, k := range keys {
		if s == k.Name || err == nil && uint16(code) == k.Code {
			return k, nil
		}
		names += k.Name + ", "
	}
	switch {
	case s == "reset" || s == "power" || code == keyRestart || code == keyPower:
		return Key{}, fmt.Errorf("%q: OpenWrt erases its settings, or switches itself off, when that button is pressed for long: take another", s)
	case err != nil || code == 0 || code > maxKey:
		return Key{}, fmt.Errorf("%q: want %sor a code of linux/input-event-codes.h, such as 0x211", s, names)
	}
	return Key{Code: uint16(code)}, nil
}

// press is a key that was pressed, or let go. The zero value says that news was lost.
type press struct {
	name string
	down bool
}

// NewButton makes a Button, which is heard of once Run runs.
func (b *Board) NewButton(cfg ButtonConfig, h *Hotplug) *Button {
	return &Button{cfg: cfg, board: b, wake: h.Watch("input"), uevents: h.listen()}
}

// State says how the button is listened to, or why it is not; fault says that this is
// for a person to mend.
func (b *Button) State() (text string, fault bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heard, b.fault
}

// An Input is an input device that has the key.
type Input struct {
	Node string // /dev/input/event0
	Name string
}

// busHost is the bus of what is soldered in: BUS_HOST of linux/input.h.
const busHost = "0019"

// maxInputs bounds the devices that are listened to.
const maxInputs = 4

// Inputs are the input devices that have the key, at most a few.
func (b *Board) Inputs(cfg *ButtonConfig) (found []Input) {
	for _, event := range b.glob("sys/class/input/event*") {
		device := event + "/device/"
		name := b.firstText(device + "name")
		own := b.firstText(device+"id/bustype") == busHost
		if len(found) == maxInputs || cfg.Device != "" && name != cfg.Device || cfg.Device == "" && !own {
			continue
		}
		if has(b.firstText(device+"capabilities/key"), cfg.Key.Code) {
			found = append(found, Input{filepath.Join(b.root, "dev/input", filepath.Base(event)), name})
		}
	}
	return found
}

// has looks a bit up in a bitmap as the kernel prints it: words of its long, in hex,
// the highest first.
func has(bitmap string, bit uint16) bool {
	words := strings.Fields(bitmap)
	i := len(words) - 1 - int(bit)/strconv.IntSize
	if i < 0 {
		return false
	}
	word, err := strconv.ParseUint(words[i], 16, strconv.IntSize)
	return err == nil && word>>(bit%strconv.IntSize)&1 == 1
}

// Run calls pressed each time that the key has been held down for as long as it takes,
// once for each press, until ctx ends.
func (b *Button) Run(ctx context.Context, pressed func()) {
	var reading sync.WaitGroup
	defer reading.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan press)
	open := map[string]bool{}
	closed := make(chan string)
	look := time.NewTimer(0)
	defer look.Stop()
	held := time.NewTimer(time.Hour)
	held.Stop()
	defer held.Stop()
	key := func(p press) {
		held.Stop()
		if p.down {
			held.Reset(b.cfg.Hold)
		}
	}
	wake, retry := b.wake, again(0)
	for {
		select {
		case _, more := <-wake:
			if !more {
				wake = nil
			}
			retry = 0
			look.Reset(0)
		case node := <-closed:
			delete(open, node)
			look.Reset(time.Second) // it has gone, or news was lost
		case <-look.C:
			if b.look(ctx, open, events, closed, &reading) || wake == nil {
				look.Reset(retry.next())
			} else {
				retry = 0
			}
		case p := <-b.uevents:
			if p == (press{}) || b.cfg.Key.Name != "" && p.name == b.cfg.Key.Name {
				key(p)
			}
		case p := <-events:
			key(p)
		case <-held.C:
			pressed()
		case <-ctx.Done():
			return
		}
	}
}

// look opens those devices that are there and not open, and says whether there are some
// that it could not open.
func (b *Button) look(ctx context.Context, open map[string]bool, events chan<- press, closed chan<- string, reading *sync.WaitGroup) (denied bool) {
	var heard, refused []string
	for _, in := range b.board.Inputs(&b.cfg) {
		if !open[in.Node] {
			f, err := openInput(in.Node)
			if err != nil {
				refused = append(refused, err.Error())
				continue
			}
			open[in.Node] = true
			reading.Go(func() {
				b.read(ctx, f, events)
				select {
				case closed <- in.Node:
				case <-ctx.Done():
				}
			})
		}
		heard = append(heard, in.Name+" ("+in.Node+")")
	}
	text, fault := strings.Join(append(heard, refused...), "; "), len(refused) > 0
	if text == "" {
		text = "OpenWrt's button events"
		if lacks := b.board.LacksButton(&b.cfg); lacks != "" {
			text, fault = lacks, true
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard, b.fault = text, fault
	return len(refused) > 0
}

func openInput(node string) (*os.File, error) {
	f, err := os.OpenFile(node, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("no permission to read %s: on OpenWrt service pngw reload gives it; elsewhere the agent's user has to be in the group that it has", node)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is not here, though the kernel has the device: in OpenWrt's jail it is after service pngw restart", node)
	}
	return f, err
}

// Of input-event-codes.h.
const (
	evSyn, evKey       = 0, 1
	synDropped         = 3
	valueUp, valueDown = 0, 1
)

// read hands on what becomes of the key, until the device is gone or ctx ends. An
// input_event is a time of two longs, type and code of 16 bits, a value of 32.
func (b *Button) read(ctx context.Context, f *os.File, events chan<- press) {
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(past) })
	defer stop()
	tell := func(down bool) {
		select {
		case events <- press{down: down}:
		case <-ctx.Done():
		}
	}
	const size = 2*strconv.IntSize/8 + 8
	var buf [64 * size]byte
	for {
		n, err := f.Read(buf[:])
		for e := buf[:n-n%size]; len(e) > 0; e = e[size:] {
			at := e[size-8:]
			kind, code, value := binary.NativeEndian.Uint16(at), binary.NativeEndian.Uint16(at[2:]), binary.NativeEndian.Uint32(at[4:])
			switch {
			case kind == evSyn && code == synDropped:
				tell(false) // whether it is still pressed nobody knows
			case kind == evKey && code == b.cfg.Key.Code && (value == valueUp || value == valueDown):
				tell(value == valueDown)
			}
		}
		if err != nil {
			tell(false)
			return
		}
	}
}
