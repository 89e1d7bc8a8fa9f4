package agent

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

// The benchmarks of a gateway with a thousand devices behind a real mosquitto.
// Beside each runs bare paho with messages of the same sizes, as many at once,
// through the same broker: what the broker and the client library alone take.
const benchDevices = 1000

// Sizes in bytes of the messages of a device with an Entity ID of 24 bytes.
const (
	helloSize        = 50
	notificationSize = 110
	ackSize          = 72
	challengeSize    = 54
	responseSize     = 89
	updateSize       = 102
)

// BenchmarkDeliverMQTT has a thousand devices whose sets are assigned say hello,
// and ends when each has acknowledged its key:
//
//	devices/s   delivered, each with a durable record
//	bare/s      hello, notification and acknowledgement by bare paho
//	x-bare      the ratio of the times
//	x-disk      time for each over the time of one Put in the store
//	µs-cpu      processor time of a gateway and a device for each; µs-cpu-bare that of both paho
func BenchmarkDeliverMQTT(b *testing.B) {
	broker := mosquitto.Start(b, nil, "allow_anonymous true", "max_queued_messages 0", "set_tcp_nodelay true")
	var ours, bare spent
	for b.Loop() {
		c := newMQTTCrowd(b, broker)
		ours.on(func() {
			c.everybody()
			c.await(EventDelivered)
		})
		c.stop()
		barePaho(b, broker, &bare, []int{helloSize, notificationSize, ackSize}, benchDevices)
	}
	reportBeside(b, "devices/s", ours, bare)
}

// BenchmarkAuthenticateMQTT has a thousand devices authenticated and moved on to
// their next key, 16 at once.
func BenchmarkAuthenticateMQTT(b *testing.B) {
	broker := mosquitto.Start(b, nil, "allow_anonymous true", "max_queued_messages 0", "set_tcp_nodelay true")
	c := newMQTTCrowd(b, broker)
	c.everybody()
	c.await(EventDelivered)
	var ours, bare spent
	for b.Loop() {
		results := map[ProofResult]int{}
		ours.on(func() {
			if err := c.g.Authenticate(b.Context(), AuthenticateRequest{}, func(p Proof) { results[p.Result]++ }); err != nil {
				b.Fatal(err)
			}
		})
		if results[ProofAuthenticated] != benchDevices {
			b.Fatalf("authenticated: %v", results)
		}
		barePaho(b, broker, &bare, []int{0, challengeSize, responseSize, updateSize, ackSize}, outLength)
	}
	c.stop()
	reportBeside(b, "auth/s", ours, bare)
}

// spent is the time that something has taken, and what of the processors this process
// has had for it, devices and gateway: the broker is another one.
type spent struct{ time, cpu time.Duration }

func (s *spent) on(f func()) {
	begin, cpu := time.Now(), processorTime()
	f()
	s.time += time.Since(begin)
	s.cpu += processorTime() - cpu
}

func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func reportBeside(b *testing.B, unit string, ours, bare spent) {
	n := float64(b.N * benchDevices)
	b.ReportMetric(ours.time.Seconds()/n/putTime(b).Seconds(), "x-disk")
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(n/ours.time.Seconds(), unit)
	b.ReportMetric(n/bare.time.Seconds(), "bare/s")
	b.ReportMetric(ours.time.Seconds()/bare.time.Seconds(), "x-bare")
	b.ReportMetric(ours.cpu.Seconds()/n*1e6, "µs-cpu")
	b.ReportMetric(bare.cpu.Seconds()/n*1e6, "µs-cpu-bare")
}

// putTime is how long the store takes for one durable record on this disk.
func putTime(b *testing.B) time.Duration {
	const puts = 300
	p := newParty(b)
	store, err := keystore.Open(p.dir, &p.secret)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	begin := time.Now()
	for i := range puts {
		if err := store.Put(fmt.Sprint("pne-", i), make([]byte, 300)); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begin) / puts
}

// mqttCrowd is a gateway, and devices that share one connection to the broker.
type mqttCrowd struct {
	b      *testing.B
	g      *gateway
	client paho.Client
	mu     sync.Mutex
	dev    map[string]*pne.Device
	done   map[EventKind]*atomic.Int32
	wake   chan struct{}
}

