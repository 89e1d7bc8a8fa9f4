package device

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"cpns.example.net/pngw/cpns"
)

const (
	recordSize = 128
	norBlock   = 256
	norSize    = 4 * norBlock
)

// A keeper is a device that keeps its EUKey in a storage of the library's, of which
// this test knows the content.
type keeper struct{ *twin }

// newKeeper makes a device that holds EUKey_1.
func newKeeper(t *testing.T, v *vector, flags string) *keeper {
	t.Helper()
	d := &keeper{newTwin(t, ports[0], v, flags)}
	d.hold(1)
	d.do("poll %d", d.now)
	return d
}

// challenged has the device answer a challenge, and wait for the update.
func (d *keeper) challenged() {
	d.t.Helper()
	d.do("script %x", d.v.RandPNE)
	if a := d.message(d.now, d.v.AuthChallenge); len(a.said) != 1 {
		d.t.Fatalf("the challenge was not answered: %v", a.events)
	}
}

// restart takes the power away and gives it back. It returns the index held, and whether
// the device has told that a record was lost.
func (d *keeper) restart() (index int, lost bool) {
	d.t.Helper()
	a := d.harness.boot(d.now)
	lost = slices.ContainsFunc(a.events, func(e event) bool { return e.kind == kindRecordLost })
	var holds int
	var epoch uint32
	if _, err := fmt.Sscan(d.held(), &holds, &epoch, &index); err != nil {
		d.t.Fatal(err)
	}
	if index != 0 && (epoch != uint32(d.v.Epoch) || !strings.Contains(d.held(), " "+string(d.v.Gateway)+" ")) {
		d.t.Fatalf("it holds %s", d.held())
	}
	return index, lost
}

// proves tells whether the key that is held is the one of that index: nobody can
// answer a challenge otherwise.
func (d *keeper) proves(index int) {
	d.t.Helper()
	randGW := [16]byte{0xcc, byte(index)}
	m := &cpns.AuthChallenge{Entity: d.v.Entity, Gateway: d.v.Gateway, RandGW: randGW}
	msg, err := m.Marshal()
	if err != nil {
		d.t.Fatal(err)
	}
	a := d.message(d.now, msg)
	if len(a.said) != 1 {
		d.t.Fatalf("a challenge got %x, %v", a.said, a.events)
	}
	response, err := cpns.ParseMessage(a.said[0])
	if err != nil {
		d.t.Fatal(err)
	}
	if err := response.(*cpns.AuthResponse).Verify((*cpns.EUKey)(d.v.EUKeys[index-1]), d.v.Gateway, &randGW); err != nil {
		d.t.Fatalf("the key that is held is not EUKey_%d: %v", index, err)
	}
}

