package rs485

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/transport"
)

// lay runs test with a line and n stations on it, by the bubble's clock.
func lay(t *testing.T, cfg Config, n int, test func(t *testing.T, b *Bus, s []*Station)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := New(cfg)
		defer b.Close()
		var stations []*Station
		for range n {
			stations = append(stations, b.NewStation())
		}
		test(t, b, stations)
	})
}

// heard returns what s has heard by now.
func heard(s *Station) []byte {
	synctest.Wait()
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	got := s.in
	s.in = nil
	return got
}

func say(t *testing.T, s *Station, p []byte) {
	t.Helper()
	if _, err := s.Write(p); err != nil {
		t.Fatal(err)
	}
}

func TestEverybodyHearsAtTheLinesSpeed(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, echo := range []bool{false, true} {
		lay(t, Config{Baud: 9600, Echo: echo}, 3, func(t *testing.T, b *Bus, s []*Station) {
			begin := time.Now()
			say(t, s[0], every)
			if took := time.Since(begin); took != 0 {
				t.Errorf("Write took %v; the driver has room", took)
			}
			got := make([]byte, len(every))
			if _, err := io.ReadFull(s[1], got); err != nil || !bytes.Equal(got, every) {
				t.Fatalf("got %x, %v", got, err)
			}
			if took, want := time.Since(begin), 256*(10*time.Second/9600); took != want {
				t.Errorf("256 bytes took %v, want %v", took, want)
			}
			if got := heard(s[2]); !bytes.Equal(got, every) {
				t.Errorf("the third station heard %x", got)
			}
			want := []byte(nil)
			if echo {
				want = every
			}
			if got := heard(s[0]); !bytes.Equal(got, want) {
				t.Errorf("echo %v: the speaker heard %x", echo, got)
			}
		})
	}
}

// TestBothAtOnce has a second station begin in the middle of what the first says.
func TestBothAtOnce(t *testing.T) {
	const aByte = 10 * time.Second / 115200
	first, second := bytes.Repeat([]byte{0xaa}, 100), bytes.Repeat([]byte{0x55}, 50)
	for _, echo := range []bool{false, true} {
		lay(t, Config{Echo: echo}, 3, func(t *testing.T, b *Bus, s []*Station) {
			say(t, s[0], first)
			time.Sleep(80*aByte + aByte/2)
			say(t, s[1], second)
			time.Sleep(time.Second)
			third := heard(s[2])
			if len(third) != 150 {
				t.Fatalf("%d bytes arrived, want 150", len(third))
			}
			if !bytes.Equal(third[:80], first[:80]) {
				t.Error("what nobody disturbed is garbled")
			}
			// The second's 20th byte overlaps the first's last.
			for i, c := range third[80:120] {
				if i%2 == 0 && c == 0xaa || i%2 == 1 && c == 0x55 {
					t.Errorf("byte %d got through though two spoke", 80+i)
				}
			}
			if !bytes.Equal(third[120:], second[20:]) {
				t.Errorf("what nobody disturbed any more is garbled: %x", third[120:])
			}
			if got := b.Counts(); got != (Counts{Carried: 150, Garbled: 40}) {
				t.Errorf("counted %+v", got)
			}
			// Who speaks is deaf meanwhile, unless the line echoes; then all hear the same.
			a := heard(s[0])
			if echo && !bytes.Equal(a, third) {
				t.Errorf("with echo the first heard %x, want %x", a, third)
			}
			if !echo && !bytes.Equal(a, third[119:]) {
				t.Errorf("without echo the first heard %d bytes, want those since it was silent, 31", len(a))
			}
		})
	}
}

// TestInTurn has two stations speak in turn, each as soon as it has heard the other.
func TestInTurn(t *testing.T) {
	lay(t, Config{}, 2, func(t *testing.T, b *Bus, s []*Station) {
		begin := time.Now()
		for i := range 100 {
			say(t, s[i%2], []byte{byte(i)})
			got := make([]byte, 1)
			if _, err := s[1-i%2].Read(got); err != nil || got[0] != byte(i) {
				t.Fatalf("got %x, %v", got, err)
			}
		}
		if got := b.Counts().Garbled; got != 0 {
			t.Errorf("%d bytes garbled", got)
		}
		if took, want := time.Since(begin), 100*(10*time.Second/115200); took != want {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

// TestBounded writes and listens more than a driver has room for.
func TestBounded(t *testing.T) {
	lay(t, Config{}, 2, func(t *testing.T, b *Bus, s []*Station) {
		begin := time.Now()
		say(t, s[0], make([]byte, 2*buffer))
		if took, want := time.Since(begin), b.takes(buffer); took < want {
			t.Errorf("two buffers were taken in %v, want at least %v", took, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s[0].write(ctx, make([]byte, buffer)); err != context.DeadlineExceeded {
			t.Errorf("writing to a driver without room: %v", err)
		}
		time.Sleep(time.Minute)
		if got := heard(s[1]); len(got) != buffer || b.Counts().Lost != buffer {
			t.Errorf("held %d bytes, lost %d, want %d of each", len(got), b.Counts().Lost, buffer)
		}
	})
}

func TestClosedStation(t *testing.T) {
	lay(t, Config{}, 2, func(t *testing.T, b *Bus, s []*Station) {
		say(t, s[0], make([]byte, 1000))
		time.Sleep(b.takes(10))
		s[0].Close()
		time.Sleep(time.Second)
		if got := heard(s[1]); len(got) > 10 {
			t.Errorf("%d bytes were said after power off", len(got))
		}
		if _, err := s[0].Write([]byte{1}); err == nil {
			t.Error("a closed station writes")
		}
		if n, err := s[0].Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("a closed station reads %d bytes, %v", n, err)
		}
	})
}

// TestLinks has three links on a line: what one says the others get, two at once are
// both lost, and the next is not.
func TestLinks(t *testing.T) {
	for _, echo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := New(Config{Echo: echo})
			defer b.Close()
			ctx, cancel := context.WithCancel(t.Context())
			got := make([][]string, 3)
			var links []*Link
			ended := make(chan error)
			for i := range got {
				l := b.NewLink("link")
				links = append(links, l)
				if err := l.Send(ctx, "", nil); err != transport.ErrLinkDown {
					t.Errorf("Send before Run: %v", err)
				}
				go func() {
					ended <- l.Run(ctx, transport.Handler{Message: func(m transport.Message) { got[i] = append(got[i], string(m.Data)) }})
				}()
			}
			check := func(want ...[]string) {
				t.Helper()
				time.Sleep(time.Second)
				synctest.Wait()
				for i := range got {
					if echo || i > 0 {
						if !slices.Equal(got[i], want[i]) {
							t.Errorf("echo %v: link %d has %q, want %q", echo, i, got[i], want[i])
						}
					}
					got[i] = nil
				}
			}
			send := func(i int, text string) {
				if err := links[i].Send(ctx, "", []byte(text)); err != nil {
					t.Error(err)
				}
			}
			synctest.Wait()
			if got := links[1].Status(); !got.Heard.IsZero() || got.State != transport.Up {
				t.Errorf("before anything was said: %+v", got)
			}
			send(0, "one")
			check([]string{"one"}, []string{"one"}, []string{"one"})
			if got := time.Since(links[1].Status().Heard); got < 990*time.Millisecond || got > time.Second {
				t.Errorf("last heard %v ago, want a second less what the message took", got)
			}
			send(0, "both")
			send(1, "both")
			check(nil, nil, nil)
			send(0, "one again")
			check([]string{"one again"}, []string{"one again"}, []string{"one again"})

			cancel()
			for range links {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		})
	}
}
