package againstgateway

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

// TestByHand: where a person does what the kit asks for, and nothing else can be done, the
// cases that are left pass.
func TestByHand(t *testing.T) {
	var people sync.WaitGroup
	defer people.Wait()
	needs := map[string]bool{
		"auth-next": true, "auth-unacknowledged": true, // --authenticate
		"restart-stored": true, "restart-proved": true, "restart-alarm": true, // --restart
		"link-topic": true, // a broker
	}
	tryToy(t, "", func(c *Config, g *toy) {
		c.Do, c.Authenticate, c.State, c.Restart = nil, nil, nil, nil
		entity := regexp.MustCompile(`conform-[a-z0-9]+`)
		c.Tell = func(text string) {
			people.Go(func() {
				time.Sleep(4 * time.Second)
				g.do(context.Background(), entity.FindString(text))
			})
		}
	}, func(t *testing.T, r *report) {
		people.Wait()
		for _, c := range r.Cases {
			want := "pass"
			if needs[c.Name] {
				want = "not applicable"
			}
			if c.Verdict != want {
				t.Errorf("%s: %s, want %s; expected %s, seen %s%s", c.Name, c.Verdict, want, c.Expected, c.Seen, c.Reason)
			}
		}
	})
}

// TestFlood: a gateway that sends without end costs the kit the time of a case.
func TestFlood(t *testing.T) {
	var medium *keeper
	var stop context.CancelFunc
	var flooding sync.WaitGroup
	tryToy(t, "", func(c *Config, g *toy) {
		medium = &keeper{Medium: c.Medium}
		c.Medium = medium
		var ctx context.Context
		ctx, stop = context.WithCancel(context.Background())
		flooding.Go(func() {
			for n := uint64(0); ctx.Err() == nil; n++ {
				for _, e := range medium.names() {
					junk := wire.Notification{E: e, G: "gw-1", Epoch: n, Index: 1, IV: random(12), Ciphertext: random(48)}
					g.send(junk.Bytes())
				}
				g.send(bytes.Repeat([]byte{0x81}, 512))
				time.Sleep(time.Millisecond)
			}
		})
	}, func(t *testing.T, r *report) {
		stop()
		flooding.Wait()
		for _, c := range r.Cases {
			if quiet := c.Name == "hello-stranger" || c.Name == "auth-alarm"; quiet && c.Verdict != "fail" || c.Verdict == "undecided" || c.Seconds > 300 {
				t.Errorf("%s: %s, in %.0f s", c.Name, c.Verdict, c.Seconds)
			}
		}
	}, "--only", "notification-key,notification-repeats,hello-stranger,auth-alarm")
}

// TestFullInbox: what a device keeps of what comes is bounded.
func TestFullInbox(t *testing.T) {
	d := &device{b: &Bench{}, t: new(conform.T), entity: "e", news: make(chan struct{}, 1), seen: make(map[string]bool)}
	for n := range uint64(5 * maxInbox) {
		junk := wire.Notification{E: "e", G: "g", Epoch: n, Index: 1, IV: random(12), Ciphertext: random(48)}
		d.hear(junk.Bytes())
		if n%1000 == 999 {
			if d.take(t.Context(), 0, func(m *down) bool { return m.epoch == n-500 }) == nil && n < maxInbox {
				t.Errorf("message %d is lost", n-500)
			}
		}
		if n == 3*maxInbox {
			d.forget()
		}
	}
	if len(d.inbox) > maxInbox || len(d.seen) > maxInbox || len(d.inbox) == 0 || len(d.seen) == 0 {
		t.Errorf("%d messages waiting, %d remembered", len(d.inbox), len(d.seen))
	}
}

// A keeper knows whom it has let in.
type keeper struct {
	Medium
	mu  sync.Mutex
	all []string
}

func (k *keeper) Join(ctx context.Context, entity string, heard func([]byte)) (Seat, error) {
	k.mu.Lock()
	k.all = []string{entity}
	k.mu.Unlock()
	return k.Medium.Join(ctx, entity, heard)
}

func (k *keeper) names() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all
}

// TestHostileRequests: what comes to the kit's server in place of a request is refused,
// and kept in bounds.
func TestHostileRequests(t *testing.T) {
	b := &Bench{Config: Config{PSK1: random(32), Identity: "gw-1", GatewayID: "gw-1"}}
	seal := func(plaintext []byte) []byte {
		body := wire.SealBody(wire.Key(b.PSK1, nil, wire.InfoRequest), []byte("gw-1"), random(12), plaintext)
		return body.Bytes()
	}
	fields := [][]byte{wire.Text("e"), wire.Text("u"), wire.Bytes(random(32)), wire.Uint(1), wire.Bytes(random(32))}
	good := &heardRequest{body: seal(wire.Array(fields...))}
	if b.read(good); !good.opened || !good.canonical || good.entity != "e" || good.user != "u" || good.time != 1 {
		t.Errorf("a right request is read as %+v", good)
	}
	for what, body := range map[string][]byte{
		"nothing": nil, "junk": random(300), "another key": func() []byte {
			body := wire.SealBody(random(32), []byte("gw-1"), random(12), wire.Array(fields...))
			return body.Bytes()
		}(),
		"an IV of 11": func() []byte {
			body := wire.SealBody(wire.Key(b.PSK1, nil, wire.InfoRequest), []byte("gw-1"), random(12), nil)
			body.IV = body.IV[:11]
			return body.Bytes()
		}(),
		"no array inside": seal([]byte{0x01}), "nothing inside": seal(nil), "4 elements": seal(wire.Array(fields[:4]...)),
		"nested": bytes.Repeat([]byte{0x81}, 4000), "a giant array": {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		r := &heardRequest{body: body}
		if b.read(r); r.opened {
			t.Errorf("%s: is opened", what)
		}
	}
	wrong := &heardRequest{body: seal(wire.Array(wire.Uint(1), wire.Uint(2), wire.Uint(3), wire.Text("x"), wire.Null))}
	if b.read(wrong); wrong.entity != "" || wrong.user != "" || wrong.rand != nil || wrong.time != 0 {
		t.Errorf("elements of other types are read as %+v", wrong)
	}
	for n := range 300 {
		readDown(random(n)) // must not panic
		m := wire.Notification{E: "e", G: "g", Epoch: uint64(n), Index: 1, IV: random(12), Ciphertext: random(48)}
		raw := m.Bytes()
		raw[n%len(raw)] ^= byte(1 + n)
		readDown(raw)
	}
}

// TestCheck: what is set up wrongly is said before the first case, and what to look at.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config, *toy)
		want   string
	}{
		"nothing":      {func(*Config, *toy) {}, ""},
		"another PSK1": {func(_ *Config, g *toy) { g.psk = random(32) }, "did not open under PSK1"},
		"another CA":   {func(_ *Config, g *toy) { g.roots = x509.NewCertPool() }, "certificate"},
		"a command that fails": {func(c *Config, _ *toy) {
			c.Do = func(context.Context, string) error { return errors.New("--do: command not found") }
		}, "command not found"},
		"another line": {func(_ *Config, g *toy) { g.send = func([]byte) {} }, "the other end of its link"},
		"no command":   {func(c *Config, _ *toy) { c.Do, c.Tell = nil, func(string) {} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tryBench(t, "", c.change, func(t *testing.T, b *Bench) {
				err := b.Check(t.Context())
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			})
		})
	}
}
