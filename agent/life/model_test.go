package life

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// world is a gateway and its devices on two shared lines that lose, repeat and
// reorder, with power cuts and failing stores on both sides, devices that are
// rolled back, forgotten and assigned anew, a clock that is not always set, and
// somebody on the lines who forges, replays and drops, driven at random. Beside the
// real code runs what must hold whatever happens, told by facts that the code
// under test has no say in: which keys exist, what was ever saved, and how many
// reasons there were for another key.
type world struct {
	t     *rapid.T
	now   time.Time
	seed  uint64
	air   []airborne
	unset bool // the gateway's clock
	slow  bool // the gateway's store takes its time over each record
	ends  []*end
	heard []airborne // all that was ever said, for replay
}

type airborne struct {
	down bool
	link string
	wire []byte
}

// The two lines.
const (
	lineA = "line"
	lineB = "radio"
)

// end is one device with the gateway's state of it.
type end struct {
	id       cpns.EntityID
	tk       cpns.TK
	volatile bool
	dev      *pne.Device
	mem      flaky

	p       Served
	sealed  []byte    // what the gateway's store has
	writing []byte    // what is on its way there
	waiting []arrived // what has come meanwhile
	broken  bool      // the gateway's store fails

	sets     map[cpns.Epoch]*Set // every set that ever was
	everHeld map[cpns.Epoch]cpns.Index
	epoch    cpns.Epoch
	link     string     // where the device is
	old      pne.State  // what its flash had before
	rolled   bool       // it was rolled back, and nobody has dealt with that
	reasons  int        // why it may have another key of this epoch than the first
	turn     bool       // a turn of the schedule, drawn before, may still come
	proved   cpns.Index // the gateway's, as last seen
	provedOf cpns.Epoch
}

// arrived is an event that waits for the end of a step before it.
type arrived struct {
	ev   Event
	link string
}

// flaky is a device's storage; it fails when told to.
type flaky struct {
	s      pne.State
	broken bool
}

func (f *flaky) Load() (pne.State, error) { return f.s, nil }
func (f *flaky) Save(s *pne.State) error {
	if f.broken {
		return errors.New("worn out")
	}
	f.s = *s
	return nil
}

// Read gives the devices' and the gateway's random bytes: all different, and
// the same in a repeated run.
func (w *world) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += sha256.Size {
		w.seed++
		sum := sha256.Sum256([]byte{byte(w.seed), byte(w.seed >> 8), byte(w.seed >> 16), byte(w.seed >> 24)})
		copy(p[i:], sum[:])
	}
	return len(p), nil
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, now: time.Unix(1763800000, 0)}
	for _, id := range []cpns.EntityID{"a", "b", "c"} {
		e := &end{
			id: id, tk: make(cpns.TK, 16), volatile: id == "c", link: lineA,
			sets: map[cpns.Epoch]*Set{}, everHeld: map[cpns.Epoch]cpns.Index{},
		}
		w.Read(e.tk)
		e.p = Serve(New(id, "alice"))
		w.ends = append(w.ends, e)
		w.powerUp(e)
		w.assign(e)
	}
	return w
}

func (w *world) powerUp(e *end) {
	if e.volatile {
		e.mem.s = pne.State{}
		e.reasons++
	}
	d, err := pne.New(pne.Config{Entity: e.id, TK: e.tk, Storage: &e.mem, Rand: w})
	if err != nil {
		w.t.Fatal(err)
	}
	e.dev = d
}

// assign is the server's and the user's part: a new set, one epoch on.
func (w *world) assign(e *end) {
	w.sync(e)
	e.epoch++
	s := &Set{Epoch: e.epoch, Length: cpns.Index(rapid.IntRange(2, 6).Draw(w.t, "length")), TK: e.tk, Taken: w.now.Unix()}
	w.Read(s.Last[:])
	if err := e.p.Refuses(s); err != nil {
		w.t.Fatalf("%s: the server's next set is refused: %v", e.id, err)
	}
	e.sets[e.epoch] = s
	w.command(e, Requested{&Request{User: "alice"}})
	w.command(e, Assigned{User: "alice", Set: s, Reassign: true})
	if !e.broken && !e.p.rec.target().same(s) {
		w.t.Fatalf("%s: the new set is not the one to be delivered", e.id)
	}
	if e.broken { // the user was told, and gives the command again
		e.epoch--
		delete(e.sets, s.Epoch)
		return
	}
	e.rolled, e.reasons = false, 0
	if e.turn { // the schedule goes on as it was, whatever set there is
		e.reasons++
	}
}

// maxWaits is how many events may wait for a step's end; what comes beyond is lost.
const maxWaits = 4