// TestTornWrites cuts the power after each byte that the flash erases or writes while an
// update is stored. Afterwards the device holds the key before or the new one, whole; the
// new one if it has acknowledged that; and goes on from there.
func TestTornWrites(t *testing.T) {
	v := vectors(t)[0]
	for _, flags := range []string{"n", "ne"} {
		t.Run(flags, func(t *testing.T) {
			d := newKeeper(t, &v, flags)
			image := d.do("nor").result[0]
			epochOnly := strings.Contains(flags, "e")
			old, taken, complete := 0, 0, false
			for fuel := 0; !complete; fuel++ {
				if fuel > 4*norBlock {
					t.Fatal("storing never ends")
				}
				d.do("power")
				if epochOnly { // the first key of all is what writes
					d.do("nor %s", strings.Repeat("ff", norSize))
					d.restart()
					d.hello([]byte("sixteen bytes ..")[:16])
				} else {
					d.do("nor %s", image)
					if index, _ := d.restart(); index != 1 {
						t.Fatalf("it begins with index %d", index)
					}
					d.challenged()
				}
				d.do("fuel %d", fuel)
				var a answer
				if epochOnly {
					a = d.message(d.now, d.notify(1, v.TK, v.EUKeys[0]))
				} else {
					a = d.message(d.now, v.Update)
				}
				acknowledged := len(a.events) == 1 && a.events[0].kind == kindStored
				d.do("poll %d", d.now) // the second copy
				complete = d.do("fuel -1").result == nil && !d.isDead()
				d.do("power")
				index, lost := d.restart()
				if epochOnly {
					if index != 0 {
						t.Fatalf("after %d bytes: index %d from a storage that has no place for keys", fuel, index)
					}
					if refused := d.takesEpochBefore(); acknowledged && !refused {
						t.Fatalf("after %d bytes: the epoch is forgotten", fuel)
					}
					taken++
					continue
				}
				switch {
				case lost:
					t.Fatalf("after %d bytes: the record is lost", fuel)
				case acknowledged && index != 2, index != 1 && index != 2:
					t.Fatalf("after %d bytes: index %d; acknowledged: %v", fuel, index, acknowledged)
				case index == 1:
					old++
				default:
					taken++
				}
				d.proves(index)
				// The copies are the same again once there was time.
				d.do("poll %d", d.now)
				nor := unhex(t, d.do("nor").result[0])
				if !bytes.Equal(nor[:recordSize], nor[norBlock:norBlock+recordSize]) {
					t.Fatalf("after %d bytes: the copies differ", fuel)
				}
			}
			if taken == 0 || !epochOnly && old < 100 {
				t.Errorf("%d times the old key, %d times the new one", old, taken)
			}
			t.Logf("%d times the old key, %d times the new one", old, taken)
		})
	}
}

// isDead tells whether the flash's power went.
func (d *keeper) isDead() bool { return d.do("dead").result[0] == "1" }

// takesEpochBefore tells whether a key of an epoch before is refused as stale.
func (d *keeper) takesEpochBefore() (refused bool) {
	d.t.Helper()
	if d.v.Epoch < 2 {
		d.t.Fatal("there is no epoch before the first")
	}
	before := *d.v
	before.Epoch--
	d.hello([]byte("sixteen more ...")[:16])
	other := &twin{harness: d.harness, v: &before, said: d.said}
	a := d.message(d.now, other.notify(1, d.v.TK, d.v.EUKeys[0]))
	return len(a.events) == 1 && a.events[0].status == int(cpns.AckStale)
}

// TestFlippedBits flips each bit of what is stored, one at a time. There are two copies:
// the key is still there. Flipped in both, the device says that it lost it, and holds none.
func TestFlippedBits(t *testing.T) {
	v := vectors(t)[0]
	d := newKeeper(t, &v, "")
	d.challenged()
	d.message(d.now, v.Update)
	half := d.do("slots").result[:2] // the second copy is not there yet
	d.do("poll %d", d.now)
	whole := d.do("slots").result[:2]
	if whole[0] != whole[1] || half[0] == half[1] {
		t.Fatalf("after a poll the slots are\n%s\n%s, before\n%s\n%s", whole[0], whole[1], half[0], half[1])
	}
	newest := 0
	if half[1] == whole[0] {
		newest = 1
	}
	put := func(slot int, text string) { d.do("slot %d %s", slot, text) }
	flip := func(text string, bit int) string {
		b := unhex(t, text)
		b[bit/8] ^= 1 << (bit % 8)
		return fmt.Sprintf("%x", b)
	}
	for bit := range recordSize * 8 {
		for slot := range 2 {
			put(slot, flip(whole[slot], bit))
			put(1-slot, whole[1-slot])
			if index, lost := d.restart(); index != 2 || lost {
				t.Fatalf("bit %d of slot %d: index %d, lost %v", bit, slot, index, lost)
			}
			d.do("poll %d", d.now)
			if got := d.do("slots").result; got[slot] != whole[slot] {
				t.Fatalf("bit %d of slot %d was not mended", bit, slot)
			}
		}
		put(0, flip(whole[0], bit))
		put(1, flip(whole[1], (bit+77)%(recordSize*8)))
		if index, lost := d.restart(); index != 0 || !lost {
			t.Fatalf("bit %d of both: index %d, lost %v", bit, index, lost)
		}
		// Before the second copy was made, the key before is what is left.
		put(newest, flip(half[newest], bit))
		put(1-newest, half[1-newest])
		if index, lost := d.restart(); index != 1 || lost {
			t.Fatalf("bit %d of the only copy: index %d, lost %v", bit, index, lost)
		}
	}
	d.proves(1)
}

