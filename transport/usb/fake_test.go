package usb

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
)

// A cable is two devices that each send what the other is written, in packets. It
// stands in for a bus, so that what is above gousb can be tested where there is none.
type cable struct {
	mu    sync.Mutex
	ends  [2]*fakeDevice // nil while nobody has it open
	cut   bool
	wakes [2]chan struct{}
}

func newCable() *cable {
	return &cable{wakes: [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}}
}

// opener returns what a Link opens end i with.
func (c *cable) opener(i int) func(*match) (device, error) {
	return func(*match) (device, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.cut {
			return nil, errNotFound
		}
		c.ends[i] = &fakeDevice{
			cable: c, end: i,
			packets: make(chan []byte, 64), gone: make(chan struct{}),
		}
		return c.ends[i], nil
	}
}

func (c *cable) disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for i, d := range c.ends {
		if d != nil {
			close(d.gone)
		}
		c.ends[i] = nil
	}
}

func (c *cable) connect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
	for _, wake := range c.wakes {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// noise puts junk on the way to both ends.
func (c *cable) noise(junk []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.ends {
		for packet := range slices.Chunk(junk, fakePacket) {
			d.packets <- packet
		}
	}
}

const fakePacket = 64

// A fakeDevice is one end of a cable.
type fakeDevice struct {
	cable   *cable
	end     int
	packets chan []byte   // to be read
	gone    chan struct{} // closed when unplugged
}

func (d *fakeDevice) String() string       { return "a fake device" }
func (d *fakeDevice) packetSize() int      { return fakePacket }
func (d *fakeDevice) clearHalt(bool) error { return nil }

func (d *fakeDevice) read(ctx context.Context, p []byte) (int, error) {
	select {
	case packet := <-d.packets:
		return copy(p, packet), nil
	case <-d.gone:
		return 0, errGone
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (d *fakeDevice) write(ctx context.Context, p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		d.cable.mu.Lock()
		peer := d.cable.ends[1-d.end]
		d.cable.mu.Unlock()
		if peer == nil {
			select { // as a device whose other side does not listen yet
			case <-d.gone:
				return sent, errGone
			case <-ctx.Done():
				return sent, ctx.Err()
			case <-time.After(time.Millisecond):
			}
			continue
		}
		n := min(len(p)-sent, fakePacket)
		select {
		case peer.packets <- append([]byte(nil), p[sent:sent+n]...):
			sent += n
		case <-d.gone:
			return sent, errGone
		case <-ctx.Done():
			return sent, ctx.Err()
		}
	}
	return len(p), nil
}

func (d *fakeDevice) close() {
	d.cable.mu.Lock()
	defer d.cable.mu.Unlock()
	if d.cable.ends[d.end] == d {
		d.cable.ends[d.end] = nil
	}
}

// testLink returns a Link that opens devices with open.
func testLink(t *testing.T, cfg Config, open func(*match) (device, error)) *Link {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "usb"
	}
	l, err := newLink(cfg, open)
	if err != nil {
		t.Fatal(err)
	}
	l.poll = transport.Backoff{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond}
	return l
}