// gateway is what Agent.apply does, with a store that may be slow, and may fail.
func (w *world) gateway(e *end, ev Event, link string) {
	if e.p.Writing() {
		if _, timeout := ev.(Timeout); !timeout && len(e.waiting) < maxWaits {
			e.waiting = append(e.waiting, arrived{ev, link})
		}
		return
	}
	a := World{
		Now: w.now, ClockSet: !w.unset, Gateway: testGateway, Link: link, Reauth: modelPeriod, Chance: w.seed * 0x9e3779b97f4a7c15,
		Wait: func(string) time.Duration { return time.Second },
	}
	w.Read(a.RandGW[:])
	w.Read(a.IV[:])
	effects, store := e.p.Step(ev, a)
	if store == nil {
		w.have(e, effects)
		return
	}
	if len(effects) > 0 {
		w.t.Fatalf("%s: %T has effects before its record is stored", e.id, ev)
	}
	var err error
	if e.writing, err = store.Marshal(); err != nil {
		w.t.Fatal(err)
	}
	if !w.slow {
		w.written(e)
	}
}

// written is the end of a step, as the store is at that moment.
func (w *world) written(e *end) {
	var err error
	if e.broken {
		err = errors.New("worn out")
	} else {
		e.sealed = e.writing
	}
	e.writing = nil
	w.have(e, e.p.Written(err))
	waiting := e.waiting
	e.waiting = nil
	for _, a := range waiting {
		w.gateway(e, a.ev, a.link)
	}
}

// sync waits for the end of the steps under way.
func (w *world) sync(e *end) {
	for e.p.Writing() {
		w.written(e)
	}
}

// command is a user's, who waits for its end.
func (w *world) command(e *end, ev Event) {
	w.sync(e)
	w.gateway(e, ev, "")
	w.sync(e)
}

// have is what a step's effects come to.
func (w *world) have(e *end, effects []Effect) {
	for _, f := range effects {
		m, ok := f.(Outgoing)
		if !ok {
			continue
		}
		for _, l := range []string{lineA, lineB} {
			if m.Link == "" || m.Link == l {
				w.put(airborne{true, l, m.Wire})
			}
		}
	}
	w.check(e)
}

// modelPeriod is long beside what the random part of a run takes, so that a key
// used up by it counts.
const modelPeriod = 24 * time.Hour

// restart is the gateway's: what was in memory is gone.
func (w *world) restart(e *end) {
	// A record that was on its way may have got there.
	if e.writing != nil && !e.broken && rapid.Bool().Draw(w.t, "got there") {
		e.sealed = e.writing
	}
	e.writing, e.waiting = nil, nil
	p, err := Parse(string(e.id), e.sealed)
	if err != nil {
		w.t.Fatal(err)
	}
	e.p = Serve(p)
	e.turn = true
	e.reasons++ // the schedule's first turn is drawn anew
	w.gateway(e, Started{}, "")
}

// check is what must hold after every move.
func (w *world) check(e *end) {
	if stored, err := e.p.Marshal(); err != nil || !e.p.Empty() && !bytes.Equal(stored, e.sealed) {
		w.t.Fatalf("%s: what counts is not what the store has (%v)", e.id, err)
	}
	if e.p.rec.alarm != nil && !e.rolled {
		w.t.Fatalf("%s: alarm without a roll-back: %v", e.id, e.p.rec.alarm)
	}
	g, epoch, index := e.dev.Held()
	if epoch != 0 {
		e.everHeld[epoch] = max(e.everHeld[epoch], index)
		if g != testGateway {
			w.t.Fatalf("%s holds a key of gateway %q", e.id, g)
		}
		s := e.sets[epoch]
		if s == nil || index > s.Length {
			w.t.Fatalf("%s holds key %d of epoch %d, which never was", e.id, index, epoch)
		}
		if want := s.key(index); e.mem.s.EUKey != want {
			w.t.Fatalf("%s holds another key than its own %d of epoch %d", e.id, index, epoch)
		}
	}
	if epoch == e.epoch && int(index) > 1+e.reasons {
		w.t.Fatalf("%s is at key %d, with %d reasons for another than the first", e.id, index, e.reasons)
	}
	cur := e.p.rec.current
	if cur == nil {
		return
	}
	if epoch == cur.Epoch && index > cur.Proved+1 {
		w.t.Fatalf("%s is at key %d, the gateway at %d", e.id, index, cur.Proved)
	}
	if cur.Epoch < e.provedOf || cur.Epoch == e.provedOf && cur.Proved < e.proved {
		w.t.Fatalf("%s: the gateway went back from %d/%d to %d/%d", e.id, e.provedOf, e.proved, cur.Epoch, cur.Proved)
	}
	if cur.Proved > e.everHeld[cur.Epoch] {
		w.t.Fatalf("%s: the gateway counts key %d of epoch %d, the device never had more than %d", e.id, cur.Proved, cur.Epoch, e.everHeld[cur.Epoch])
	}
	if cur.Proved > 0 {
		e.provedOf, e.proved = cur.Epoch, cur.Proved
	}
}

