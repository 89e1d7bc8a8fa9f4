package life

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// This file is the attacker as a test: a breadth-first search over every order in
// which one gateway, one PNE and whoever owns the line between them can act. Both
// ends are the real code. Every message that was ever said can be delivered at any
// time, again, late or never; the attacker says what needs no key, and rewrites
// what was said. What must hold is looked at in every state that is reached, and
// from a share of them the line is let work, and must bring the key.

// scenario is what may happen, and how often: small enough to be searched.
type scenario struct {
	name     string
	begin    prelude
	volatile bool // the PNE keeps only TK through a power cut
	reauth   bool // there is a schedule
	x25519   bool
	rewrites bool // the attacker rewrites what was said

	hellos, challenges          int // new ones of either end
	cuts, restarts              int // power cuts of the PNE, and of the gateway
	commands, periods, silences int // a person's authenticate; the schedule's period; repeats given up
	sets, olds                  int // sets of a newer epoch; of one that was given already, by a server that went back
	rollbacks, readmits         int // of the PNE's flash; by a person
}

// prelude is how far things have come when a search begins: whatever was said on
// the way the attacker has kept.
type prelude int

const (
	assigned      prelude = iota // a set is here
	delivered                    // the PNE has proved its first key
	authenticated                // a command has moved it on to its second
	due                          // delivered, and the schedule is due
	moved                        // the schedule has moved it on, when a hello came
	alarmed                      // authenticated, rolled back and found out
)

// The scenarios: each holds a share of section 4's rules to the fire.
var scenarios = []scenario{
	{name: "delivery", hellos: 2, challenges: 2, restarts: 1, silences: 1},
	{name: "schedule", begin: due, reauth: true, hellos: 2, challenges: 2, restarts: 1},
	{name: "moved by the schedule", begin: moved, reauth: true, hellos: 2, challenges: 2, restarts: 1},
	{name: "period", begin: delivered, reauth: true, hellos: 1, challenges: 2, periods: 1},
	{name: "command", begin: authenticated, hellos: 1, challenges: 2, silences: 1, commands: 1},
	{name: "volatile", volatile: true, hellos: 3, challenges: 1, cuts: 1, restarts: 1},
	{name: "power cut", hellos: 2, challenges: 1, cuts: 1},
	{name: "newer set", begin: delivered, hellos: 2, challenges: 1, sets: 1, olds: 1},
	{name: "rollback", begin: authenticated, hellos: 1, challenges: 2, rollbacks: 1, readmits: 1},
	{name: "readmitted", begin: alarmed, hellos: 2, challenges: 2, readmits: 1, commands: 1},
	{name: "rewritten", hellos: 1, challenges: 2, rewrites: true, commands: 1, sets: 1},
	{name: "x25519", hellos: 2, challenges: 1, restarts: 1, x25519: true},
}

const (
	searchKeys   = 6
	searchPeriod = 24 * time.Hour
)

var searchStart = time.Unix(1763800000, 0)

// node is one state of the whole: both ends, what each has stored, and every
// message that was ever said.
type node struct {
	gw      PNE
	dev     pne.Device
	flash   pne.State // what the PNE's storage has
	old     pne.State // and what it had before its last change, for a rollback
	said    string    // ids of messages, four bytes each, in order of id
	agreed  string    // every session key that the PNE ever agreed on, eight bytes of each
	offered string    // and every one that an update of the gateway's would give

	left    scenario // how often what may still happen
	day     int
	drawn   uint16     // randoms that the PNE has drawn
	opened  uint16     // challenges that the gateway has opened
	causes  uint16     // why the PNE may have another key: power cuts, periods, commands
	rolled  bool       // and nobody has dealt with that
	polled  bool       // the gateway has sent an identify since that was last looked at
	quiet   bool       // the PNE says no hello by itself: something has opened since its last
	epochs  cpns.Epoch // sets that were assigned
	highest cpns.Index // key of the newest epoch that the PNE ever had
}

// search is one run.
type search struct {
	t      *testing.T
	s      scenario
	ids    map[string]uint32
	wires  []wire
	flash  flashSlot
	random randomSlot
	config pne.Config
	born   map[pne.State]pne.Device
	seed   maphash.Seed
	seen   map[uint64]origin
	tried  int
	looked int
	depth  int
	lived  int
}

// wire is a message that was said, once.
type wire struct {
	bytes     []byte
	parsed    cpns.Message
	down      bool
	rewritten []uint32 // what an attacker makes of it
}

type origin struct {
	from uint64
	move string
}

// flashSlot is the storage of whichever PNE is being asked.
type flashSlot struct{ state pne.State }

func (f *flashSlot) Load() (pne.State, error) { return f.state, nil }
func (f *flashSlot) Save(s *pne.State) error  { f.state = *s; return nil }

// randomSlot is the PNE's random source: what it draws follows from how much it
// has drawn.
type randomSlot struct{ drawn uint16 }

