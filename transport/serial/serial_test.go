package serial

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/linktest"
)

// newLink returns a Link that does not wait long.
func newLink(t testing.TB, cfg Config) *Link {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.wait = transport.Backoff{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond}
	return l
}

func TestConformance(t *testing.T) {
	linktest.Run(t, func(t *testing.T) linktest.Rig {
		c := newCable(t, 0)
		return linktest.Rig{
			Gateway: newLink(t, Config{Name: "gateway", Device: c.ports[0]}),
			PNE:     newLink(t, Config{Name: "pne", Device: c.ports[1]}),
			Entity:  "pne-0001",
			Cut:     c.disconnect,
			Restore: c.connect,
			Noise: func(junk []byte) {
				c.noise(junk)
				time.Sleep(20 * time.Millisecond) // noise comes while nobody sends
			},
		}
	})
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		cfg  Config
		want string
	}{
		{Config{Device: "/dev/ttyS0"}, "without a name"},
		{Config{Name: "rs232"}, "device: there is none"},
		{Config{Name: "rs232", Device: "/dev/ttyS0", Baud: 250000}, "baud: 250000 is not one of [50 75 110"},
		{Config{Name: "rs232", Device: "/dev/ttyS0", Baud: -1}, "baud: -1 is not one of"},
	}
	for _, tt := range tests {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v): got %v, want an error with %q", tt.cfg, err, tt.want)
		}
	}
}

