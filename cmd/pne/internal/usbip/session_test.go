package usbip

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
)

// A host is the kernel's side of a connection, played by the test.
type host struct {
	t    *testing.T
	conn net.Conn
	seq  uint32
}

func (h *host) write(b []byte) {
	h.t.Helper()
	h.conn.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := h.conn.Write(b); err != nil {
		h.t.Fatal(err)
	}
}

// submit sends USBIP_CMD_SUBMIT and returns its seqnum. Of an IN transfer data is as
// long as there is room.
func (h *host) submit(ep uint32, in bool, setup string, data []byte) uint32 {
	h.t.Helper()
	h.seq++
	b := make([]byte, headerSize)
	for at, v := range map[int]uint32{0: cmdSubmit, 4: h.seq, 8: 0x10002, 16: ep, 24: uint32(len(data))} {
		binary.BigEndian.PutUint32(b[at:], v)
	}
	if in {
		b[15] = 1
	} else {
		b = append(b, data...)
	}
	copy(b[40:headerSize], unhex(h.t, setup))
	h.write(b)
	return h.seq
}

func (h *host) unlink(seq uint32) uint32 {
	h.t.Helper()
	h.seq++
	b := make([]byte, headerSize)
	for at, v := range map[int]uint32{0: cmdUnlink, 4: h.seq, 8: 0x10002, 20: seq} {
		binary.BigEndian.PutUint32(b[at:], v)
	}
	h.write(b)
	return h.seq
}

// expect reads an answer, and the data that it says it has if that is an IN transfer's.
func (h *host) expect(command, seq uint32, status int32, actual int, in bool) []byte {
	h.t.Helper()
	h.conn.SetDeadline(time.Now().Add(2 * time.Minute))
	b := make([]byte, headerSize)
	if _, err := io.ReadFull(h.conn, b); err != nil {
		h.t.Fatal(err)
	}
	field := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	if field(0) != command || field(4) != seq || int32(field(20)) != status || int(field(24)) != actual {
		h.t.Fatalf("answer %d to %d with status %d and length %d, want %d to %d with %d and %d",
			field(0), field(4), int32(field(20)), field(24), command, seq, status, actual)
	}
	var data []byte
	if in {
		data = make([]byte, actual)
		if _, err := io.ReadFull(h.conn, data); err != nil {
			h.t.Fatal(err)
		}
	}
	return data
}

const setConfiguration1 = "0009 0100 0000 0000"

func (h *host) configure() {
	h.t.Helper()
	h.expect(retSubmit, h.submit(0, false, setConfiguration1, nil), 0, 0, false)
}

