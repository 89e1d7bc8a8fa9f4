package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
	"cpns.example.net/pngw/scripts/nullmodem"
	"cpns.example.net/pngw/transport"
)

// What the server knows: the user alice, gateway gw-0001, and some devices.
const (
	alicesPassword = "correct horse"
	pskHex         = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

// tkOf is the Temporary Key of a device, a different one for each.
func tkOf(device string) cpns.TK {
	sum := sha256.Sum256([]byte("TK of " + device))
	return sum[:]
}

var devices = []string{"urn:dev:lamp-1", "urn:dev:lamp-2", "PNE/7+#%~:A", "urn:dev:bobs", "urn:dev:lock-1", "urn:dev:fan-1", "urn:dev:lamp-3", "urn:dev:later", "urn:dev:bulb-1", "urn:dev:bulb-2", "urn:dev:bulb-3", "urn:dev:key-1", "urn:dev:key-2", "urn:dev:key-3", "urn:dev:key-4", "urn:dev:wall-1"}

// testServer is a CPNS Server on SQLite behind HTTPS on the loopback.
type testServer struct {
	url   string
	small string // the same server's, where sets have 2 keys
	ca    []byte // PEM
	op    *server.Operator
}

func startServer(t *testing.T) *testServer {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store, err := sqlite.Create(ctx, filepath.Join(t.TempDir(), "cpns.db"))
	check(err)
	t.Cleanup(func() { store.Close() })
	var key server.MasterKey
	rand.Read(key[:])
	check(server.Initialize(ctx, store, &key))
	op, err := server.NewOperator(ctx, store, &key, "test")
	check(err)
	for _, user := range []cpns.UserID{"alice", "bob", "mallory"} {
		check(op.AddUser(ctx, user, server.HashPassword(user, []byte(alicesPassword))))
	}
	psk, err := hex.DecodeString(pskHex)
	check(err)
	check(op.AddGateway(ctx, "gw-0001", "gw-0001", psk))
	check(op.AddGateway(ctx, "gw-0002", "gw-0002", psk[:16]))
	csv := "entity_id,tk\n"
	for _, d := range devices {
		csv += d + "," + hex.EncodeToString(tkOf(d)) + "\n"
	}
	_, err = op.ImportPNEs(ctx, strings.NewReader(csv), server.ImportOptions{})
	check(err)
	count := func(last cpns.Epoch, _ time.Time) (cpns.Epoch, bool) { return last + 1, true } // 1, 2, whatever the clock says
	s, err := server.New(ctx, server.Config{Store: store, MasterKey: &key, NextEpoch: count, Log: slog.New(slog.DiscardHandler)})
	check(err)
	https := httptest.NewTLSServer(s)
	t.Cleanup(https.Close)
	s, err = server.New(ctx, server.Config{Store: store, MasterKey: &key, SetLength: 2, NextEpoch: count, Log: slog.New(slog.DiscardHandler)})
	check(err)
	small := httptest.NewTLSServer(s)
	t.Cleanup(small.Close)
	return &testServer{
		op:    op,
		url:   https.URL,
		small: small.URL,
		ca:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw}),
	}
}

// line is a serial line: tty is the gateway's end, and a device can be put at
// the other.
type line struct {
	tty     string
	pty     *nullmodem.PTY
	far     *os.File
	reading sync.WaitGroup

	mu     sync.Mutex
	device *pne.Device          // at the far end
	states map[string]pne.State // what devices have saved, by name
}

func openLine() (*line, error) {
	pty, err := nullmodem.OpenPTY()
	if err != nil {
		return nil, err
	}
	return &line{tty: pty.Device(), pty: pty, far: pty.Master, states: map[string]pne.State{}}, nil
}

func (l *line) close() {
	l.pty.Close()
	l.reading.Wait()
}

// plugIn puts a device at the far end until the line is closed or another one
// takes its place. It holds what was saved under a name before.
func (l *line) plugIn(entity, state string) error {
	d, err := pne.New(pne.Config{Entity: cpns.EntityID(entity), TK: tkOf(entity), Storage: saved{l, state}, Rand: rand.Reader})
	if err != nil {
		return err
	}
	hello, err := d.Hello()
	if err != nil {
		return err
	}
	l.mu.Lock()
	first := l.device == nil
	l.device = d
	l.mu.Unlock()
	if _, err := l.far.Write(transport.EncodeFrame(nil, hello)); err != nil {
		return err
	}
	if first {
		l.reading.Go(l.read)
	}
	return nil
}

func (l *line) read() {
	var in transport.Deframer
	buf := make([]byte, 4096)
	for {
		n, err := l.far.Read(buf)
		if errors.Is(err, fs.ErrClosed) {
			return
		}
		in.Feed(buf[:n], func(msg []byte) {
			l.mu.Lock()
			defer l.mu.Unlock()
			reply, ev := l.device.Handle(msg)
			if ev.Kind == pne.Identify {
				reply, _ = l.device.Hello() // crypto/rand does not fail
			}
			if reply != nil {
				l.far.Write(transport.EncodeFrame(nil, reply)) // the line may be gone by now
			}
		})
	}
}

// saved is the storage of a line's devices, by name. Nothing is saved without a
// name.
type saved struct {
	*line
	name string
}

func (s saved) Load() (pne.State, error) { return s.states[s.name], nil }

func (s saved) Save(state *pne.State) error {
	if s.name != "" {
		s.states[s.name] = *state
	}
	return nil
}

// copyState makes what a device holds into what another one holds.
func (l *line) copyState(from, to string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	state, ok := l.states[from]
	if !ok {
		return fmt.Errorf("nothing is saved under %s", from)
	}
	l.states[to] = state
	return nil
}
