package usb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/linktest"
)

func TestConformance(t *testing.T) {
	for name, woken := range map[string]bool{"woken": true, "polling": false} {
		t.Run(name, func(t *testing.T) {
			linktest.Run(t, func(t *testing.T) linktest.Rig {
				c := newCable()
				var gw, pne Config
				if woken {
					gw.Changed, pne.Changed = c.wakes[0], c.wakes[1]
				}
				return linktest.Rig{
					Gateway: testLink(t, gw, c.opener(0)),
					PNE:     testLink(t, pne, c.opener(1)),
					Entity:  "pne-0001",
					Cut:     c.disconnect,
					Restore: c.connect,
					Noise: func(junk []byte) {
						c.noise(junk)
						time.Sleep(20 * time.Millisecond) // noise comes while nobody sends
					},
				}
			})
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		cfg  Config
		want string
	}{
		{Config{ID: "1209"}, `id: "1209": want VENDOR:PRODUCT`},
		{Config{ID: "1209:1"}, "want VENDOR:PRODUCT"},
		{Config{ID: "12g9:0001"}, "want VENDOR:PRODUCT"},
		{Config{ID: "+209:0001"}, "want VENDOR:PRODUCT"},
		{Config{ID: "1209:0001:256"}, "want VENDOR:PRODUCT"},
		{Config{ID: "1209:0001:-1"}, "want VENDOR:PRODUCT"},
		{Config{ID: "1209:0001:0:0"}, "want VENDOR:PRODUCT"},
		{Config{ID: "1209:0001:"}, "want VENDOR:PRODUCT"},
		{Config{Serial: "a\nb"}, "serial: "},
		{Config{Serial: strings.Repeat("x", 127)}, "at most 126"},
		{Config{Port: "1"}, `port: "1": want a bus`},
		{Config{Port: "usb1"}, "want a bus"},
		{Config{Port: "1-"}, "want a bus"},
		{Config{Port: "1-0"}, "want a bus"},
		{Config{Port: "1-1."}, "want a bus"},
		{Config{Port: "1-1.2.3.4.5.6.7.8"}, "want a bus"},
		{Config{Port: "01-1"}, "want a bus"},
	}
	for _, tt := range tests {
		tt.cfg.Name = "usb"
		if _, err := newLink(tt.cfg, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want an error with %q", tt.cfg, err, tt.want)
		}
	}
	for _, cfg := range []Config{{}, {ID: "1209:000F"}, {ID: "1209:0001:255"}, {Port: "1-1"}, {Port: "12-1.2.3.4.5.6.7", Serial: "A 1"}} {
		cfg.Name = "usb"
		if _, err := newLink(cfg, nil); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "without a name") {
		t.Errorf("without a name: %v", err)
	}
}

// TestAvailable holds that a build says whether it has USB, and what to do if not.
func TestAvailable(t *testing.T) {
	_, err := New(Config{Name: "usb"})
	if Available() {
		if err != nil {
			t.Errorf("New: %v", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), "USB link usb: this build has no USB support") {
		t.Errorf("New without USB support: %v", err)
	}
}

// TestNoBus runs the real thing where there is no USB, as most machines that
// build software have none.
func TestNoBus(t *testing.T) {
	if _, err := os.Stat("/dev/bus/usb"); err == nil || !Available() {
		t.Log("this machine has USB, or this build has not; nothing to see")
		return
	}
	l, err := newLink(Config{Name: "usb"}, openDevice)
	if err != nil {
		t.Fatal(err)
	}
	run(t, l)
	awaitDetail(t, l, "load the kernel's USB drivers")
}

// run runs l until the test ends and returns what it handed up.
func run(t *testing.T, l *Link) (ups chan struct{}, messages chan string) {
	t.Helper()
	ups, messages = make(chan struct{}, 1000), make(chan string, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- l.Run(ctx, transport.Handler{
			Up:      func() { ups <- struct{}{} },
			Message: func(m transport.Message) { messages <- string(m.Data) },
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

func awaitDetail(t *testing.T, l *Link, want string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		got := l.Status()
		if got.State == transport.Absent && strings.Contains(got.Detail, want) {
			return
		}
		if time.Since(begin) > 2*time.Minute {
			t.Fatalf("status is %+v, want absent with %q", got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	node := t.TempDir() + "/002"
	if err := os.WriteFile(node, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	about := func(err error) error { return &deviceError{"1209:0001 at 1-1", node, err} }
	want, err := newMatch("1209:0001:2", "A1", "1-1")
	if err != nil {
		t.Fatal(err)
	}
	anyPNE := match{number: -1}
	tests := []struct {
		want *match
		err  error
		text string
	}{
		{&anyPNE, errNotFound, "no USB device with an interface of class ff/43/01: plug it in"},
		{&want, errNotFound, "no USB device with ID 1209:0001, interface 2, serial number A1, port 1-1: plug it in"},
		{&anyPNE, about(errNotFound), "no USB device with"},
		{&anyPNE, fmt.Errorf("%w (code -99)", errNoBus), "there is no USB bus here (code -99): load the kernel's USB drivers"},
		{&anyPNE, about(errNoBulk), "USB device 1209:0001 at 1-1 has no bulk IN and bulk OUT endpoint"},
		{&anyPNE, about(errBusy), "is in use by another link or program"},
		{&anyPNE, about(errGone), "1209:0001 at 1-1 went away"},
		{&anyPNE, about(errStalled), "keeps refusing to talk"},
		{&anyPNE, about(errors.New("transfer failed")), "1209:0001 at 1-1: transfer failed: trying again"},
		{&anyPNE, about(fs.ErrPermission), "no permission for " + node},
	}
	for _, tt := range tests {
		if got := explain(tt.want, tt.err); !strings.Contains(got, tt.text) || strings.Contains(got, "\n") {
			t.Errorf("%v: got %q, want %q in it", tt.err, got, tt.text)
		}
	}
}

// TestRest holds when a Link looks for its device: a few times after each change,
// and not once more while nothing has changed.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wake := make(chan struct{}, 1)
		var opened atomic.Int64
		l, err := newLink(Config{Name: "usb", Changed: wake}, func(*match) (device, error) { opened.Add(1); return nil, errNotFound })
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- l.Run(ctx, transport.Handler{Message: func(transport.Message) {}}) }()
		time.Sleep(time.Minute)
		if got := opened.Load(); got != looks {
			t.Errorf("looked %d times in the first minute, want %d", got, looks)
		}
		time.Sleep(24 * time.Hour)
		if got := opened.Load(); got != looks {
			t.Errorf("looked %d times in a day without a change, want %d", got, looks)
		}
		for range 1000 { // a hub full of devices, or a device gone mad
			wake <- struct{}{}
		}
		time.Sleep(time.Minute)
		before := opened.Load()
		if before < 2*looks || before > 1000+2*looks {
			t.Errorf("looked %d times after 1000 changes", before)
		}
		close(wake) // no more news: look by oneself
		time.Sleep(time.Hour)
		if n := opened.Load() - before; n < 700 || n > 2000 {
			t.Errorf("looked %d times in an hour by itself, want every few seconds", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRestWithFault holds that what raises no uevent when it is cured, such as a
// wrong group, is looked at again without one.
func TestRestWithFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var opened atomic.Int64
		l, err := newLink(Config{Name: "usb", Changed: make(chan struct{})}, func(*match) (device, error) {
			opened.Add(1)
			return nil, &deviceError{"1209:0001 at 1-1", "/dev/bus/usb/001/002", fs.ErrPermission}
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- l.Run(ctx, transport.Handler{Message: func(transport.Message) {}}) }()
		time.Sleep(time.Hour)
		if got := opened.Load(); got < 60 || got > 150 {
			t.Errorf("looked %d times in an hour, want about once a minute", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A Link with Poll never looks away for longer, however long its device has been gone.
func TestPoll(t *testing.T) {
	for _, tt := range []struct {
		poll    time.Duration
		longest [2]time.Duration // of the pauses between looks: from, to
	}{
		{100 * time.Millisecond, [2]time.Duration{50 * time.Millisecond, 100 * time.Millisecond}},
		{0, [2]time.Duration{2500 * time.Millisecond, 5 * time.Second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var last time.Time
			var longest time.Duration
			l, err := newLink(Config{Name: "usb", Poll: tt.poll}, func(*match) (device, error) {
				if !last.IsZero() {
					longest = max(longest, time.Since(last))
				}
				last = time.Now()
				return nil, errNotFound
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			l.Run(ctx, transport.Handler{Message: func(transport.Message) {}})
			if longest < tt.longest[0] || longest > tt.longest[1] {
				t.Errorf("poll %v: looks up to %v apart, want %v to %v", tt.poll, longest, tt.longest[0], tt.longest[1])
			}
		})
	}
}