func newMQTTCrowd(b *testing.B, broker *mosquitto.Broker) *mqttCrowd {
	b.Helper()
	p := newParty(b)
	h := newHub(0)
	p.crowd(h, benchDevices)
	c := &mqttCrowd{b: b, dev: h.devices, wake: make(chan struct{}, 1), done: map[EventKind]*atomic.Int32{}}
	for _, k := range []EventKind{EventDelivered, EventAuthenticated, EventUsedUp} {
		c.done[k] = &atomic.Int32{}
	}
	c.client = connect(b, broker, "cpns/+/down", func(_ paho.Client, m paho.Message) {
		id := strings.Split(m.Topic(), "/")[1]
		c.mu.Lock()
		out, _ := c.dev[id].Handle(m.Payload())
		c.mu.Unlock()
		c.say(id, out)
	})
	link, err := mqtt.New(mqtt.Config{Name: "broker", URL: "mqtt://" + broker.Addr(), Role: mqtt.Gateway, Entity: string(testGateway), Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	c.g = p.gatewayWith(func(cfg *Config) {
		cfg.Observe = func(e Event) {
			if n := c.done[e.Kind]; n != nil && n.Add(1) == benchDevices {
				c.wake <- struct{}{}
			}
		}
	}, link)
	eventually(b, "the link is up", func() bool { return c.g.Links()[0].State != 0 })
	return c
}

func (c *mqttCrowd) say(id string, wire []byte) {
	if wire != nil {
		c.client.Publish("cpns/"+id+"/up", 1, false, wire)
	}
}

func (c *mqttCrowd) everybody() {
	for id, d := range c.dev {
		c.mu.Lock()
		wire, err := d.Hello()
		c.mu.Unlock()
		if err != nil {
			c.b.Fatal(err)
		}
		c.say(id, wire)
	}
}

func (c *mqttCrowd) await(k EventKind) {
	select {
	case <-c.wake:
	case <-time.After(20 * time.Second):
		st, _ := c.g.Status(c.b.Context())
		c.b.Fatalf("%d of %d %s; %+v %+v", c.done[k].Load(), benchDevices, k, c.g.Links(), st)
	}
}

func (c *mqttCrowd) stop() {
	c.g.stop()
	c.client.Disconnect(100)
}

func connect(b *testing.B, broker *mosquitto.Broker, topic string, got paho.MessageHandler) paho.Client {
	b.Helper()
	var id [8]byte
	rand.Read(id[:])
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + broker.Addr()).SetClientID(fmt.Sprintf("%x", id)))
	if t := c.Connect(); t.Wait() && t.Error() != nil {
		b.Fatal(t.Error())
	}
	if t := c.Subscribe(topic, 1, got); t.Wait() && t.Error() != nil {
		b.Fatal(t.Error())
	}
	return c
}

// barePaho passes messages of these sizes to and fro, a thousand times, atOnce
// of them under way: the first from the devices' side, where it is not 0.
func barePaho(b *testing.B, broker *mosquitto.Broker, took *spent, sizes []int, atOnce int) {
	b.Helper()
	payload := make([]byte, 512)
	ends := make(chan struct{}, benchDevices)
	// Each message's first byte says which of the sizes it is.
	pass := func(side string) paho.MessageHandler {
		return func(c paho.Client, m paho.Message) {
			next := int(m.Payload()[0]) + 1
			if next == len(sizes) {
				ends <- struct{}{}
				return
			}
			p := append([]byte{byte(next)}, payload[:sizes[next]-1]...)
			c.Publish(strings.TrimSuffix(m.Topic(), side)+map[string]string{"up": "down", "down": "up"}[side], 1, false, p)
		}
	}
	gw, dev := connect(b, broker, "bare/+/up", pass("up")), connect(b, broker, "bare/+/down", pass("down"))
	defer gw.Disconnect(100)
	defer dev.Disconnect(100)
	first, from, way := 0, dev, "up"
	if sizes[0] == 0 {
		first, from, way = 1, gw, "down"
	}
	start := func(i int) {
		from.Publish(fmt.Sprintf("bare/urn:dev:mac:%012x/%s", i, way), 1, false, append([]byte{byte(first)}, payload[:sizes[first]-1]...))
	}
	took.on(func() {
		for i := range atOnce {
			start(i)
		}
		for i := range benchDevices {
			select {
			case <-ends:
			case <-time.After(time.Minute):
				b.Fatalf("bare paho stopped after %d", i)
			}
			if i+atOnce < benchDevices {
				start(i + atOnce)
			}
		}
	})
}
