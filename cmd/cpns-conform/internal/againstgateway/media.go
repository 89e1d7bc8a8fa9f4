package againstgateway

import (
	"context"
	"errors"
	"sync"
	"time"

	carrier "cpns.example.net/pngw/cmd/cpns-conform/internal/device"
	"cpns.example.net/pngw/internal/sleep"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt"
)

// upLimit is how long a way to the gateway may take to come up.
const upLimit = 15 * time.Second

// A line is a Medium over one serial line, which all devices share.
type line struct {
	carrier.Stream
	ended chan struct{}
	stop  context.CancelFunc

	mu    sync.Mutex
	seats map[*lineSeat]bool
}

type lineSeat struct {
	l     *line
	heard func([]byte)
}

// OverLine has the devices on a line. What it returns beside is called at the end.
func OverLine(ctx context.Context, s carrier.Stream) (Medium, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &line{Stream: s, ended: make(chan struct{}), stop: cancel, seats: make(map[*lineSeat]bool)}
	go func() {
		defer close(l.ended)
		s.Run(ctx, l.hear)
	}()
	leave := func() { cancel(); <-l.ended }
	if err := awaitUp(ctx, s.Up); err != nil {
		leave()
		return nil, nil, err
	}
	return l, leave, nil
}

func awaitUp(ctx context.Context, up func() (bool, string)) error {
	for over := time.Now().Add(upLimit); ; {
		is, why := up()
		if is {
			return nil
		}
		if time.Now().After(over) {
			return errors.New(why)
		}
		if err := sleep.For(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func (l *line) hear(msg []byte) {
	l.mu.Lock()
	var all []*lineSeat
	for s := range l.seats {
		all = append(all, s)
	}
	l.mu.Unlock()
	for _, s := range all {
		s.heard(msg)
	}
}

func (l *line) Join(_ context.Context, _ string, heard func([]byte)) (Seat, error) {
	s := &lineSeat{l, heard}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seats[s] = true
	return s, nil
}

func (s *lineSeat) Send(ctx context.Context, msg []byte) error { return s.l.Send(ctx, false, msg) }

func (s *lineSeat) Leave() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	delete(s.l.seats, s)
}

// A broker is a Medium in which each device has a connection of its own.
type broker struct{ config mqtt.Config }

// OverBroker has the devices at a broker; the configuration is what they have in common.
func OverBroker(c mqtt.Config) Medium { return &broker{c} }

func (b *broker) Retry() time.Duration { return transport.RetryMQTT }

type brokerSeat struct {
	*mqtt.Link
	stop  context.CancelFunc
	ended chan struct{}
}

func (b *broker) Join(ctx context.Context, entity string, heard func([]byte)) (Seat, error) {
	c := b.config
	c.Name, c.Role, c.Entity = "broker", mqtt.PNE, entity
	link, err := mqtt.New(c)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &brokerSeat{link, cancel, make(chan struct{})}
	go func() {
		defer close(s.ended)
		link.Run(running, transport.Handler{Message: func(m transport.Message) { heard(m.Data) }})
	}()
	err = awaitUp(ctx, func() (bool, string) {
		status := link.Status()
		return status.State == transport.Up, status.Detail
	})
	if err != nil {
		s.Leave()
		return nil, err
	}
	return s, nil
}

func (s *brokerSeat) Send(ctx context.Context, msg []byte) error { return s.Link.Send(ctx, "", msg) }

func (s *brokerSeat) Leave() {
	s.stop()
	<-s.ended
}