// TestForeignRecord: a record of another device, or under another TK, is none.
func TestForeignRecord(t *testing.T) {
	v := vectors(t)[0]
	d := newKeeper(t, &v, "")
	for _, c := range []struct {
		entity string
		tk     []byte
	}{{"another", v.TK}, {string(v.Entity), make([]byte, 16)}} {
		d.configure(c.entity, c.tk, messages, "")
		if index, lost := d.restart(); index != 0 || !lost {
			t.Errorf("with the record of another: index %d, lost %v", index, lost)
		}
	}
	d.configure(string(v.Entity), v.TK, messages, "")
	d.do("loadfails 1")
	if index, lost := d.restart(); index != 0 || !lost {
		t.Errorf("with a storage that fails: index %d, lost %v", index, lost)
	}
	d.do("loadfails 0")
	if index, lost := d.restart(); index != 1 || lost {
		t.Errorf("with its own again: index %d, lost %v", index, lost)
	}
}

// TestLyingStorage: a storage that fails, or says that it has stored and has not, gets
// status 4, whatever it has done; the same update is taken once it works.
func TestLyingStorage(t *testing.T) {
	v := vectors(t)[0]
	for _, mode := range []string{"f", "l", "w", "t 0", "t 5", "t 127"} {
		t.Run(mode, func(t *testing.T) {
			d := newKeeper(t, &v, "")
			d.challenged()
			d.do("store %s", mode)
			a := d.message(d.now, v.Update)
			if len(a.events) != 1 || a.events[0].status != int(cpns.AckNotStored) || len(a.said) != 1 {
				t.Fatalf("it said %x, %v; want status 4", a.said, a.events)
			}
			d.do("store o")
			d.do("poll %d", d.now)
			if index, _ := d.restart(); index != 1 {
				t.Fatalf("it holds index %d", index)
			}
			d.challenged()
			d.take("the update, once it works", v.Update, v.UpdateAck, kindStored)
			if index, _ := d.restart(); index != 2 {
				t.Errorf("it holds index %d", index)
			}
		})
	}
}

// TestCounter cuts the power after each byte of the counter's entries, and flips each of
// their bits: no value is given out twice.
func TestCounter(t *testing.T) {
	h := startHarness(t, ports[0])
	if got := h.do("count 1").result; got[0] != "fails" {
		t.Fatalf("a counter that was never made gives %v", got)
	}
	if got := h.do("make").result; got[0] != "0" {
		t.Fatal("it cannot be made")
	}
	highest := -1
	draw := func(what string, n int) (drawn int) {
		t.Helper()
		for _, text := range h.do("count %d", n).result {
			var value int
			if _, err := fmt.Sscan(text, &value); err != nil {
				return drawn
			}
			if value <= highest {
				t.Fatalf("%s: the value %d came after %d", what, value, highest)
			}
			highest = value
			drawn++
		}
		return drawn
	}
	// Some times around both blocks, of 16 entries each.
	torn := 0
	for fuel := range 1000 {
		h.do("fuel %d", fuel%331)
		if draw("torn", 70) < 70 {
			torn++
		}
		h.do("power")
		if draw("after a power cut", 1) != 1 {
			t.Fatalf("after a power cut at %d it gives nothing", fuel%331)
		}
	}
	if torn < 30 {
		t.Errorf("%d were torn", torn)
	}
	for round := range 12 {
		h.do("power")
		image := unhex(t, h.do("nor").result[0])
		at := highest
		for bit := 2 * norBlock * 8; bit < norSize*8; bit += 7 {
			flipped := bytes.Clone(image)
			flipped[bit/8] ^= 1 << (bit % 8)
			h.do("power")
			h.do("nor %x", flipped)
			highest = at
			draw(fmt.Sprintf("round %d, bit %d flipped", round, bit), 1)
		}
		h.do("power")
		h.do("nor %x", image)
		highest = at
		draw("on", 65)
	}
	// Lost altogether, it is not begun anew.
	h.do("power")
	h.do("nor %s", strings.Repeat("00", norSize))
	if got := h.do("count 1").result; got[0] != "fails" {
		t.Errorf("a counter that was lost gives %v", got)
	}
}

