package linktest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
)

// patience is how long a test waits for what must come; a pass never waits that
// long.
const patience = 15 * time.Second

// promptly is how long "at once" may take on a busy machine.
const promptly = 2 * time.Second

// An end is one link while it runs, with what its handler saw.
type end struct {
	t      *testing.T
	link   transport.Link
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // what Run returned

	mu     sync.Mutex
	inbox  []transport.Message
	ups    int
	inside int           // handler calls that have not returned
	news   chan struct{} // closed and replaced when the above change
	gate   chan struct{} // nil, or what the handler waits for before it returns
}

// start runs link until the test ends or stop is called.
func start(t *testing.T, link transport.Link) *end {
	t.Helper()
	e := newEnd(t, link)
	e.run()
	return e
}

// newEnd returns an end that does not run yet.
func newEnd(t *testing.T, link transport.Link) *end {
	e := &end{t: t, link: link, news: make(chan struct{}), done: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

func (e *end) run() {
	go func() {
		defer close(e.done)
		e.err = e.link.Run(e.ctx, transport.Handler{Message: e.message, Up: e.up})
	}()
	e.t.Cleanup(func() { e.stop() })
}

// startBoth runs both ends and waits until both are up.
func startBoth(t *testing.T, r Rig) (gw, pne *end) {
	t.Helper()
	gw, pne = start(t, r.Gateway), start(t, r.PNE)
	gw.waitUps(1)
	pne.waitUps(1)
	return gw, pne
}

// stop ends Run, and fails the test if it does not return promptly and without
// error.
func (e *end) stop() {
	e.t.Helper()
	e.cancel()
	e.release()
	select {
	case <-e.done:
		if e.err != nil {
			e.t.Errorf("%s: Run returned %v after its context ended, want nil", e.link.Name(), e.err)
		}
	case <-time.After(patience):
		e.t.Errorf("%s: Run has not returned %v after its context ended", e.link.Name(), patience)
	}
}

func (e *end) enter(f func()) {
	e.mu.Lock()
	e.inside++
	if e.inside > 1 {
		e.t.Errorf("%s: handler called while a call has not returned", e.link.Name())
	}
	f()
	close(e.news)
	e.news = make(chan struct{})
	gate := e.gate
	e.mu.Unlock()
	if gate != nil {
		<-gate
	}
	e.mu.Lock()
	e.inside--
	e.mu.Unlock()
}

func (e *end) up() { e.enter(func() { e.ups++ }) }

func (e *end) message(m transport.Message) {
	e.enter(func() {
		if e.ups == 0 {
			e.t.Errorf("%s: Message before Up", e.link.Name())
		}
		e.inbox = append(e.inbox, m)
	})
}

// block makes the handler's next calls wait until release.
func (e *end) block() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gate = make(chan struct{})
}

func (e *end) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gate != nil {
		close(e.gate)
		e.gate = nil
	}
}

// wait waits until cond, called under the lock, is true.
func (e *end) wait(what string, cond func() bool) {
	e.t.Helper()
	timeout := time.After(patience)
	for {
		e.mu.Lock()
		ok, news := cond(), e.news
		e.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-e.done:
			e.t.Fatalf("%s: Run returned %v while the test waited for %s", e.link.Name(), e.err, what)
		case <-timeout:
			e.t.Fatalf("%s: no %s after %v; status %+v", e.link.Name(), what, patience, e.link.Status())
		}
	}
}

// waitUps waits until Up has been called n times.
func (e *end) waitUps(n int) {
	e.t.Helper()
	e.wait("Up", func() bool { return e.ups >= n })
}

func (e *end) upCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ups
}

// receive takes the next n messages.
func (e *end) receive(n int) []transport.Message {
	e.t.Helper()
	e.wait("message", func() bool { return len(e.inbox) >= n })
	e.mu.Lock()
	defer e.mu.Unlock()
	got := e.inbox[:n:n]
	e.inbox = e.inbox[n:]
	return got
}

// expect takes the next message and compares it.
func (e *end) expect(want string) transport.Message {
	e.t.Helper()
	got := e.receive(1)[0]
	if string(got.Data) != want {
		e.t.Fatalf("%s: got message %.40q (%d bytes), want %.40q (%d bytes)", e.link.Name(), got.Data, len(got.Data), want, len(want))
	}
	return got
}

// send sends and fails the test on an error.
func (e *end) send(peer, msg string) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.link.Send(ctx, peer, []byte(msg)); err != nil {
		e.t.Fatalf("%s: Send: %v", e.link.Name(), err)
	}
}

// waitDown polls Send until it says that the link is down, and holds it to doing
// so promptly. Nothing else tells when a carrier's loss has been noticed.
func (e *end) waitDown(peer string) {
	e.t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(5 * time.Millisecond) {
		if errors.Is(trySend(e.t, e.link, peer), transport.ErrLinkDown) {
			return
		}
	}
	e.t.Fatalf("%s: Send has not said ErrLinkDown %v after the carrier went away; status %+v", e.link.Name(), patience, e.link.Status())
}

// trySend sends one message and returns Send's error; it fails the test if that
// takes long.
func trySend(t *testing.T, l transport.Link, peer string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := l.Send(ctx, peer, []byte("is anybody there"))
	if d := time.Since(begin); d > promptly {
		t.Errorf("%s: Send took %v to return %v, with a context of 100 ms", l.Name(), d, err)
	}
	return err
}