// TestBauds holds that every speed we accept is one that tarm/serial sets, and that
// the line is raw 8N1 afterwards.
func TestBauds(t *testing.T) {
	p := openPTY(t)
	defer p.hangUp()
	seen := make(map[uint32]int)
	for _, baud := range bauds {
		port, err := openPort(p.path, baud)
		if err != nil {
			t.Errorf("%d baud: %v", baud, err)
			continue
		}
		var tio *unix.Termios
		if err := control(port, func(fd int) (err error) {
			tio, err = unix.IoctlGetTermios(fd, unix.TCGETS)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		unlock(port)
		port.Close()
		// QEMU's user mode, where this test runs too, has no faster speeds.
		if speed := tio.Cflag & unix.CBAUD; baud <= 460800 {
			if other, taken := seen[speed]; taken {
				t.Errorf("%d baud sets the speed of %d baud", baud, other)
			}
			seen[speed] = baud
		}
		if tio.Cflag&unix.CSIZE != unix.CS8 || tio.Cflag&(unix.PARENB|unix.CSTOPB|unix.CRTSCTS) != 0 || tio.Cflag&unix.CLOCAL == 0 {
			t.Errorf("%d baud: cflag %#x is not 8N1 without flow control", baud, tio.Cflag)
		}
		if tio.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || tio.Oflag&unix.OPOST != 0 || tio.Iflag&(unix.IXON|unix.ICRNL|unix.ISTRIP) != 0 {
			t.Errorf("%d baud: line is not raw: %+v", baud, tio)
		}
	}
}

// run runs l until the test ends and returns what it handed up.
func run(t *testing.T, l *Link) (ups chan struct{}, messages chan []byte) {
	t.Helper()
	ups, messages = make(chan struct{}, 100), make(chan []byte, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- l.Run(ctx, transport.Handler{
			Up:      func() { ups <- struct{}{} },
			Message: func(m transport.Message) { messages <- m.Data },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return ups, messages
}

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// awaitDetail waits until the link's Status says want.
func awaitDetail(t *testing.T, l *Link, state transport.State, want string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		got := l.Status()
		if got.State == state && strings.Contains(got.Detail, want) {
			return
		}
		if time.Since(begin) > 2*time.Minute {
			t.Fatalf("status is %+v, want %v with %q", got, state, want)
		}
	}
}

func TestStatusForPeople(t *testing.T) {
	dir := t.TempDir()
	busy := openPTY(t)
	defer busy.hangUp()
	other, err := openPort(busy.path, DefaultBaud)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()

	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("not a line"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ device, want string }{
		{filepath.Join(dir, "ttyUSB0"), "no such device " + dir + "/ttyUSB0: plug it in, or correct option device: ls /dev/serial/by-id"},
		{busy.path, "in use by another program"},
		{"/dev/null", "/dev/null is not a serial line: correct option device"},
		{text, "is not a serial line"},
		{dir, "is not a serial line"},
	}
	for _, tt := range tests {
		l := newLink(t, Config{Name: "rs232", Device: tt.device})
		run(t, l)
		awaitDetail(t, l, transport.Absent, tt.want)
	}
	if got, err := os.ReadFile(text); err != nil || string(got) != "not a line" {
		t.Errorf("a file that was taken for a line now reads %q, %v", got, err)
	}
}

// TestPermissionAdvice asks explain itself, because root is refused nothing.
func TestPermissionAdvice(t *testing.T) {
	device := filepath.Join(t.TempDir(), "ttyUSB0")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := explain(device, "option device", &os.PathError{Op: "open", Path: device, Err: unix.EACCES})
	if !strings.Contains(got, "no permission for "+device) || !strings.Contains(got, "and its mode -rw-------") {
		t.Errorf("got %q", got)
	}
}

// TestLineIsGivenBack holds that a closed link leaves the line to others, also
// while the tty itself stays open.
func TestLineIsGivenBack(t *testing.T) {
	p := openPTY(t)
	defer p.hangUp()
	for range 3 {
		f, err := openPort(p.path, DefaultBaud)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := openPort(p.path, DefaultBaud); err == nil {
			second.Close()
			t.Error("two programs share the line")
		}
		newLine(f, DefaultBaud).close()
	}
}

// TestOldBytesAreFlushed opens a line on which something had arrived before.
func TestOldBytesAreFlushed(t *testing.T) {
	p := openPTY(t)
	defer p.hangUp()
	f, err := openPort(p.path, DefaultBaud) // raw from here on
	if err != nil {
		t.Fatal(err)
	}
	newLine(f, DefaultBaud).close()
	if _, err := p.master.Write(transport.EncodeFrame(nil, []byte("stale"))); err != nil {
		t.Fatal(err)
	}
	l := newLink(t, Config{Name: "rs232", Device: p.path})
	ups, messages := run(t, l)
	await(t, ups, "Up")
	if _, err := p.master.Write(transport.EncodeFrame(nil, []byte("fresh"))); err != nil {
		t.Fatal(err)
	}
	if got := await(t, messages, "message"); string(got) != "fresh" {
		t.Errorf("first message is %q, want %q", got, "fresh")
	}
}

// TestStuckLine sends on a line whose other end takes nothing.
func TestStuckLine(t *testing.T) {
	p := openPTY(t)
	defer p.hangUp()
	l := newLink(t, Config{Name: "rs232", Device: p.path})
	ups, _ := run(t, l)
	await(t, ups, "Up")

	// The kernel's buffers take some kilobytes, and now and then a little more.
	sendUntilStuck := func(newCtx func() (context.Context, context.CancelFunc)) error {
		msg := bytes.Repeat([]byte{1}, transport.MaxMessage)
		for range 10000 {
			ctx, cancel := newCtx()
			begin := time.Now()
			err := l.Send(ctx, "", msg)
			cancel()
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("Send took %v to return %v", took, err)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	err := sendUntilStuck(func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(t.Context(), 50*time.Millisecond)
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send on a stuck line, with a deadline: %v, want DeadlineExceeded", err)
	}
	err = sendUntilStuck(func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		return ctx, cancel
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Send on a stuck line, cancelled: %v, want Canceled", err)
	}

	// The line moves again. Half a frame is on it, and must not spoil the next.
	var d transport.Deframer
	got := make(chan string, 20000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := p.master.Read(buf)
			if err != nil {
				return
			}
			d.Feed(buf[:n], func(m []byte) { got <- string(m) })
		}
	}()
	if err := l.Send(t.Context(), "", []byte("moving")); err != nil {
		t.Fatalf("Send on a line that moves again: %v", err)
	}
	for await(t, got, "frame after the stuck one") != "moving" {
	}
}

// TestReopeningIsBounded hangs the line up as soon as it is open, again and again.
func TestReopeningIsBounded(t *testing.T) {
	c := newCable(t, 0)
	l := newLink(t, Config{Name: "rs232", Device: c.ports[0]})
	ups, _ := run(t, l)
	n := 0
	for begin := time.Now(); time.Since(begin) < time.Second; n++ {
		await(t, ups, "Up")
		c.disconnect()
		c.connect()
	}
	// 10 + 20 + 40 + 80 + 100 ms and then every 100 ms at the very least.
	if n > 14 {
		t.Errorf("opened %d times in a second", n)
	}
}

// TestReasonIsLoggedOnce waits for a device for a day.
func TestReasonIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l, err := New(Config{Name: "rs232", Device: filepath.Join(t.TempDir(), "none"), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		if err := l.Run(ctx, transport.Handler{Message: func(transport.Message) {}}); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("a day without the device left %d lines in the log, want 1:\n%s", n, &log)
		}
	})
}

// TestChangedWakes plugs the device in and says so.
func TestChangedWakes(t *testing.T) {
	c := newCable(t, 0)
	c.disconnect()
	changed := make(chan struct{})
	l, err := New(Config{Name: "rs232", Device: c.ports[0], Changed: changed})
	if err != nil {
		t.Fatal(err)
	}
	l.wait = transport.Backoff{Min: time.Hour, Max: time.Hour}
	ups, _ := run(t, l)
	awaitDetail(t, l, transport.Absent, "no such device")
	c.connect()
	changed <- struct{}{}
	await(t, ups, "Up")
	if !slices.Contains(bauds, l.baud) || !strings.Contains(l.Status().Detail, "115200 baud") {
		t.Errorf("status does not say the speed: %+v", l.Status())
	}
}

// TestNameMovesToAnotherDevice unplugs an adapter whose line is called by a name,
// as in /dev/serial/by-id and by-path. It comes back under another number, and
// its old one goes to somebody else: the link has to follow the name.
func TestNameMovesToAnotherDevice(t *testing.T) {
	for _, folder := range []string{"by-id", "by-path"} {
		t.Run(folder, func(t *testing.T) {
			before, after := openPTY(t), openPTY(t)
			defer after.hangUp()
			name := filepath.Join(t.TempDir(), folder, "usb-adapter")
			point(t, name, before.number)

			changed := make(chan struct{})
			l := newLink(t, Config{Name: "rs232", Device: name, Changed: changed})
			ups, messages := run(t, l)
			await(t, ups, "Up")
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			before.hangUp()
			awaitDetail(t, l, transport.Absent, "")

			// The kernel gives the lowest number that is free, once the link has let go.
			stranger := openPTY(t)
			for begin := time.Now(); stranger.number != before.number && time.Since(begin) < 15*time.Second; time.Sleep(time.Millisecond) {
				stranger.hangUp()
				stranger = openPTY(t)
			}
			defer stranger.hangUp()
			if stranger.number != before.number {
				t.Logf("somebody else has taken %s: a link that keeps the old number would not be found out", before.number)
			}
			point(t, name, after.number)
			changed <- struct{}{}
			await(t, ups, "Up under the new number")
			if _, err := after.master.Write(transport.EncodeFrame(nil, []byte("here"))); err != nil {
				t.Fatal(err)
			}
			if got := await(t, messages, "message"); string(got) != "here" {
				t.Errorf("got %q", got)
			}
			if err := l.Send(t.Context(), "", []byte("to the adapter")); err != nil {
				t.Error(err)
			}
			buf := make([]byte, 100)
			after.master.SetReadDeadline(time.Now().Add(2 * time.Minute))
			n, err := after.master.Read(buf)
			var d transport.Deframer
			var got []string
			d.Feed(buf[:n], func(m []byte) { got = append(got, string(m)) })
			if !slices.Equal(got, []string{"to the adapter"}) {
				t.Errorf("the adapter heard %q, %v", got, err)
			}
		})
	}
}

// point makes a link that has the name, and the folders on the way.
func point(t *testing.T, name, device string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(device, name); err != nil {
		t.Fatal(err)
	}
}
