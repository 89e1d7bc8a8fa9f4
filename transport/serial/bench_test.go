package serial

import (
	"context"
	"fmt"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
)

// BenchmarkLine sends messages over a cable that passes 11520 bytes a second, as
// 115200 baud 8N1 does, and compares with what the line itself would need:
//
//	wire-B/msg   bytes on the line for each message
//	line-%       share of them that is message
//	x-limit      time taken over the time that the line needs for these bytes
//
// "stream" sends one message after the other, "answer" waits for an answer of the
// same size each time, as the protocol does.
func BenchmarkLine(b *testing.B) {
	for _, size := range []int{32, 128, 256, transport.MaxMessage} {
		for _, answer := range []bool{false, true} {
			mode := "stream"
			if answer {
				mode = "answer"
			}
			b.Run(fmt.Sprintf("%s/%d", mode, size), func(b *testing.B) { benchmarkLine(b, size, answer) })
		}
	}
}

// ahead is how many messages "stream" has under way.
const ahead = 4

func benchmarkLine(b *testing.B, size int, answer bool) {
	c := newCable(b, DefaultBaud)
	gw := newLink(b, Config{Name: "gateway", Device: c.ports[0]})
	pne := newLink(b, Config{Name: "pne", Device: c.ports[1]})
	msg := make([]byte, size)
	for i := range msg {
		msg[i] = byte(i * 7) // zeros among it, as in any ciphertext
	}
	ctx, cancel := context.WithCancel(b.Context())
	ups := make(chan struct{}, 2)
	there, back := make(chan struct{}, ahead+1), make(chan struct{}, 1)
	up := func() { ups <- struct{}{} }
	ended := make(chan error, 2)
	go func() {
		ended <- gw.Run(ctx, transport.Handler{Up: up, Message: func(transport.Message) { back <- struct{}{} }})
	}()
	go func() {
		ended <- pne.Run(ctx, transport.Handler{Up: up, Message: func(m transport.Message) {
			if answer {
				if err := pne.Send(ctx, "", m.Data); err != nil {
					b.Error(err)
				}
			}
			there <- struct{}{}
		}})
	}()
	<-ups
	<-ups

	begin, n := time.Now(), 0
	for b.Loop() {
		if err := gw.Send(ctx, "", msg); err != nil {
			b.Fatal(err)
		}
		if answer {
			<-back
		}
		if n++; n > ahead {
			<-there
		}
	}
	for range min(n, ahead) {
		<-there
	}
	took := time.Since(begin)
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}

	wire := float64(c.line.Carried())
	sent := float64(n)
	if answer {
		sent *= 2
	}
	limit := time.Duration(wire * 10 / DefaultBaud * float64(time.Second))
	b.ReportMetric(wire/sent, "wire-B/msg")
	b.ReportMetric(100*sent*float64(size)/wire, "line-%")
	b.ReportMetric(float64(took)/float64(limit), "x-limit")
}