func (r *randomSlot) Read(p []byte) (int, error) {
	r.drawn++
	sum := sha256.Sum256([]byte(fmt.Sprint("pne", r.drawn)))
	return copy(p, sum[:]), nil
}

var searchTK = cpns.TK("the temporary key of the search.")

func searchSet(e cpns.Epoch) *Set {
	s := &Set{Epoch: e, Length: searchKeys, TK: searchTK, Taken: searchStart.Unix()}
	s.Last = sha256.Sum256([]byte{byte(e)})
	return s
}

func newSearch(t *testing.T, s scenario) *search {
	r := &search{t: t, s: s, ids: map[string]uint32{}, born: map[pne.State]pne.Device{}, seed: maphash.MakeSeed(), seen: map[uint64]origin{}}
	r.config = pne.Config{Entity: testEntity, TK: searchTK, Storage: &r.flash, Rand: &r.random, X25519: s.x25519}
	return r
}

// switchOn is the PNE after a power cut.
func (r *search) switchOn(s pne.State) pne.Device {
	if d, ok := r.born[s]; ok {
		return d
	}
	r.flash.state = s
	d, err := pne.New(r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.born[s] = *d
	return *d
}

// id gives a message its number.
func (r *search) id(b []byte, down bool) uint32 {
	if id, ok := r.ids[string(b)]; ok {
		return id
	}
	m, err := cpns.ParseMessage(b)
	if err != nil {
		r.t.Fatalf("said %x: %v", b, err)
	}
	id := uint32(len(r.wires))
	r.ids[string(b)] = id
	r.wires = append(r.wires, wire{bytes: b, parsed: m, down: down})
	return id
}

// say adds a message to what was said.
func (r *search) say(n *node, b []byte, down bool) {
	if b == nil {
		return
	}
	ids := n.list()
	id := r.id(b, down)
	at, found := slices.BinarySearch(ids, id)
	if found {
		return
	}
	n.set(slices.Insert(ids, at, id))
}

func (n *node) list() []uint32 {
	ids := make([]uint32, 0, len(n.said)/4+1)
	for i := 0; i < len(n.said); i += 4 {
		ids = append(ids, binary.BigEndian.Uint32([]byte(n.said[i:])))
	}
	return ids
}

func (n *node) set(ids []uint32) {
	b := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		b = binary.BigEndian.AppendUint32(b, id)
	}
	n.said = string(b)
}

// path is how a state came to be.
func (r *search) path(key uint64, last string) string {
	moves := []string{last}
	for at, ok := r.seen[key]; ok && at.move != ""; at, ok = r.seen[at.from] {
		moves = append(moves, at.move)
	}
	slices.Reverse(moves)
	for i, m := range moves {
		var id uint32
		if _, err := fmt.Sscanf(m[strings.LastIndex(m, " ")+1:], "%d", &id); err == nil && int(id) < len(r.wires) {
			moves[i] = fmt.Sprintf("%s: %s", m, describe(r.wires[id].parsed))
		}
	}
	return strings.Join(moves, "\n\t")
}

func describe(m cpns.Message) string {
	switch m := m.(type) {
	case *cpns.Hello:
		return fmt.Sprintf("hello %x of %d/%d", m.Nonce[:2], m.Epoch, m.Index)
	case *cpns.Notification:
		return fmt.Sprintf("notification of %d/%d", m.Epoch, m.Index)
	case *cpns.Acknowledgement:
		return fmt.Sprintf("acknowledgement %v of %d/%d", m.Status, m.Epoch, m.Index)
	case *cpns.AuthChallenge:
		return fmt.Sprintf("auth-challenge %x", m.RandGW[:2])
	case *cpns.AuthResponse:
		return fmt.Sprintf("auth-response %x of %d/%d", m.RandPNE[:2], m.Epoch, m.Index)
	case *cpns.EUKeyUpdate:
		return fmt.Sprintf("eukey-update of %d/%d", m.Epoch, m.Index)
	}
	return m.MessageType().String()
}

// run searches, and returns what it found, nil for nothing.
func (r *search) run(limit int) (err error) {
	var at uint64
	var move string
	defer func() {
		switch e := recover().(type) {
		case nil:
		case error:
			if !errors.Is(e, errFound) {
				panic(e)
			}
			err = fmt.Errorf("%w\n\t%s", e, r.path(at, move))
		default:
			panic(e)
		}
	}()
	move = "the beginning"
	first := r.first()
	level := []node{first}
	key := r.key(&first)
	r.seen[key] = origin{}
	for depth := 0; len(level) > 0; depth++ {
		r.depth = depth
		var next []node
		for i := range level {
			at = r.key(&level[i])
			if r.looked++; r.looked%livesEvery == 0 {
				move = "the line works"
				r.lives(&level[i])
				r.lived++
			}
			r.moves(&level[i], func(m string, n node) {
				move = m
				r.tried++
				r.check(&n)
				key := r.key(&n)
				if _, ok := r.seen[key]; ok {
					return
				}
				r.seen[key] = origin{at, m}
				next = append(next, n)
			})
			if len(r.seen) > limit {
				return nil
			}
		}
		level = next
	}
	return nil
}

