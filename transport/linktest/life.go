package linktest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
)

func testStatus(t *testing.T, r Rig) {
	for _, l := range []transport.Link{r.Gateway, r.PNE} {
		if l.Name() == "" {
			t.Error("a link without a name")
		}
		if d := l.RetryInterval(); d < 100*time.Millisecond || d > 10*time.Second {
			t.Errorf("%s: RetryInterval is %v", l.Name(), d)
		}
		if got := l.Status(); got.State != transport.Absent || got.Sent != 0 || got.Received != 0 {
			t.Errorf("%s: before Run: %+v", l.Name(), got)
		}
	}
	gw, pne := startBoth(t, r)
	const down, up = 3, 2
	for range down {
		gw.send(r.Entity, "down")
	}
	for range up {
		pne.send("", "up")
	}
	pne.receive(down)
	gw.receive(up)
	check := func(e *end, sent, received int64) {
		t.Helper()
		got := e.link.Status()
		if got.State != transport.Up || got.Detail == "" || got.Sent != sent || got.Received != received {
			t.Errorf("%s: %+v, want up, a detail, %d sent and %d received", e.link.Name(), got, sent, received)
		}
	}
	check(gw, down, up)
	check(pne, up, down)
	for _, e := range []*end{gw, pne} {
		e.stop()
		if got := e.link.Status(); got.State != transport.Absent || got.Detail == "" {
			t.Errorf("%s: after Run: %+v, want absent and a detail", e.link.Name(), got)
		}
	}
}

func testSendBeforeRun(t *testing.T, r Rig) {
	for _, l := range []transport.Link{r.Gateway, r.PNE} {
		if err := trySend(t, l, r.Entity); !errors.Is(err, transport.ErrLinkDown) {
			t.Errorf("%s: Send before Run: %v, want ErrLinkDown", l.Name(), err)
		}
	}
	gw, pne := startBoth(t, r)
	gw.send(r.Entity, "first")
	pne.expect("first") // what was refused was not kept for later
	pne.send("", "first")
	gw.expect("first")
}

// testSendContextEnded holds that a Send that gives up, at whatever moment, takes no
// other with it.
func testSendContextEnded(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	for range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if err := gw.link.Send(ctx, r.Entity, []byte("perhaps")); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("Send with a context that ends: %v, want nil or context.Canceled", err)
		}
		cancel()
		gw.send(r.Entity, "surely")
		for string(pne.receive(1)[0].Data) != "surely" {
		}
	}
}

// testRunEnds holds that Run returns promptly, and that nothing is left behind.
func testRunEnds(t *testing.T, r Rig) {
	before := goroutines()
	gw, pne := startBoth(t, r)
	gw.send(r.Entity, "a message")
	pne.expect("a message")
	begin := time.Now()
	gw.stop()
	pne.stop()
	if d := time.Since(begin); d > promptly {
		t.Errorf("both Runs took %v to return", d)
	}
	checkGoroutines(t, before)

	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, l := range []transport.Link{r.Gateway, r.PNE} {
		if err := l.Run(over, transport.Handler{Message: func(transport.Message) {}}); err != nil {
			t.Errorf("%s: Run with an ended context: %v, want nil", l.Name(), err)
		}
	}
	checkGoroutines(t, before)
}

// testStatusAgrees asks Status and Send in turn while Run ends: neither says that the
// link is there where the other says that it is not.
func testStatusAgrees(t *testing.T, r Rig) {
	for round := range 10 {
		ending, other := startBoth(t, r)
		if round%2 == 1 {
			ending, other = other, ending
		}
		asking, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for n := 0; ; n++ {
				if n == 10 {
					close(asking)
				}
				status := ending.link.Status()
				down := errors.Is(trySend(t, ending.link, r.Entity), transport.ErrLinkDown)
				// What is down while this asks stays so.
				if status.State == transport.Absent && !down {
					t.Errorf("%s: Send takes a message, and the status was %+v", ending.link.Name(), status)
				}
				if now := ending.link.Status(); down && now.State != transport.Absent {
					t.Errorf("%s: Send says ErrLinkDown, and the status is %+v", ending.link.Name(), now)
				}
				select {
				case <-ending.done:
					return
				default:
				}
			}
		}()
		<-asking
		ending.stop()
		<-stopped
		other.stop()
		if t.Failed() {
			return
		}
	}
}

func testRunTwice(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	for _, e := range []*end{gw, pne} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := e.link.Run(ctx, transport.Handler{Message: e.message}); err == nil {
			t.Errorf("%s: a second Run beside the first returned no error", e.link.Name())
		}
		cancel()
	}
	gw.send(r.Entity, "still there")
	pne.expect("still there")
}

