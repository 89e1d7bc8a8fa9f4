package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

const (
	// helloSpacing is the least time between two hellos, however often the
	// gateway, or somebody in its name, asks: each makes the answer to the one
	// before worthless. It is no longer than the time in which an identify for
	// everybody has to be answered.
	helloSpacing = pne.MaxIdentifyDelay

	// sendTimeout is how long a link may take for one message.
	sendTimeout = 5 * time.Second
)

// driver moves a device: it owns the timer and carries messages between the
// device and its link.
type driver struct {
	device *pne.Device
	link   transport.Link
	again  transport.Backoff // between hellos while no EUKey is held
	events *eventWriter
	log    *slog.Logger
}

// run lives the device's life until ctx ends, and returns when the link has
// ended too.
func (d *driver) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	up, messages, ended := make(chan struct{}), make(chan []byte), make(chan error, 1)
	go func() {
		ended <- d.link.Run(ctx, transport.Handler{
			Up:      func() { pass(ctx, up, struct{}{}) },
			Message: func(m transport.Message) { pass(ctx, messages, m.Data) },
		})
	}()

	var (
		ring   = time.NewTimer(0) // rings when the next hello is due
		due    time.Time          // when that is; zero where none is
		wanted bool               // by the gateway or a new connection, not only for want of an EUKey
		last   time.Time          // of the latest hello
	)
	defer ring.Stop()
	ring.Stop() // nothing is due yet
	schedule := func(at time.Time) {
		if floor := last.Add(helloSpacing); at.Before(floor) {
			at = floor
		}
		if due.IsZero() || at.Before(due) {
			due = at
			ring.Reset(time.Until(at))
		}
	}
	for {
		select {
		case err := <-ended:
			return err
		case <-up:
			d.again.Reset()
			wanted = true
			schedule(time.Now())
		case msg := <-messages:
			if delay, asked := d.handle(ctx, msg); asked {
				wanted = true
				schedule(time.Now().Add(delay))
			}
		case <-ring.C:
			due = time.Time{}
			if !wanted && d.holds() {
				continue
			}
			if d.sayHello(ctx) {
				wanted, last = false, time.Now()
			}
			if !d.holds() {
				schedule(time.Now().Add(d.again.Next()))
			}
		}
	}
}

// holds tells whether the device holds an EUKey.
func (d *driver) holds() bool {
	_, epoch, _ := d.device.Held()
	return epoch != 0
}

// pass hands v to the driver's loop, unless ctx ends first.
func pass[T any](ctx context.Context, to chan<- T, v T) {
	select {
	case to <- v:
	case <-ctx.Done():
	}
}

// sayHello says hello and tells whether the link took it.
func (d *driver) sayHello(ctx context.Context) bool {
	msg, err := d.device.Hello()
	if err != nil {
		d.log.Error("no hello", "error", err)
		return false
	}
	if !d.send(ctx, msg) {
		return false
	}
	_, epoch, index := d.device.Held()
	d.report(event{Event: "hello", Epoch: epoch, Index: index})
	return true
}

// handle gives one message to the device, sends what it answers and reports
// what it did. asked tells that a hello is wanted, after delay.
func (d *driver) handle(ctx context.Context, msg []byte) (delay time.Duration, asked bool) {
	reply, ev := d.device.Handle(msg)
	if reply != nil {
		d.send(ctx, reply)
	}
	switch ev.Kind {
	case pne.Identify:
		d.log.Debug("asked to say hello", "everybody", ev.Everybody)
		if ev.Everybody {
			delay = rand.N(pne.MaxIdentifyDelay)
		}
		return delay, true
	case pne.Stored, pne.Authenticated, pne.UsedUp:
		d.report(event{Event: ev.Kind.String(), Gateway: ev.Gateway, Epoch: ev.Epoch, Index: ev.Index})
	case pne.Refused, pne.Malformed:
		d.report(event{Event: pne.Refused.String(), Epoch: ev.Epoch, Index: ev.Index, Reason: reason(ev)})
	case pne.Repeated, pne.Ignored:
		d.log.Debug("heard", "what", ev.Kind, "bytes", len(msg))
	}
	return 0, false
}

// reason says why a message was refused: the status that went out, if one did,
// and the cause.
func reason(ev pne.Event) string {
	if ev.Status == 0 {
		return ev.Err.Error()
	}
	return ev.Status.String() + ": " + ev.Err.Error()
}

// send sends msg to the gateway and tells whether the link took it. A message
// that is lost is asked for again.
func (d *driver) send(ctx context.Context, msg []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := d.link.Send(ctx, "", msg)
	switch {
	case errors.Is(err, transport.ErrLinkDown):
		d.log.Debug("not sent", "error", err)
	case err != nil:
		d.log.Warn("not sent", "error", err)
	}
	return err == nil
}

func (d *driver) report(e event) {
	if err := d.events.write(e); err != nil {
		d.log.Warn("writing an event", "error", err)
	}
}
