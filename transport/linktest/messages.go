package linktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"cpns.example.net/pngw/transport"
)

// testBothDirections also holds the sender's name where the link knows it.
func testBothDirections(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	gw.send(r.Entity, "down")
	if m := pne.expect("down"); m.Peer != "" {
		t.Errorf("PNE's link names the sender %q; there is only the gateway", m.Peer)
	}
	pne.send("", "up")
	want := ""
	if r.PeerNamed {
		want = r.Entity
	}
	if m := gw.expect("up"); m.Peer != want {
		t.Errorf("gateway's link names the sender %q, want %q", m.Peer, want)
	}
}

func testOrder(t *testing.T, r Rig) {
	const n = 200
	gw, pne := startBoth(t, r)
	for i := range n {
		gw.send(r.Entity, fmt.Sprintf("message %d", i))
	}
	for i := range n {
		pne.expect(fmt.Sprintf("message %d", i))
	}
}

func testSizes(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	for _, size := range []int{1, 2, 252, 253, 254, 255, 256, 508, 511, transport.MaxMessage} {
		for _, fill := range []string{"\x00", "\xff", "\x00\xff"} {
			msg := strings.Repeat(fill, size)[:size]
			gw.send(r.Entity, msg)
			pne.expect(msg)
			pne.send("", msg)
			gw.expect(msg)
		}
	}
}

func testTooLong(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	for _, e := range []*end{gw, pne} {
		err := e.link.Send(t.Context(), r.Entity, make([]byte, transport.MaxMessage+1))
		var tooLong *transport.TooLongError
		if !errors.As(err, &tooLong) || tooLong.Size != transport.MaxMessage+1 {
			t.Errorf("%s: Send of %d bytes: got %v, want a TooLongError", e.link.Name(), transport.MaxMessage+1, err)
		}
	}
	gw.send(r.Entity, "after it")
	pne.expect("after it")
	pne.send("", "after it")
	gw.expect("after it")
}

// testEverybody sends to nobody in particular, as identify does.
func testEverybody(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	gw.send("", "who is there?")
	pne.expect("who is there?")
}

// testConcurrentSend sends from several goroutines at both ends and counts every
// message in, whole.
func testConcurrentSend(t *testing.T, r Rig) {
	const senders, each = 8, 40
	gw, pne := startBoth(t, r)
	text := func(s, i int) string {
		return fmt.Sprintf("%d/%d %s", s, i, strings.Repeat("x", (s*97+i*31)%480))
	}
	var wg sync.WaitGroup
	for s := range senders {
		for _, from := range []struct {
			*end
			peer string
		}{{gw, r.Entity}, {pne, ""}} {
			wg.Go(func() {
				for i := range each {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					if err := from.link.Send(ctx, from.peer, []byte(text(s, i))); err != nil {
						t.Errorf("%s: Send: %v", from.link.Name(), err)
					}
					cancel()
				}
			})
		}
	}
	for _, to := range []*end{gw, pne} {
		missing := make(map[string]bool)
		for s := range senders {
			for i := range each {
				missing[text(s, i)] = true
			}
		}
		for _, m := range to.receive(senders * each) {
			if !missing[string(m.Data)] {
				t.Errorf("%s: message %.40q came twice or was never sent", to.link.Name(), m.Data)
			}
			delete(missing, string(m.Data))
		}
		if len(missing) != 0 {
			t.Errorf("%s: %d messages are missing", to.link.Name(), len(missing))
		}
	}
	wg.Wait()
}

// testSenderKeepsBuffer overwrites a message as soon as Send has returned.
func testSenderKeepsBuffer(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	buf := []byte("first")
	for _, text := range []string{"first", "other", "third"} {
		copy(buf, text)
		if err := gw.link.Send(t.Context(), r.Entity, buf); err != nil {
			t.Fatal(err)
		}
		copy(buf, "XXXXX")
	}
	first := pne.expect("first")
	pne.expect("other")
	pne.expect("third")
	if string(first.Data) != "first" {
		t.Errorf("a received message became %q when later ones came", first.Data)
	}
}

// testNoise holds that junk neither stops messages nor passes for one.
func testNoise(t *testing.T, r Rig) {
	gw, pne := startBoth(t, r)
	junk := []string{
		"\x00",
		"\xff",
		"\x01\x02\x03",
		"\x00\x00\x00\x00",
		"AT\r\n",
		strings.Repeat("\x55\xaa", 300),
		strings.Repeat("\xff", 4096),
		"\x05abc",
	}
	for i, j := range junk {
		r.Noise([]byte(j))
		down, up := fmt.Sprintf("down after %d", i), fmt.Sprintf("up after %d", i)
		gw.send(r.Entity, down)
		pne.expect(down)
		pne.send("", up)
		gw.expect(up)
	}
	for _, e := range []*end{gw, pne} {
		if got := e.link.Status(); got.Dropped == 0 {
			t.Errorf("%s: junk was not counted: %+v", e.link.Name(), got)
		}
		if n := e.upCount(); n != 1 {
			t.Errorf("%s: came up %d times, want once: junk broke the link", e.link.Name(), n)
		}
	}
}
