package againstgateway

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

// maxInbox is how many messages of the gateway's a device keeps: a gateway that floods
// must not fill this machine's memory.
const maxInbox = 1024

// A device is a PNE of the kit's, which does what a case says and nothing by itself.
type device struct {
	b      *Bench
	t      *conform.T
	entity string
	tk     []byte
	length int // of its sets
	seat   Seat

	news chan struct{} // something came from the gateway: a request, or a message

	mu       sync.Mutex
	answer   answer
	requests []*heardRequest
	assigned []assignment
	inbox    []*down
	seen     map[string]bool // what came before, byte for byte
	said     [][]byte        // hellos, the latest last, at most maxSaid
	offered  *down           // the latest notification
}

// A down is a message of the gateway's, as far as it can be read.
type down struct {
	at           time.Time
	raw          []byte
	kind         uint64
	e, g         string
	all          bool // an identify for everybody
	epoch, index uint64
	iv, sealed   []byte
	x25519, rand []byte
	canonical    bool // and of exactly the elements that its kind has
}

// device makes a PNE that nobody has heard of, and has it join. leave has to be called.
func (b *Bench) device(ctx context.Context, t *conform.T) *device {
	d, err := b.join(ctx, t)
	if err != nil {
		t.Undecided("%v", err)
	}
	return d
}

func (b *Bench) join(ctx context.Context, t *conform.T) (*device, error) {
	d := &device{b: b, t: t, entity: name(), tk: random(16), length: setLength, news: make(chan struct{}, 1), seen: make(map[string]bool)}
	seat, err := b.Medium.Join(ctx, d.entity, d.hear)
	if err != nil {
		return nil, fmt.Errorf("no way to the gateway: %w", err)
	}
	d.seat = seat
	b.server.add(d)
	return d, nil
}

// maxSaid is how many hellos a device remembers.
const maxSaid = 16

func (d *device) leave() {
	d.settle()
	d.b.server.remove(d)
	d.seat.Leave()
}

// settle takes the key that is offered, so that the gateway does not go on sending it, or
// asking for the device, on a line that the next case needs.
func (d *device) settle() {
	s := d.newest()
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*helloPause)
	defer cancel()
	d.mu.Lock()
	offered := d.offered != nil
	d.mu.Unlock()
	if !offered {
		_ = d.seat.Send(ctx, d.makeHello(wire.Hello{}))
		d.take(ctx, helloPause, kind(wire.TypeNotification))
	}
	d.mu.Lock()
	m, said := d.offered, d.said
	d.mu.Unlock()
	if m == nil || m.epoch != s.epoch || m.index == 0 || m.index > uint64(len(s.keys)) {
		return
	}
	for _, hello := range said {
		if key, ok := d.open(m, hello, nil); ok {
			d.t.Note("the device takes the key, for good manners")
			_ = d.seat.Send(ctx, d.ack(key, wire.Hash(hello), m, wire.TypeNotification)) // the gateway gives up by itself too
			return
		}
	}
}

func (d *device) hear(msg []byte) {
	m := readDown(msg)
	if !m.all && m.e != d.entity {
		return
	}
	m.at = time.Now()
	d.t.Heard(m.String(), msg)
	d.mu.Lock()
	if len(d.inbox) < maxInbox {
		d.inbox = append(d.inbox, m)
	}
	if m.kind == wire.TypeNotification {
		d.offered = m
	}
	d.mu.Unlock()
	wake(d.news)
}

