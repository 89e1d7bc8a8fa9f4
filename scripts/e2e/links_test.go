//go:build linux

package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/rogpeppe/go-internal/testscript"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/scripts/nullmodem"
)

// plug lays a cable; its ends have the same names each time, as the links in
// /dev/serial/by-id have.
func plug(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "plug LINE")
	c, err := nullmodem.New()
	ts.Check(err)
	r.cables[args[0]] = c
	for end, device := range map[string]string{"gw": c.A(), "pne": c.B()} {
		ts.Check(os.Symlink(device, r.path(args[0]+"."+end)))
	}
}

func unplug(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "unplug LINE")
	for _, end := range []string{"gw", "pne"} {
		ts.Check(os.Remove(r.path(args[0] + "." + end)))
	}
	ts.Check(r.cables[args[0]].Close())
	delete(r.cables, args[0])
}

func noise(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "noise LINE BYTES")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	c := r.cables[args[0]]
	for _, put := range []func([]byte) error{c.NoiseToA, c.NoiseToB} {
		p := make([]byte, n)
		rand.Read(p)
		ts.Check(put(p))
	}
}

// recorder keeps what devices publish.
type recorder struct {
	client mqtt.Client
	mu     sync.Mutex
	heard  []mqtt.Message
}

func (r *rig) connect(ts *testscript.TestScript, name string) mqtt.Client {
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + r.mqtt).SetClientID(name).SetAutoReconnect(false))
	finished(ts, client.Connect())
	return client
}

func finished(ts *testscript.TestScript, token mqtt.Token) {
	if !token.WaitTimeout(patience) {
		ts.Fatalf("the broker does not answer")
	}
	ts.Check(token.Error())
}

func (t *recorder) close() { t.client.Disconnect(100) }

func tap(ts *testscript.TestScript, r *rig, _ []string) {
	t := &recorder{client: r.connect(ts, "tap")}
	finished(ts, t.client.Subscribe("cpns/+/up", 1, func(_ mqtt.Client, m mqtt.Message) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.heard = append(t.heard, m)
	}))
	r.tap = t
}

// replay publishes everything again that devices have published, in its order.
func replay(ts *testscript.TestScript, r *rig, _ []string) {
	r.tap.mu.Lock()
	heard := append([]mqtt.Message(nil), r.tap.heard...)
	r.tap.mu.Unlock()
	if len(heard) < 2 {
		ts.Fatalf("%d messages heard, want a hello and an acknowledgement at least", len(heard))
	}
	for _, m := range heard {
		finished(ts, r.tap.client.Publish(m.Topic(), 1, false, m.Payload()))
	}
	time.Sleep(200 * time.Millisecond) // nothing must come of it: there is nothing to wait for
}

// flood says hello under Entity IDs FROM to TO that nobody has.
func flood(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "flood FROM TO")
	from, err := strconv.Atoi(args[0])
	ts.Check(err)
	to, err := strconv.Atoi(args[1])
	ts.Check(err)
	client := r.connect(ts, "flood")
	defer client.Disconnect(1000)
	for i := from; i < to; i++ {
		invented := cpns.Hello{Entity: cpns.EntityID(fmt.Sprintf("invented-%08d", i)), Algs: []int64{24}}
		rand.Read(invented.Nonce[:])
		h, err := cpns.NewHello(make(cpns.TK, 16), invented)
		ts.Check(err)
		message, err := h.Marshal()
		ts.Check(err)
		topic := fmt.Sprintf("cpns/%s/up", h.Entity)
		// Every hundredth waits for the broker, so that the queue stays short.
		if i%100 == 0 {
			finished(ts, client.Publish(topic, 1, false, message))
		} else {
			client.Publish(topic, 0, false, message)
		}
	}
}