// attach runs a Link that is attached to the host that it returns.
func attach(t *testing.T, handle func(transport.Message)) (*Link, *host) {
	t.Helper()
	device, kernel := net.Pipe()
	plugged := false
	l := newLink(Config{Name: "usb", Serial: "pne-1"}, func(ctx context.Context) (net.Conn, error) {
		if plugged {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		plugged = true
		return device, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, transport.Handler{Message: handle}) }()
	t.Cleanup(func() {
		cancel()
		kernel.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l, &host{t: t, conn: kernel}
}

func awaitState(t *testing.T, l *Link, state transport.State, detail string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		got := l.Status()
		if got.State == state && strings.Contains(got.Detail, detail) {
			return
		}
		if time.Since(begin) > 2*time.Minute {
			t.Fatalf("status %+v, want %v with %q", got, state, detail)
		}
	}
}

// TestTransfers goes through a device's day: configured, a message each way in
// transfers that are too small for it, unconfigured.
func TestTransfers(t *testing.T) {
	heard := make(chan string, 1)
	l, h := attach(t, func(m transport.Message) { heard <- string(m.Data) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	awaitState(t, l, transport.Absent, "not configured")
	if err := l.Send(ctx, "", []byte("too early")); !errors.Is(err, transport.ErrLinkDown) {
		t.Errorf("Send before the host has configured the device: %v", err)
	}
	// Bulk transfers stall until then.
	h.expect(retSubmit, h.submit(1, true, "", make([]byte, 512)), statusStall, 0, true)
	h.configure()
	awaitState(t, l, transport.Up, `serial number "pne-1"`)

	frame := transport.EncodeFrame(nil, []byte("down"))
	h.expect(retSubmit, h.submit(2, false, "", frame[:3]), 0, 3, false)
	h.expect(retSubmit, h.submit(2, false, "", frame[3:]), 0, len(frame)-3, false)
	if got := <-heard; got != "down" {
		t.Errorf("heard %q", got)
	}

	sent := make(chan error, 1)
	go func() { sent <- l.Send(ctx, "", []byte("up")) }()
	var got []byte
	want := transport.EncodeFrame(nil, []byte("up"))
	for len(got) < len(want) {
		n := min(3, len(want)-len(got))
		got = append(got, h.expect(retSubmit, h.submit(1, true, "", make([]byte, 3)), 0, n, true)...)
	}
	if err := <-sent; err != nil || !bytes.Equal(got, want) {
		t.Errorf("the host got % x, %v; want % x", got, err, want)
	}

	h.expect(retSubmit, h.submit(0, false, "0009 0000 0000 0000", nil), 0, 0, false)
	awaitState(t, l, transport.Absent, "unconfigured")
	h.configure()
	awaitState(t, l, transport.Up, "")
	h.conn.Close()
	awaitState(t, l, transport.Absent, "unplugged")
}

// TestWholePackets: what ends with a full packet ends a transfer only where that is
// full, too; else the next packet goes into the same.
func TestWholePackets(t *testing.T) {
	device, kernel := net.Pipe()
	defer kernel.Close()
	s := newSession(device, newDevice("pne-1"))
	go s.serve()
	h := &host{t: t, conn: kernel}
	h.configure()

	sent := make(chan error, 1)
	go func() {
		var errs []error
		for _, n := range []int{packetSize, 2 * packetSize, 7} {
			errs = append(errs, s.send(t.Context(), make([]byte, n)))
		}
		sent <- errors.Join(errs...)
	}()
	for _, transfer := range []struct{ room, got int }{
		{packetSize, packetSize},
		{4 * packetSize, 2*packetSize + 7},
	} {
		seq := h.submit(1, true, "", make([]byte, transfer.room))
		h.expect(retSubmit, seq, 0, transfer.got, true)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestUnlink gives transfers up before, while and after the device has dealt with
// them.
func TestUnlink(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	l, h := attach(t, func(transport.Message) { inside <- struct{}{}; <-release })
	h.configure()
	awaitState(t, l, transport.Up, "")

	waiting := h.submit(1, true, "", make([]byte, 512))
	h.expect(retUnlink, h.unlink(waiting), statusUnlinked, 0, false)
	h.expect(retUnlink, h.unlink(waiting), 0, 0, false)
	h.expect(retUnlink, h.unlink(4711), 0, 0, false)

	// One is with the handler, one waits behind it: both can be given up, and are
	// not answered afterwards.
	first := h.submit(2, false, "", transport.EncodeFrame(nil, []byte("first")))
	<-inside
	second := h.submit(2, false, "", transport.EncodeFrame(nil, []byte("second")))
	h.expect(retUnlink, h.unlink(second), statusUnlinked, 0, false)
	h.expect(retUnlink, h.unlink(first), statusUnlinked, 0, false)
	// What the handler had is not taken for what has come since.
	third := h.submit(2, false, "", transport.EncodeFrame(nil, []byte("third")))
	release <- struct{}{}
	select {
	case <-inside:
	case <-time.After(2 * time.Minute):
		t.Fatal("the third message does not come")
	}
	release <- struct{}{}
	h.expect(retSubmit, third, 0, len(transport.EncodeFrame(nil, []byte("third"))), false)
}

// TestHalt has the host halt an endpoint, and clear that.
func TestHalt(t *testing.T) {
	l, h := attach(t, func(transport.Message) {})
	h.configure()
	awaitState(t, l, transport.Up, "")
	h.expect(retSubmit, h.submit(0, false, "0203 0000 0200 0000", nil), 0, 0, false)
	h.expect(retSubmit, h.submit(2, false, "", []byte{0}), statusStall, 0, false)
	h.expect(retSubmit, h.submit(0, false, "0201 0000 0200 0000", nil), 0, 0, false)
	h.expect(retSubmit, h.submit(2, false, "", []byte{0}), 0, 1, false)
	h.expect(retSubmit, h.submit(3, true, "", make([]byte, 8)), statusStall, 0, true) // no such endpoint
	h.expect(retSubmit, h.submit(1, true, "", nil), 0, 0, true)                       // room for nothing
	data := h.expect(retSubmit, h.submit(0, true, "8006 0001 0000 0800", make([]byte, 8)), 0, 8, true)
	if want := []byte{18, 1, 0, 2, 0, 0, 0, 64}; !bytes.Equal(data, want) {
		t.Errorf("the first 8 bytes of the device descriptor are % x, want % x", data, want)
	}
}

// TestHostileHost holds that a host that breaks the protocol is cut off, and that
// one that asks for too much is.
func TestHostileHost(t *testing.T) {
	tests := []struct {
		name string
		do   func(h *host)
		want string
	}{
		{"nonsense", func(h *host) { h.write(bytes.Repeat([]byte{0x55}, headerSize)) }, "direction"},
		{"an endless transfer", func(h *host) {
			b := make([]byte, headerSize)
			b[3], b[19], b[24] = cmdSubmit, 2, 0x7f
			h.write(b)
		}, "the limit is 16384"},
		{"too many transfers", func(h *host) {
			for range maxPending + 1 {
				h.submit(1, true, "", make([]byte, 512))
			}
		}, "more than 32 transfers wait"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, h := attach(t, func(transport.Message) {})
			h.configure()
			awaitState(t, l, transport.Up, "")
			tt.do(h)
			awaitState(t, l, transport.Absent, tt.want)
			if _, err := h.conn.Read(make([]byte, 1)); err == nil {
				t.Error("the connection is still there")
			}
		})
	}
}

// TestSilentHost has a host that reads no answers.
func TestSilentHost(t *testing.T) {
	l, h := attach(t, func(transport.Message) {})
	h.configure()
	awaitState(t, l, transport.Up, "")
	h.submit(0, true, "8000 0000 0000 0200", make([]byte, 2))
	begin := time.Now()
	awaitState(t, l, transport.Absent, "unplugged")
	if d := time.Since(begin); d > 5*writeLimit {
		t.Errorf("it took %v to notice", d)
	}
}
