package againstgateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
)

// Config is what the kit was given.
type Config struct {
	GatewayID string
	Identity  string // of PSK1; "" for GatewayID
	PSK1      []byte
	User      string
	Password  []byte

	Listener net.Listener // of the server; TLS is put upon it
	TLS      *Certificates

	Medium Medium

	// Do asks the gateway to take a device in, and returns when it has been asked, or when it
	// is done; its error is what the gateway's own command said. Authenticate asks it to
	// authenticate a device. State says how the gateway calls the state of a device.
	// Restart ends the gateway without warning and starts it again. Nil: there is no such
	// command. Where there is no Do, Tell has a person do it.
	Do, Authenticate func(ctx context.Context, entity string) error
	State            func(ctx context.Context, entity string) (string, error)
	Restart          func(ctx context.Context) error
	Tell             func(text string)

	// Quiet is how long nothing has to come until that is believed; Patience how long the
	// gateway may take for what it has to do.
	Quiet, Patience time.Duration

	passwordHash []byte // Hash(Password), where that is known: it takes a while
}

// A Medium is where devices are: a line, or a broker.
type Medium interface {
	// Join brings a device there: it hears what is sent to it, and to all.
	Join(ctx context.Context, entity string, heard func(msg []byte)) (Seat, error)

	// Retry is the gateway's first wait for an answer.
	Retry() time.Duration
}

// A Seat is a device's place.
type Seat interface {
	Send(ctx context.Context, msg []byte) error
	Leave()
}

// A Stream is a Medium that carries bytes.
type Stream interface {
	Medium
	Write(ctx context.Context, b []byte) error
}

// A Bench has the gateway between the kit's server and the kit's devices.
type Bench struct {
	Config
	hash   []byte // Hash(Password)
	server *server

	mu    sync.Mutex
	epoch uint64 // the last one given
}

// New begins to serve. Close ends that.
func New(c Config) (*Bench, error) {
	if c.Identity == "" {
		c.Identity = c.GatewayID
	}
	if c.Do == nil && c.Tell == nil {
		return nil, errors.New("nobody asks the gateway to take devices in")
	}
	b := &Bench{Config: c, hash: c.passwordHash}
	if b.hash == nil {
		b.hash = wire.HashPassword(c.User, c.Password)
	}
	b.server = newServer(b)
	return b, nil
}

// Close ends the server.
func (b *Bench) Close() { b.server.close() }

// Check has the gateway take a device in, where there is a command for that, and fails
// where it does not ask the server or does not answer the device: a mistake in what kit
// or gateway were given would make every case fail, a patience long each.
func (b *Bench) Check(ctx context.Context) error {
	if b.Do == nil {
		return nil
	}
	d, err := b.join(ctx, new(conform.T))
	if err != nil {
		return err
	}
	defer d.leave()
	p := b.takeIn(ctx, d.t, d)
	defer p.end()
	over := time.Now().Add(b.Patience)
	for len(d.asked()) == 0 {
		if time.Now().After(over) {
			p.end()
			said := ""
			if p.err != nil {
				said = "; " + p.err.Error()
			}
			return fmt.Errorf("the gateway was asked to take in a device, and no request for it has come to %s within %v: is that its server, with the CA and PSK1 that --prepare names?%s%s", b.Listener.Addr(), b.Patience, b.server.strangers(), said)
		}
		if err := sleep.For(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	for time.Now().Before(over) && ctx.Err() == nil {
		if err := d.seat.Send(ctx, d.makeHello(wire.Hello{})); err != nil {
			return err
		}
		if d.take(ctx, helloPause, kind(wire.TypeNotification)) != nil {
			return nil
		}
	}
	return errors.Join(ctx.Err(), fmt.Errorf("the gateway has the keys of a device, and does not answer its hellos within %v: is this the other end of its link?", b.Patience))
}

// nextEpoch is what a server that keeps the clock's rule gives next.
func (b *Bench) nextEpoch() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	minutes := (time.Now().Unix() - time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix()) / 60
	b.epoch = max(b.epoch+1, uint64(minutes))
	return b.epoch
}

// Random is n bytes that nobody has had.
func Random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func random(n int) []byte { return Random(n) }

// A doing is a request of the user's that is under way.
type doing struct {
	ended chan struct{} // nil where a person was asked: nobody knows when
	err   error
	stop  context.CancelFunc
}

// takeIn asks the gateway to take the device in. end has to be called.
func (b *Bench) takeIn(ctx context.Context, t *conform.T, d *device) *doing {
	return b.begin(ctx, t, "take in", b.Do, d.entity,
		fmt.Sprintf("have the gateway take in the device %s for user %s (password in the file that you gave)", d.entity, b.User))
}

func (b *Bench) begin(ctx context.Context, t *conform.T, what string, how func(context.Context, string) error, entity, please string) *doing {
	t.Note("%s %s", what, entity)
	if how == nil {
		b.Tell(please)
		return &doing{stop: func() {}}
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &doing{ended: make(chan struct{}), stop: cancel}
	go func() {
		defer close(p.ended)
		p.err = how(ctx, entity)
	}()
	return p
}

// end ends it, where it has not yet.
func (p *doing) end() {
	p.stop()
	if p.ended != nil {
		<-p.ended
	}
}

// settled waits until it has ended by itself, or for as long as silence is believed.
func (p *doing) settled(ctx context.Context, b *Bench) {
	wait := b.Patience
	if p.ended == nil {
		wait = b.Quiet
	}
	select {
	case <-p.ended:
	case <-time.After(wait):
	case <-ctx.Done():
	}
}

// restart ends the gateway and starts it again.
func (b *Bench) restart(ctx context.Context, t *conform.T) {
	t.Note("the gateway is ended and started again")
	if err := b.Restart(ctx); err != nil {
		t.Undecided("%v", err)
	}
}

// name is an Entity ID that nobody has had.
func name() string { return "conform-" + strings.ToLower(rand.Text()[:16]) }
