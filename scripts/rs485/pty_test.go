//go:build linux

package rs485

import (
	"context"
	"slices"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/serial"
)

// TestPTYs has three programs on a line open their serial ports, as on a router and
// two devices.
func TestPTYs(t *testing.T) {
	b := New(Config{Echo: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	up, ended := make(chan struct{}, 3), make(chan error, 3)
	got := make(chan string, 9)
	var links []transport.Link
	for range 3 {
		p, err := b.NewPTY()
		if err != nil {
			t.Fatal(err)
		}
		l, err := serial.New(serial.Config{Name: "rs485", Device: p.Device()})
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
		go func() {
			ended <- l.Run(ctx, transport.Handler{
				Up:      func() { up <- struct{}{} },
				Message: func(m transport.Message) { got <- string(m.Data) },
			})
		}()
		<-up
	}
	begin := time.Now()
	var want []string
	for i, l := range links {
		text := string(rune('a'+i)) + string(make([]byte, 200))
		if err := l.Send(ctx, "", []byte(text)); err != nil {
			t.Fatal(err)
		}
		for range links {
			select {
			case m := <-got:
				want = append(want, text)
				if m != text {
					t.Errorf("got %q, want %q", m, text)
				}
			case <-ctx.Done():
				t.Fatalf("message %d has not come to all: %v", i, b)
			}
		}
	}
	if took := time.Since(begin); took < b.takes(3*200) {
		t.Errorf("600 bytes took %v, less than the line needs", took)
	}
	if len(want) != 9 || !slices.IsSorted(want) {
		t.Errorf("got %q", want)
	}
	cancel()
	for range links {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	b.Close()
}
