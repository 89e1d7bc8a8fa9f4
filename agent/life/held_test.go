package life

import (
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// held is a PNE whose first key waits for the button.
func held(t *testing.T) (*bench, *Set) {
	b, s := newBench(t), newSet(2, 6)
	b.step(Requested{&Request{User: "alice"}})
	b.none(Assigned{User: "alice", Set: s, Hold: true})
	return b, s
}

// TestHeld: while the gateway's button is not pressed, a PNE that is held gets nothing,
// is asked nothing, and costs no look at the time; once it is pressed it is asked, and
// gets its key as any other. Then it is held no more.
func TestHeld(t *testing.T) {
	b, s := held(t)
	if v := b.p.View(); !v.Held || !v.Pending || v.State != StateAssigned || v.Note == "" {
		t.Errorf("the view is %+v", v)
	}
	b.none(b.hello(0, 0))
	if b.p.View().LastSeen == "" {
		t.Error("that it has spoken is not shown")
	}
	b.none(b.hello(1, 3)) // of an older set, from another gateway
	b.none(AskForHello{})
	b.none(Authenticate{})
	b.none(Opened{}) // which is not so
	b.step(Started{})
	if !b.p.Due().IsZero() {
		t.Errorf("it is looked at again at %v", b.p.Due())
	}

	b.w.Open = true
	if _, ok := b.one(Opened{}).(*cpns.Identify); !ok {
		t.Fatal("it is not asked")
	}
	if wait := b.p.Due().Sub(b.w.Now); wait < 5*time.Second || wait > 15*time.Second {
		t.Errorf("it is asked again after %v", wait)
	}
	h := b.hello(0, 0)
	m := b.one(h)
	b.w.Open = false // its answer comes when the two minutes are over
	ack, _ := take(t, m, s, h)
	b.none(ack)
	b.told(Delivered)
	b.wantState(StateDelivered, 2, 1)
	if b.p.Held() {
		t.Error("it is still held")
	}
	b.asked(b.hello(2, 1))
	b.none(Opened{}) // is not its concern any more
}

// TestHeldClosed: who is not there while it is open is asked no more when it is over.
func TestHeldClosed(t *testing.T) {
	b, _ := held(t)
	b.w.Open = true
	b.one(Opened{})
	b.w.Open = false
	b.w.Now = b.p.Due()
	b.none(Timeout{})
	b.none(b.hello(0, 0))
	if !b.p.Due().IsZero() {
		t.Errorf("it is looked at again at %v", b.p.Due())
	}
}

// TestHeldEnds: a set that is asked for without the button is given at once; and a PNE
// that has proved a key is not held, whoever asks for that.
func TestHeldEnds(t *testing.T) {
	b, _ := held(t)
	s := newSet(3, 6)
	b.assign(s)
	if b.p.Held() {
		t.Error("it is still held")
	}
	h := b.hello(0, 0)
	ack, _ := take(t, b.one(h), s, h)
	b.none(ack)
	b.step(Requested{&Request{User: "alice"}})
	b.none(Assigned{User: "alice", Set: newSet(4, 6), Hold: true})
	if b.p.Held() {
		t.Error("one that has a key is held")
	}
}

// TestHeldRecord: that it is held is in its record, and every other's is what it was.
func TestHeldRecord(t *testing.T) {
	b, s := held(t)
	value, err := b.p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(string(testEntity), value)
	if err != nil || !p.Held() {
		t.Fatalf("read back: held is %v, %v", p.Held(), err)
	}
	b.assign(s)
	plain, err := b.p.Marshal()
	if err != nil || plain[0] != value[0]-1 || len(value) != len(plain)+1 {
		t.Fatalf("%x, %v, after %x", plain, err, value)
	}
	for name, bad := range map[string][]byte{
		"not held, and says so": append(append([]byte{}, value[:len(value)-1]...), 0xf4),
		"an item more":          append([]byte{value[0] + 1}, append(append([]byte{}, value[1:]...), 0xf5)...),
		"an item less":          append([]byte{plain[0] - 1}, plain[1:len(plain)-1]...),
		"without its number":    append([]byte{plain[0]}, value[1:]...),
	} {
		if _, err := Parse(string(testEntity), bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
