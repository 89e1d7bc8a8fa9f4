package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

// sendTimeout is how long a link may take for one message.
const sendTimeout = 5 * time.Second

// driver moves a device: it owns the timer and carries messages between the
// device and its link.
type driver struct {
	device *pne.Device
	hellos *pne.Schedule
	link   transport.Link
	shared *sharedLine // nil where the device is alone on its link
	events *eventWriter
	log    *slog.Logger

	program *application // nil for none
	refused refusals
}

// run lives the device's life until ctx ends, and returns when the link has
// ended too.
func (d *driver) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed chan struct{}
	if d.program != nil {
		failed = d.program.failed
		ended := make(chan struct{})
		go func() { defer close(ended); d.program.run(ctx) }()
		defer func() { cancel(); <-ended }()
	}
	up, messages, ended := make(chan struct{}), make(chan []byte), make(chan error, 1)
	go func() {
		ended <- d.link.Run(ctx, transport.Handler{
			Up:      func() { pass(ctx, up, struct{}{}) },
			Message: func(m transport.Message) { pass(ctx, messages, m.Data) },
		})
	}()

	ring := time.NewTimer(0) // rings when the next hello is due
	defer ring.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-up:
			now := time.Now()
			d.hellos.Begin(now)
			if d.shared != nil {
				d.shared.begin(now)
			}
		case msg := <-messages:
			d.handle(ctx, msg)
		case <-failed: // a hello is what brings another key
			d.hellos.Begin(time.Now().Add(d.refused.failed(time.Now())))
		case <-ring.C:
			d.sayDueHello(ctx)
		}
		ring.Stop()
		if due, ok := d.due(); ok {
			ring.Reset(time.Until(due))
		}
	}
}

// pass hands v to the driver's loop, unless ctx ends first.
func pass[T any](ctx context.Context, to chan<- T, v T) {
	select {
	case to <- v:
	case <-ctx.Done():
	}
}

// due is when the driver has to act next; ok is false where only a message or the
// link can bring that about.
func (d *driver) due() (at time.Time, ok bool) {
	at, ok = d.hellos.Due()
	if ok && d.shared != nil && at.Before(d.shared.next) {
		at = d.shared.next
	}
	return at, ok
}

// sayDueHello says the hello that is due, if it is still due and the line is free.
func (d *driver) sayDueHello(ctx context.Context) {
	now := time.Now()
	if due, ok := d.due(); !ok || due.After(now) {
		return // a message has changed that since the timer was set
	}
	if d.shared != nil && !d.shared.free(now, d.link.Status().Heard) {
		return
	}
	d.sayHello(ctx, now)
}

// sayHello says the hello that is due now.
func (d *driver) sayHello(ctx context.Context, now time.Time) {
	msg, err := d.hellos.Hello(now)
	if err != nil {
		d.log.Error("no hello", "error", err)
		d.hellos.Unsent(now)
		return
	}
	if !d.send(ctx, msg) {
		d.hellos.Unsent(time.Now())
		return
	}
	_, epoch, index := d.device.Held()
	d.report(event{Event: "hello", Epoch: epoch, Index: index})
}

// handle gives one message to the device, sends what it answers and reports
// what it did.
func (d *driver) handle(ctx context.Context, msg []byte) {
	reply, ev := d.device.Handle(msg)
	if reply != nil {
		d.send(ctx, reply)
	}
	now := time.Now()
	d.hellos.Heard(now, ev)
	if d.shared != nil {
		d.shared.line.Heard(now, ev)
	}
	switch ev.Kind {
	case pne.Identify:
		d.log.Debug("asked to say hello", "everybody", ev.Everybody)
		// Asked by its name it is spoken to, and need not wait until the line is free.
		if due, ok := d.hellos.Due(); ok && !due.After(now) && !ev.Everybody {
			d.sayHello(ctx, now)
		}
	case pne.Stored, pne.Authenticated, pne.Stayed:
		d.report(event{Event: ev.Kind.String(), Gateway: ev.Gateway, Epoch: ev.Epoch, Index: ev.Index})
		d.giveKey(now)
	case pne.Refused, pne.Malformed:
		d.report(event{Event: pne.Refused.String(), Epoch: ev.Epoch, Index: ev.Index, Reason: reason(ev)})
	case pne.Repeated, pne.Ignored:
		d.log.Debug("heard", "what", ev.Kind, "bytes", len(msg))
	}
}

// giveKey hands the program the key of the session that there is now, or tells it that
// there is none.
func (d *driver) giveKey(now time.Time) {
	if d.program == nil {
		return
	}
	identity, key, ok := d.device.ApplicationKey(d.program.label)
	if !ok {
		d.program.give(nil)
		return
	}
	d.refused.since = now
	d.program.give(&applicationKey{identity, key})
	clear(key[:])
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