// livesEvery is how many states there are to one from which the line is let work.
const livesEvery = 7

// first is where a search begins.
func (r *search) first() node {
	n := node{left: r.s, gw: New(testEntity, "alice"), dev: r.switchOn(pne.State{})}
	n.left.hellos, n.left.challenges = 10, 10
	r.assign(&n)
	r.apply(&n, Started{}, r.world(&n))
	if r.s.begin >= delivered {
		r.hello(&n)
		r.drain(&n, nil)
	}
	if r.s.begin == due || r.s.begin == moved {
		n.day++
		n.causes++
	}
	if r.s.begin == moved {
		before := n.list()
		r.hello(&n)
		r.drain(&n, before)
	}
	if r.s.begin == authenticated || r.s.begin == alarmed {
		before := n.list()
		n.causes++
		r.apply(&n, Authenticate{}, r.world(&n))
		r.drain(&n, before)
	}
	if r.s.begin == alarmed {
		r.rollBack(&n)
		before := n.list()
		r.hello(&n)
		r.drain(&n, before)
	}
	want := map[prelude]State{assigned: StateAssigned, alarmed: StateAlarm}[r.s.begin]
	if want == "" {
		want = StateDelivered
	}
	if got := n.gw.View().State; got != want {
		r.fail(&n, "everything works, and the gateway says %s, not %s", got, want)
	}
	n.left.hellos, n.left.challenges = r.s.hellos, r.s.challenges
	n.polled = false
	r.settleTimes(&n)
	return n
}

// key is a node's hash.
func (r *search) key(n *node) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	r.digest(&h, reflect.ValueOf(n.gw.rec))
	r.digest(&h, reflect.ValueOf(&n.gw.mem))
	r.digest(&h, reflect.ValueOf(&n.dev))
	fmt.Fprint(&h, n.flash.Epoch, n.flash.Index, n.old.Epoch, n.old.Index, n.left.hellos, n.left.challenges, n.left.cuts, n.left.restarts, n.left.commands, n.left.periods, n.left.silences, n.left.sets, n.left.olds, n.left.rollbacks, n.left.readmits, n.drawn, n.opened, n.causes, n.rolled, n.quiet, n.polled, n.highest, n.day)
	h.WriteString(n.said)
	h.WriteString(n.agreed + "/" + n.offered)
	return h.Sum64()
}

// digest writes a value's contents, whatever it is: nothing that either end keeps
// can be forgotten.
func (r *search) digest(h *maphash.Hash, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*pne.Config]() {
			return // the same for all
		}
		if v.Type() == reflect.TypeFor[*time.Location]() {
			return
		}
		if v.IsNil() {
			h.WriteByte(0)
			return
		}
		h.WriteByte(1)
		r.digest(h, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			r.digest(h, v.Field(i))
		}
	case reflect.String:
		maphash.WriteComparable(h, v.Len())
		h.WriteString(v.String())
	case reflect.Slice:
		maphash.WriteComparable(h, v.Len())
		if v.Type().Elem().Kind() == reflect.Uint8 {
			h.Write(v.Bytes())
			return
		}
		for i := range v.Len() {
			r.digest(h, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			r.digest(h, v.Index(i))
		}
	case reflect.Bool:
		if v.Bool() {
			h.WriteByte(1)
		} else {
			h.WriteByte(0)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		maphash.WriteComparable(h, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		maphash.WriteComparable(h, v.Uint())
	default:
		r.t.Fatalf("no digest for a %v", v.Type())
	}
}

// searchLimit is how many states of a scenario are looked at: some seconds of one
// core for all of them, fewer where the processor may be an emulated one, or the
// race detector watches.
// CPNS_SEARCH sets another, see docs/testing.md.
func searchLimit(t *testing.T) int {
	limit := 8000
	if underRace || runtime.GOARCH != "amd64" {
		limit = 800
	}
	if s := os.Getenv("CPNS_SEARCH"); s != "" {
		if _, err := fmt.Sscan(s, &limit); err != nil {
			t.Fatalf("CPNS_SEARCH=%s: %v", s, err)
		}
	}
	return limit
}

// TestSearch is the attacker as a test, above. scripts/search takes section 4's
// rules out one at a time and wants it to fail.
func TestSearch(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			r := newSearch(t, s)
			begin := time.Now()
			if err := r.run(searchLimit(t)); err != nil {
				t.Error(err)
			}
			t.Logf("%d states, %d deep, %d moves, from %d the line works; %d messages, %v", len(r.seen), r.depth, r.tried, r.lived, len(r.wires), time.Since(begin).Round(time.Millisecond))
		})
	}
}