// TestNoCounter: without its counter the device says nothing, tells why, and tries again.
func TestNoCounter(t *testing.T) {
	v := vectors(t)[0]
	h := startHarness(t, ports[0])
	h.configure(string(v.Entity), v.TK, messages, "nc")
	h.boot(0)
	h.do("up 0")
	a := h.do("poll 0")
	if len(a.said) != 0 || len(a.events) != 1 || a.events[0].kind != kindNoHello || a.events[0].why != 8 {
		t.Errorf("it said %x, %v; want nothing, and to be told that the random source failed", a.said, a.events)
	}
	h.do("make")
	if a := h.do("poll 5000"); len(a.said) != 1 {
		t.Errorf("with its counter it said %x, %v; want a hello", a.said, a.events)
	}
}

// TestFile keeps the EUKey in a file.
func TestFile(t *testing.T) {
	v := vectors(t)[0]
	path := filepath.Join(t.TempDir(), "state")
	d := &keeper{newTwin(t, ports[0], &v, "f")}
	open := func(want syscall.Errno) {
		t.Helper()
		text := "success"
		if want != 0 {
			text = want.Error()
		}
		if got := d.do("open %s", path).result[0]; !strings.EqualFold(got, text) {
			t.Fatalf("opening: %s, want %s", got, text)
		}
	}
	open(0)
	if index, lost := d.restart(); index != 0 || lost {
		t.Fatalf("from a new file: index %d, lost %v", index, lost)
	}
	d.hold(1)
	d.challenged()
	d.do("limit 10") // as a full disk
	if a := d.message(d.now, v.Update); len(a.events) != 1 || a.events[0].status != int(cpns.AckNotStored) {
		t.Fatalf("with a full disk: %v, want status 4", a.events)
	}
	d.do("limit 0")
	d.take("with room again", v.Update, v.UpdateAck, kindStored)
	d.do("close")

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	open(0)
	if index, _ := d.restart(); index != 2 {
		t.Fatalf("from the file: index %d", index)
	}
	d.do("poll %d", d.now)
	d.do("close")
	for _, at := range []int{76, 4096 + 76} { // the key in either copy
		broken := bytes.Clone(text)
		if len(broken) < 4096+recordSize {
			t.Fatalf("the file has %d bytes", len(broken))
		}
		if broken, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		broken[at] ^= 1
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		open(0)
		if index, lost := d.restart(); index != 2 || lost {
			t.Errorf("with a broken copy: index %d, lost %v", index, lost)
		}
		d.do("poll %d", d.now)
		d.do("close")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(syscall.EPERM)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", path); err != nil {
		t.Fatal(err)
	}
	open(syscall.ELOOP)
	path = filepath.Join(path, "below")
	open(syscall.ENOTDIR)
}

// TestKeyNoLongerKept: a device that has kept its key, and by its new firmware keeps the
// epoch alone, holds none.
func TestKeyNoLongerKept(t *testing.T) {
	v := vectors(t)[0]
	d := newKeeper(t, &v, "")
	d.configure(string(v.Entity), v.TK, messages, "e")
	if index, lost := d.restart(); index != 0 || lost {
		t.Errorf("it holds index %d, lost %v; want none, and nothing lost", index, lost)
	}
	if !d.takesEpochBefore() {
		t.Error("the epoch is forgotten")
	}
}