// readDown takes a message apart.
func readDown(msg []byte) *down {
	m := &down{raw: slices.Clone(msg), kind: 1 << 63}
	item, rest, err := wire.Decode(m.raw)
	fields, _ := item.([]any)
	if err != nil || len(fields) < 3 {
		return m
	}
	m.kind, _ = fields[0].(uint64)
	m.e, _ = fields[1].(string)
	want := 0
	number := func(n int) (v uint64) {
		if n < len(fields) {
			v, _ = fields[n].(uint64)
		}
		return v
	}
	str := func(n int) (v []byte) {
		if n < len(fields) {
			v, _ = fields[n].([]byte)
		}
		return v
	}
	switch m.kind {
	case wire.TypeIdentify:
		m.e, _ = fields[2].(string)
		m.all, want = fields[2] == nil, 3
	case wire.TypeNotification:
		m.g, _ = fields[2].(string)
		m.epoch, m.index, m.x25519, want = number(3), number(4), str(6), 6
		if m.x25519 != nil {
			want = 7
		}
		m.readSealed(fields, 5)
	case wire.TypeAuthChallenge:
		m.g, _ = fields[2].(string)
		m.rand, want = str(3), 4
	case wire.TypeEUKeyUpdate:
		m.epoch, m.index, want = number(2), number(3), 5
		m.readSealed(fields, 4)
	}
	m.canonical = len(fields) == want && len(rest) == 0 && bytes.Equal(wire.Encode(item), m.raw)
	return m
}

func (m *down) readSealed(fields []any, n int) {
	if n >= len(fields) {
		return
	}
	parts, _ := fields[n].([]any)
	if len(parts) != 3 {
		return
	}
	protected, _ := parts[0].([]byte)
	header, _ := parts[1].(wire.MapItem)
	if bytes.Equal(protected, wire.ProtectedEncrypt0) && len(header) == 2 && header[0] == uint64(5) {
		m.iv, _ = header[1].([]byte)
		m.sealed, _ = parts[2].([]byte)
	}
}

var kinds = [...]string{"identify", "hello", "notification", "acknowledgement", "auth-challenge", "auth-response", "eukey-update"}

func (m *down) String() string {
	if m.kind >= uint64(len(kinds)) {
		return "what is no message"
	}
	switch m.kind {
	case wire.TypeNotification, wire.TypeEUKeyUpdate:
		return fmt.Sprintf("%s, epoch %d, index %d", kinds[m.kind], m.epoch, m.index)
	}
	return kinds[m.kind]
}

// say sends a message.
func (d *device) say(ctx context.Context, what string, msg []byte) {
	d.t.Sent(what, msg)
	if err := d.seat.Send(ctx, msg); err != nil && ctx.Err() == nil {
		d.t.Undecided("the way to the gateway has gone: %v", err)
	}
}

// hello says a new one that it holds epoch and index.
func (d *device) hello(ctx context.Context, epoch, index uint64) []byte {
	return d.sayHello(ctx, wire.Hello{Epoch: epoch, Index: index})
}

// sayHello says a hello with what h leaves open filled in.
func (d *device) sayHello(ctx context.Context, h wire.Hello) []byte {
	msg := d.makeHello(h)
	d.say(ctx, fmt.Sprintf("hello, epoch %d, index %d", h.Epoch, h.Index), msg)
	return msg
}

// makeHello makes one, and remembers it.
func (d *device) makeHello(h wire.Hello) []byte {
	h.E = d.entity
	if h.Nonce == nil {
		h.Nonce = random(16)
	}
	if h.Algs == nil {
		h.Algs = []int64{24}
	}
	d.mu.Lock()
	msg := h.Bytes(d.tk)
	d.said = append(d.said[max(0, len(d.said)-maxSaid+1):len(d.said):len(d.said)], msg)
	d.mu.Unlock()
	return msg
}