func testRunAgain(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	gw.stop()
	pne.stop()
	gw, pne = startBoth(t, r)
	gw.send(r.Entity, "second life")
	pne.expect("second life")
	pne.send("", "second life")
	gw.expect("second life")
}

// testBackPressure floods a gateway whose handler does not return. Messages may
// be held back or lost; memory may not grow with them, and the link must work
// when the handler does again.
func testBackPressure(t *testing.T, r Rig) {
	const flood, limit = 4000, 1 << 20 // 2 MB of messages
	gw, pne := startBoth(t, r)
	gw.block()
	msg := []byte(strings.Repeat("f", transport.MaxMessage))
	before := heap()
	begin := time.Now()
	for n := 0; n < flood && time.Since(begin) < 2*time.Second; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := pne.link.Send(ctx, "", msg)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Send under flood: %v", err)
		}
	}
	if grown := heap() - before; grown > limit {
		t.Errorf("heap grew by %d bytes while the handler was blocked, limit %d", grown, limit)
	}
	gw.release()
	for begin := time.Now(); ; {
		trySend(t, pne.link, "")
		gw.mu.Lock()
		n := len(gw.inbox)
		seen := n > 0 && string(gw.inbox[n-1].Data) == "is anybody there"
		gw.inbox = nil
		gw.mu.Unlock()
		if seen {
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("no message got through %v after the handler was released; status %+v", patience, gw.link.Status())
		}
		time.Sleep(5 * time.Millisecond)
	}
	if n := gw.upCount(); n != 1 {
		t.Errorf("gateway's link came up %d times, want once: the flood broke it", n)
	}
}

func testAbsentAtStart(t *testing.T, r Rig) {
	r.Cut()
	gw, pne := start(t, r.Gateway), start(t, r.PNE)
	for _, e := range []*end{gw, pne} {
		if err := trySend(t, e.link, r.Entity); !errors.Is(err, transport.ErrLinkDown) {
			t.Errorf("%s: Send without a carrier: %v, want ErrLinkDown", e.link.Name(), err)
		}
		if n := e.upCount(); n != 0 {
			t.Errorf("%s: Up without a carrier", e.link.Name())
		}
		if got := e.link.Status(); got.State != transport.Absent {
			t.Errorf("%s: without a carrier: %+v, want absent", e.link.Name(), got)
		}
	}
	r.Restore()
	gw.waitUps(1)
	pne.waitUps(1)
	gw.send(r.Entity, "there at last")
	pne.expect("there at last")
}

func testCutAndRestore(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	for round := 2; round <= 4; round++ {
		r.Cut()
		gw.waitDown(r.Entity)
		pne.waitDown("")
		for _, e := range []*end{gw, pne} {
			if got := e.link.Status(); got.State != transport.Absent || got.Detail == "" {
				t.Errorf("%s: after the cut: %+v, want absent and a detail", e.link.Name(), got)
			}
			e.mu.Lock()
			e.inbox = nil // what waitDown got through before the cut was noticed
			e.mu.Unlock()
		}
		r.Restore()
		gw.waitUps(round)
		pne.waitUps(round)
		gw.send(r.Entity, "down again")
		pne.expect("down again")
		pne.send("", "up again")
		gw.expect("up again")
	}
}

func testRunEndsWhileAbsent(t *testing.T, r Rig) {
	r.Cut()
	before := goroutines()
	gw := start(t, r.Gateway)
	for begin := time.Now(); gw.link.Status().Detail == ""; time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("%s: says nothing about its carrier: %+v", gw.link.Name(), gw.link.Status())
		}
	}
	begin := time.Now()
	gw.stop()
	if d := time.Since(begin); d > promptly {
		t.Errorf("Run took %v to return while it waited for its carrier", d)
	}
	checkGoroutines(t, before)
	r.Restore()
}

// heap returns the bytes in live objects.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// goroutines returns the stacks of all goroutines, by their number.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	all := make(map[string]string)
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		number, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		all[number] = stack
	}
	return all
}

// checkGoroutines fails the test if goroutines are left that were not there before
// and run code of this project or of the library under it: those of testing and
// the runtime come and go. The last instructions of one may still be running when
// Run returns.
func checkGoroutines(t *testing.T, before map[string]string) {
	t.Helper()
	var left []string
	for begin := time.Now(); time.Since(begin) < promptly; time.Sleep(time.Millisecond) {
		left = nil
		for number, stack := range goroutines() {
			ours := strings.Contains(stack, "pngw/transport") || strings.Contains(stack, "paho.mqtt.golang")
			if before[number] == "" && ours {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("%d goroutines are left after Run:\n%s", len(left), strings.Join(left, "\n\n"))
}