// land brings one message to everybody on its line.
func (w *world) land(m airborne) {
	if m.down {
		for _, e := range w.ends {
			if e.link != m.link {
				continue
			}
			before := e.mem.s
			out, ev := e.dev.Handle(m.wire)
			if e.mem.s != before {
				e.old = before
			}
			if ev.Kind == pne.Identify {
				w.hello(e)
			}
			w.say(e, out)
			w.check(e)
		}
		return
	}
	msg, err := cpns.ParseMessage(m.wire)
	if err != nil {
		w.t.Fatal(err)
	}
	var id cpns.EntityID
	switch msg := msg.(type) {
	case *cpns.Hello:
		id = msg.Entity
	case *cpns.Acknowledgement:
		id = msg.Entity
	case *cpns.AuthResponse:
		id = msg.Entity
	}
	for _, e := range w.ends {
		if e.id == id {
			w.gateway(e, msg, m.link)
		}
	}
}

// put brings a message onto a line.
func (w *world) put(m airborne) {
	w.air = append(w.air, m)
	w.heard = append(w.heard, m)
}

func (w *world) say(e *end, wire []byte) {
	if wire != nil {
		w.put(airborne{false, e.link, wire})
	}
}

func (w *world) hello(e *end) {
	wire, err := e.dev.Hello()
	if err != nil {
		w.t.Fatal(err)
	}
	w.say(e, wire)
}

// forge says what needs no key, in a device's name or in the gateway's.
func (w *world) forge(t *rapid.T) {
	e := w.pick()
	epoch, index := cpns.Epoch(rapid.IntRange(0, 4).Draw(t, "epoch")), cpns.Index(rapid.IntRange(1, 6).Draw(t, "index"))
	if epoch == 0 {
		index = 0
	}
	var m cpns.Message
	down := false
	switch rapid.IntRange(0, 3).Draw(t, "what") {
	case 0:
		h := cpns.Hello{Entity: e.id, Epoch: epoch, Index: index, Algs: []int64{24}}
		w.Read(h.Nonce[:])
		var err error
		if m, err = cpns.NewHello(make(cpns.TK, 16), h); err != nil {
			t.Fatal(err)
		}
	case 1:
		m = cpns.NewFailedAcknowledgement(cpns.AckStatus(rapid.IntRange(1, 4).Draw(t, "status")), e.id, max(epoch, 1), max(index, 1))
	case 2:
		c := &cpns.AuthChallenge{Entity: e.id, Gateway: testGateway}
		w.Read(c.RandGW[:])
		m, down = c, true
	case 3:
		m, down = &cpns.Identify{Entity: e.id}, true
	}
	wire, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	w.land(airborne{down, rapid.SampledFrom([]string{lineA, lineB}).Draw(t, "line"), wire})
}

func (w *world) pick() *end { return w.ends[rapid.IntRange(0, len(w.ends)-1).Draw(w.t, "device")] }

func (w *world) takeFromAir() (airborne, bool) {
	if len(w.air) == 0 {
		return airborne{}, false
	}
	i := rapid.IntRange(0, len(w.air)-1).Draw(w.t, "message")
	m := w.air[i]
	w.air = slices.Delete(w.air, i, i+1)
	return m, true
}

func (w *world) deliver(*rapid.T) {
	if m, ok := w.takeFromAir(); ok {
		w.land(m)
	}
}

func (w *world) duplicate(*rapid.T) {
	if m, ok := w.takeFromAir(); ok {
		w.land(m)
		w.air = append(w.air, m)
	}
}

