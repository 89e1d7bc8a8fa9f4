package mqtt

import (
	"context"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

// Sizes in bytes of a message down and its answer up, as a notification and its acknowledgement have.
const (
	downSize = 128
	upSize   = 64
)

// BenchmarkAnswer sends messages down, each answered by one up, through one
// mosquitto, by bare paho and by two Links in turn, so that both meet the same machine:
//
//	bare-µs, link-µs   time for a message and its answer
//	link/bare          the ratio
//
// "one" has one message under way at a time, "many" as many as a Link lets wait.
func BenchmarkAnswer(b *testing.B) {
	for name, atOnce := range map[string]int{"one": 1, "many": window} {
		b.Run(name, func(b *testing.B) {
			m := mosquitto.Start(b, nil, "allow_anonymous true")
			bare, link := bareExchange(b, m), linkExchange(b, m)
			const each = 2 * window // messages a turn
			var bareTook, linkTook time.Duration
			n := 0
			for b.Loop() {
				bareTook += exchange(bare, each, atOnce)
				linkTook += exchange(link, each, atOnce)
				n += each
			}
			perMessage := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(perMessage(bareTook), "bare-µs")
			b.ReportMetric(perMessage(linkTook), "link-µs")
			b.ReportMetric(float64(linkTook)/float64(bareTook), "link/bare")
		})
	}
}

// An exchanger sends a message down, and receives from answers when one came up.
type exchanger struct {
	send    func()
	answers <-chan struct{}
}

func exchange(e exchanger, n, atOnce int) time.Duration {
	begin := time.Now()
	for range min(n, atOnce) {
		e.send()
	}
	for i := range n {
		<-e.answers
		if i+atOnce < n {
			e.send()
		}
	}
	return time.Since(begin)
}

func bareExchange(b *testing.B, m *mosquitto.Broker) exchanger {
	b.Helper()
	answers := make(chan struct{}, window)
	dial := func(topic string, got paho.MessageHandler) paho.Client {
		c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + m.Addr()))
		if t := c.Connect(); t.Wait() && t.Error() != nil {
			b.Fatal(t.Error())
		}
		if t := c.Subscribe(topic, maxQoS, got); t.Wait() && t.Error() != nil {
			b.Fatal(t.Error())
		}
		b.Cleanup(func() { c.Disconnect(1000) })
		return c
	}
	up := make([]byte, upSize)
	dial("bare/down", func(c paho.Client, _ paho.Message) { c.Publish("bare/up", maxQoS, false, up) })
	gw := dial("bare/up", func(paho.Client, paho.Message) { answers <- struct{}{} })
	down := make([]byte, downSize)
	return exchanger{func() { gw.Publish("bare/down", maxQoS, false, down) }, answers}
}

func linkExchange(b *testing.B, m *mosquitto.Broker) exchanger {
	b.Helper()
	answers := make(chan struct{}, window)
	gw, pne := newTestLink(b, gatewayConfig(m)), newTestLink(b, pneConfig(m))
	ctx, cancel := context.WithCancel(context.Background())
	var ends, ups sync.WaitGroup
	ups.Add(2)
	start := func(l *Link, got func(transport.Message)) {
		ends.Go(func() {
			if err := l.Run(ctx, transport.Handler{Message: got, Up: ups.Done}); err != nil {
				b.Error(err)
			}
		})
	}
	b.Cleanup(func() { cancel(); ends.Wait() })
	send := func(l *Link, peer string, msg []byte) {
		if err := l.Send(ctx, peer, msg); err != nil {
			b.Error(err)
		}
	}
	up, down := make([]byte, upSize), make([]byte, downSize)
	start(pne, func(transport.Message) { send(pne, "", up) })
	start(gw, func(transport.Message) { answers <- struct{}{} })
	ups.Wait()
	return exchanger{func() { send(gw, entity, down) }, answers}
}