// take is the first message that fits, and forgets it and those before it; nil if none
// has come within d.
func (d *device) take(ctx context.Context, within time.Duration, fits func(*down) bool) *down {
	over := time.After(within)
	for {
		d.mu.Lock()
		if n := slices.IndexFunc(d.inbox, fits); n >= 0 {
			m := d.inbox[n]
			d.see(d.inbox[:n+1])
			d.inbox = slices.Delete(d.inbox, 0, n+1)
			d.mu.Unlock()
			return m
		}
		d.mu.Unlock()
		select {
		case <-d.news:
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// forget drops what has come so far.
func (d *device) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.see(d.inbox)
	d.inbox = nil
}

// see notes what has come. d.mu is held.
func (d *device) see(messages []*down) {
	for _, m := range messages {
		if len(d.seen) < maxInbox {
			d.seen[string(m.raw)] = true
		}
	}
}

func kind(k uint64) func(*down) bool { return func(m *down) bool { return m.kind == k } }

// anything is all but an identify, which a gateway may send whenever it likes, and what
// came before: a repeat may have been under way. d.mu is held.
func (d *device) anything(m *down) bool { return m.kind != wire.TypeIdentify && !d.seen[string(m.raw)] }

// silence wants nothing but identifies for as long as that is believed.
func (d *device) silence(ctx context.Context, what string) {
	if m := d.take(ctx, d.b.Quiet, d.anything); m != nil {
		d.t.Fail("nothing: "+what, m.String())
	}
}

// want is the answer of a kind; the case ends where there is none.
func (d *device) want(ctx context.Context, k uint64, to string) *down {
	m := d.take(ctx, d.b.Patience, d.anything)
	switch {
	case m == nil:
		d.t.Fail(kinds[k]+" in answer to "+to, fmt.Sprintf("nothing within %v", d.b.Patience))
	case m.kind != k:
		d.t.Fail(kinds[k]+" in answer to "+to, m.String())
	}
	return m
}

// wantRequest waits until the gateway has asked for the device n times.
func (d *device) wantRequest(ctx context.Context, n int) *heardRequest {
	over := time.After(d.b.Patience)
	for {
		if asked := d.asked(); len(asked) >= n {
			return asked[n-1]
		}
		select {
		case <-d.news:
		case <-time.After(50 * time.Millisecond): // somebody else may have had the news
		case <-over:
			d.t.Fail(fmt.Sprintf("request %d for the device", n), fmt.Sprintf("none within %v%s", d.b.Patience, d.b.server.strangers()))
		case <-ctx.Done():
			d.t.Fail(fmt.Sprintf("request %d for the device", n), "none until the case ended")
		}
	}
}

// notified says hello until the device is notified, as a device does, and gives the hello
// that was answered too.
func (d *device) notified(ctx context.Context, h wire.Hello) (hello []byte, m *down) {
	for over := time.Now().Add(d.b.Patience); time.Now().Before(over) && ctx.Err() == nil; {
		hello := d.sayHello(ctx, h)
		if m := d.take(ctx, helloPause, kind(wire.TypeNotification)); m != nil {
			return hello, m
		}
	}
	d.t.Fail("a notification of the set that the server gave", fmt.Sprintf("none within %v, though the device says hello", d.b.Patience))
	return nil, nil
}

// helloPause is how long the device waits before it says another hello; a gateway
// answers within that, if it will.
const helloPause = 1200 * time.Millisecond

// open opens a notification's EUKey under the TK.
func (d *device) open(m *down, hello, z []byte) (key []byte, ok bool) {
	n := wire.Notification{E: d.entity, G: d.b.GatewayID, Epoch: m.epoch, Index: m.index, X25519: m.x25519}
	if len(m.iv) != 12 {
		return nil, false
	}
	return wire.Open(wire.NotificationKey(d.tk, z, wire.Hash(hello), d.entity), m.iv, n.AAD(), m.sealed)
}

// openUpdate opens an eukey-update; held is the key that the device has.
func (d *device) openUpdate(m *down, held, randGW, randPNE []byte) (key []byte, ok bool) {
	u := wire.EUKeyUpdate{E: d.entity, Epoch: m.epoch, Index: m.index}
	if len(m.iv) != 12 {
		return nil, false
	}
	return wire.Open(wire.UpdateKey(d.tk, held, randGW, randPNE, d.entity), m.iv, u.AAD(d.b.GatewayID, randGW, randPNE), m.sealed)
}

// acknowledge says that key, EUKey_index, is held, by the notification that answered
// hello.
func (d *device) acknowledge(ctx context.Context, key, hello []byte, m *down) {
	d.say(ctx, "acknowledgement", wire.Acknowledgement(key, wire.Hash(hello), d.entity, d.b.GatewayID, m.epoch, m.index, wire.TypeNotification))
}
