package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/scripts/nullmodem"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/serial"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// A gateway is the far end of a real link, played by the test.
type gateway struct {
	t     *testing.T
	ctx   context.Context
	link  transport.Link
	heard chan cpns.Message
	set   []cpns.EUKey

	pair   *cpns.X25519Pair
	x25519 bool // whether the device has it too
}

func newGateway(t *testing.T, link transport.Link) *gateway {
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	g := &gateway{t: t, ctx: ctx, link: link, heard: make(chan cpns.Message, 16), set: make([]cpns.EUKey, 8), pair: cpns.NewX25519Pair([32]byte{1})}
	cpns.DeriveSet(g.set, &[32]byte{1})
	up, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- link.Run(ctx, transport.Handler{
			Up: func() { up <- struct{}{} },
			Message: func(m transport.Message) {
				if msg, err := cpns.ParseMessage(m.Data); err == nil {
					g.heard <- msg
				}
			},
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-up:
	case <-time.After(patience):
		t.Fatalf("the gateway's link does not come up: %v", link.Status())
	}
	return g
}

func (g *gateway) send(e cpns.EntityID, m cpns.Message) {
	g.t.Helper()
	data, err := m.Marshal()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.link.Send(g.ctx, string(e), data); err != nil {
		g.t.Fatal(err)
	}
}

// hear waits for an M. Everything before it is dropped.
func hear[M cpns.Message](g *gateway) M {
	g.t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case msg := <-g.heard:
			if m, ok := msg.(M); ok {
				return m
			}
		case <-deadline:
			var want M
			g.t.Fatalf("no %T in %v", want, patience)
		}
	}
}

// give gives e its EUKey_1 as soon as it says hello.
func (g *gateway) give(e cpns.EntityID) {
	g.t.Helper()
	hello := hear[*cpns.Hello](g)
	if hello.Entity != e || hello.Epoch != 0 {
		g.t.Fatalf("hello of %q, epoch %d; want %q, 0", hello.Entity, hello.Epoch, e)
	}
	m, err := cpns.SealNotification(testTK, hello, g.pair, testGateway, 1, 1, &g.set[0], [12]byte{})
	if err != nil {
		g.t.Fatal(err)
	}
	if (hello.X25519 != nil) != g.x25519 {
		g.t.Errorf("an X25519 key in the hello: %v", hello.X25519 != nil)
	}
	g.send(e, m)
	hash, err := hello.Hash()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := hear[*cpns.Acknowledgement](g).Verify(&g.set[0], cpns.NotificationContext(&hash), testGateway); err != nil {
		g.t.Fatal(err)
	}
}

// roll authenticates e, which holds EUKey_1, and moves it to EUKey_2.
func (g *gateway) roll(e cpns.EntityID) {
	g.t.Helper()
	if hello := hear[*cpns.Hello](g); hello.Epoch != 1 || hello.Index != 1 {
		g.t.Fatalf("hello says %d, %d; want 1, 1", hello.Epoch, hello.Index)
	}
	randGW := [16]byte{9}
	g.send(e, &cpns.AuthChallenge{Entity: e, Gateway: testGateway, RandGW: randGW})
	response := hear[*cpns.AuthResponse](g)
	if err := response.Verify(&g.set[0], testGateway, &randGW); err != nil {
		g.t.Fatal(err)
	}
	update, err := cpns.SealEUKeyUpdate(testTK, &g.set[0], testGateway, &randGW, &response.RandPNE, e, 1, 2, &g.set[1], [12]byte{})
	if err != nil {
		g.t.Fatal(err)
	}
	g.send(e, update)
	if err := hear[*cpns.Acknowledgement](g).Verify(&g.set[1], cpns.UpdateContext(&randGW, &response.RandPNE), testGateway); err != nil {
		g.t.Fatal(err)
	}
}

// A program is a pne that runs in the test's process.
type program struct {
	t              *testing.T
	cancel         context.CancelFunc
	ended          chan int
	stdout, stderr bytes.Buffer
}

func startProgram(t *testing.T, args ...string) *program {
	ctx, cancel := context.WithCancel(t.Context())
	p := &program{t: t, cancel: cancel, ended: make(chan int, 1)}
	go func() { p.ended <- run(ctx, args, &p.stdout, &p.stderr) }()
	return p
}

// stop ends the program and checks what it has printed.
func (p *program) stop(want ...string) {
	p.t.Helper()
	p.cancel()
	if code := <-p.ended; code != 0 {
		p.t.Errorf("exit %d\n%s", code, p.stderr.Bytes())
	}
	if got := p.stdout.String(); got != strings.Join(want, "\n")+"\n" {
		p.t.Errorf("printed\n%swant\n%s\nlog:\n%s", got, strings.Join(want, "\n"), p.stderr.Bytes())
	}
	if strings.Contains(p.stderr.String(), hex.EncodeToString(testTK)) {
		p.t.Error("the log holds TK")
	}
}

func writeTK(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "tk")
	if err := os.WriteFile(path, []byte(hex.EncodeToString(testTK)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// onSerialLine is a gateway on a real tty, and the arguments of a pne at its other end.
func onSerialLine(t *testing.T, more ...string) (g *gateway, args []string, state string) {
	cable, err := nullmodem.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cable.Close(); err != nil {
			t.Error(err)
		}
	})
	link, err := serial.New(serial.Config{Name: "rs232", Device: cable.A()})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	state = filepath.Join(dir, "state")
	return newGateway(t, link), append([]string{
		"--entity-id", string(testEntity), "--tk-file", writeTK(t, dir),
		"--serial", cable.B(), "--baud", "115200", "--state", state,
	}, more...), state
}

// TestSerialLine runs the program on a real tty: an assignment, a power cut, a
// mutual authentication with update.
func TestSerialLine(t *testing.T) {
	g, args, _ := onSerialLine(t, "--x25519")
	g.x25519 = true
	p := startProgram(t, args...)
	g.give(testEntity)
	p.stop(
		`{"event":"hello","entity_id":"urn:dev:mac:0024befffe804ff1","epoch":0,"index":0}`,
		`{"event":"stored","entity_id":"urn:dev:mac:0024befffe804ff1","gateway_id":"gw-0001","epoch":1,"index":1}`,
	)
	p = startProgram(t, args...)
	g.roll(testEntity)
	p.stop(
		`{"event":"hello","entity_id":"urn:dev:mac:0024befffe804ff1","epoch":1,"index":1}`,
		`{"event":"authenticated","entity_id":"urn:dev:mac:0024befffe804ff1","gateway_id":"gw-0001","epoch":1,"index":1}`,
		`{"event":"stored","entity_id":"urn:dev:mac:0024befffe804ff1","gateway_id":"gw-0001","epoch":1,"index":2}`,
	)
}

// TestSerialLineKeepsTheEpochOnly: with --volatile the key does not outlive the
// program, and is in no file.
func TestSerialLineKeepsTheEpochOnly(t *testing.T) {
	g, args, state := onSerialLine(t, "--volatile")
	for range 2 {
		p := startProgram(t, args...)
		g.give(testEntity) // to a hello of 0, 0
		p.stop(
			`{"event":"hello","entity_id":"urn:dev:mac:0024befffe804ff1","epoch":0,"index":0}`,
			`{"event":"stored","entity_id":"urn:dev:mac:0024befffe804ff1","gateway_id":"gw-0001","epoch":1,"index":1}`,
		)
		text, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"version":1,"entity_id":"urn:dev:mac:0024befffe804ff1","epoch":1}`; strings.TrimSpace(string(text)) != want {
			t.Errorf("the state file is %s, want %s", text, want)
		}
	}
}