// TestAnything drives thousands of interleavings, and then lets the link work:
// whatever happened, every device must then get to its key.
func TestAnything(t *testing.T) {
	interleave(t)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"deliver":      w.deliver,
			"deliver more": w.deliver,
			"and more":     w.deliver,
			"duplicate":    w.duplicate,
			"lose":         func(*rapid.T) { w.takeFromAir() },
			"hello":        func(*rapid.T) { w.hello(w.pick()) },
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 40000).Draw(t, "ms")) * time.Millisecond)
				for _, e := range w.ends {
					w.gateway(e, Timeout{}, "")
				}
			},
			"the schedule's period": func(*rapid.T) {
				w.now = w.now.Add(modelPeriod)
				for _, e := range w.ends {
					e.turn = true
					e.reasons += 2 // it may be due by its turn, and by a hello
					w.gateway(e, Timeout{}, "")
				}
			},
			"device power cut": func(*rapid.T) { w.powerUp(w.pick()) },
			"gateway power cut": func(*rapid.T) {
				for _, e := range w.ends {
					w.restart(e)
				}
			},
			"authenticate":  func(*rapid.T) { e := w.pick(); e.reasons++; w.gateway(e, Authenticate{}, "") },
			"ask for hello": func(*rapid.T) { w.gateway(w.pick(), AskForHello{}, "") },
			"new set":       func(*rapid.T) { w.assign(w.pick()) },
			"forget": func(*rapid.T) {
				e := w.pick()
				w.sync(e)
				if e.broken {
					return
				}
				e.p, e.proved, e.provedOf = Serve(New(e.id, "alice")), 0, 0
				w.assign(e)
			},
			"device's flash":          func(*rapid.T) { e := w.pick(); e.mem.broken = !e.mem.broken && !e.volatile },
			"gateway's flash is slow": func(*rapid.T) { w.slow = !w.slow },
			"a record is written": func(*rapid.T) { // of any PNE, whichever came first
				if e := w.pick(); e.p.Writing() {
					w.written(e)
				}
			},
			"gateway's flash": func(*rapid.T) {
				e := w.pick()
				e.broken = !e.broken
			},
			"rolled back": func(*rapid.T) {
				e := w.pick()
				if e.volatile || e.old.Index == 0 {
					return
				}
				e.rolled, e.mem.s = true, e.old
				if e.old.Epoch != e.epoch { // it has lost its key, and gets the next
					e.reasons++
				}
				w.powerUp(e)
			},
			"readmit": func(*rapid.T) { w.readmit(w.pick()) },
			"clock":   func(*rapid.T) { w.unset = !w.unset },
			"another line": func(*rapid.T) {
				e := w.pick()
				e.link = map[string]string{lineA: lineB, lineB: lineA}[e.link]
			},
			"replay": func(t *rapid.T) {
				if len(w.heard) > 0 {
					w.land(w.heard[rapid.IntRange(0, len(w.heard)-1).Draw(t, "old")])
				}
			},
			"drop all": func(*rapid.T) { w.air = nil },
			"forge":    w.forge,
		})
		w.settle(t)
	})
}

// readmit is a person's answer to an alarm.
func (w *world) readmit(e *end) {
	w.sync(e)
	if e.p.rec.alarm == nil || e.broken {
		return
	}
	e.reasons++
	if e.p.UsedUp() { // there is no next key to give
		w.assign(e)
		return
	}
	e.rolled = false // what it holds by now raises no second alarm
	w.command(e, Readmit{})
}

// interleave has rapid try thousands of interleavings, unless the command line
// gives a number; hundreds where the processor may be an emulated one, or the race
// detector watches.
func interleave(t *testing.T) {
	t.Helper()
	checks, steps := "2000", "60"
	if underRace || runtime.GOARCH != "amd64" {
		checks = "300"
	}
	for name, value := range map[string]string{"rapid.checks": checks, "rapid.steps": steps} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			if err := flag.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// settle lets everything work again, and wants each device to hold the key that
// the gateway counts.
func (w *world) settle(t *rapid.T) {
	w.unset, w.slow = false, false
	for _, e := range w.ends {
		w.sync(e)
	}
	w.air = nil
	for range 4 {
		w.now = w.now.Add(25 * time.Hour) // whatever was paced is due again
		for _, e := range w.ends {
			e.broken, e.mem.broken, e.reasons = false, false, e.reasons+100
			w.readmit(e)
			for range sends + 2 { // what was under way is given up
				w.gateway(e, Timeout{}, "")
				w.now = w.now.Add(time.Minute)
			}
			w.air = nil
			if e.volatile {
				w.powerUp(e)
			}
			w.hello(e)
			for len(w.air) > 0 {
				m := w.air[0]
				w.air = w.air[1:]
				w.land(m)
			}
		}
	}
	for _, e := range w.ends {
		_, epoch, index := e.dev.Held()
		target := e.p.rec.target()
		switch {
		case epoch == target.Epoch && index == target.Proved:
		case epoch == 0 && target.usedUp(): // lost its key, and there is no next
		default:
			t.Fatalf("%s holds %d/%d and the gateway counts %d/%d of %d: %s", e.id, epoch, index, target.Epoch, target.Proved, target.Length, e.p.View().Note)
		}
		if again, err := e.p.Marshal(); err != nil || !bytes.Equal(again, e.sealed) {
			t.Fatalf("%s: the store has another record than the state (%v)", e.id, err)
		}
	}
}
