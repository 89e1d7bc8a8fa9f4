package board

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// leds is the folder of the kernel's LED class: Documentation/leds/leds-class.rst of
// the kernel's sources.
const leds = "sys/class/leds"

// A Pattern is how a light is lit: on and off in turn. It is dark where On is 0, and
// lit all the time where Off is.
type Pattern struct{ On, Off time.Duration }

// An LED is one light of the board. It blinks by the kernel's trigger "timer", which
// costs nothing while a pattern lasts; where that is missing Run does it itself.
//
// Writing takes leave: root's, or that of who owns the light's files. Who owns only
// brightness, delay_on and delay_off, as OpenWrt's init script makes it, finds the
// trigger set; nobody but who has set a trigger puts the old one back.
type LED struct {
	board *Board
	name  string // as configured
	wake  <-chan struct{}

	mu     sync.Mutex
	want   Pattern
	change chan struct{} // want has changed
	fault  string        // why it does not show want, "" where it does

	// Run's alone.
	was     saved
	shown   Pattern // by the kernel's trigger
	showing bool
}

// saved is how the light was before.
type saved struct {
	dir                           string // "" for nothing to be put back
	trigger                       string
	brightness, delayOn, delayOff string // the delays of a trigger that has some
}

// NewLED makes a light of the name that it has in /sys/class/leds, or by an alias of
// the device tree, such as led-running. wake is woken when lights come and go.
func (b *Board) NewLED(name string, wake <-chan struct{}) *LED {
	return &LED{board: b, name: name, wake: wake, change: make(chan struct{}, 1)}
}

// FindLED gives the path of a light's folder below the root.
func (b *Board) FindLED(name string) (string, error) {
	dir := filepath.Join(b.root, leds, name)
	if _, err := os.Stat(dir); err == nil {
		return filepath.EvalSymlinks(dir)
	}
	node, _ := b.read(filepath.Join("proc/device-tree/aliases", name))
	path := strings.TrimRight(string(node), "\x00")
	all := b.glob(leds + "/*")
	for _, led := range all {
		// The kernel links a light to its node; older ones only name it as its label says.
		link, _ := os.Readlink(filepath.Join(b.root, led, "of_node"))
		if path != "" && (strings.HasSuffix(link, "/base"+path) || filepath.Base(led) == b.firstText("proc/device-tree"+path+"/label")) {
			return filepath.EvalSymlinks(filepath.Join(b.root, led))
		}
	}
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	there := "there is none"
	if len(all) > 0 {
		there = "there are " + strings.Join(all, ", ")
	}
	return "", &noLightError{fmt.Sprintf("no light %s in /%s, and no such alias in the device tree: %s", name, leds, there)}
}

// noLightError is fs.ErrNotExist, in words that fit.
type noLightError struct{ text string }

func (e *noLightError) Error() string        { return e.text }
func (e *noLightError) Is(target error) bool { return target == fs.ErrNotExist }

// Show has the light show a pattern from now on.
func (l *LED) Show(p Pattern) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.want != p {
		l.want = p
		l.signal()
	}
}

func (l *LED) signal() {
	select {
	case l.change <- struct{}{}:
	default:
	}
}

// Fault says why the light does not show what it should, "" where it does.
func (l *LED) Fault() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// again is how long to wait before what could not be had is tried again though nothing is
// said to have come: leave for a device that has come is given a moment later, and says
// nothing. The zero value is at its beginning.
type again time.Duration

const againMost = time.Minute

func (a *again) next() time.Duration {
	*a = min(max(2**a, again(time.Second)), again(againMost))
	return time.Duration(*a)
}

// Run shows what Show says until ctx ends, and leaves the light as it was found.
func (l *LED) Run(ctx context.Context) {
	wake, lit, retry := l.wake, false, again(0)
	timer := time.NewTimer(0) // and sets the light at once
	defer timer.Stop()
	for {
		select {
		case <-l.change:
			lit = false
		case _, open := <-wake:
			if !open {
				wake = nil
			}
			l.showing = false // it may be another of the same name
			retry = 0
		case <-timer.C:
		case <-ctx.Done():
			l.restore()
			return
		}
		l.mu.Lock()
		want := l.want
		l.mu.Unlock()
		next, err := l.set(want, &lit)
		if err != nil {
			next = retry.next()
		} else {
			retry = 0
		}
		l.mu.Lock()
		l.fault = ""
		if err != nil {
			l.fault = err.Error()
		}
		l.mu.Unlock()
		if next == 0 {
			timer.Stop()
		} else {
			timer.Reset(next)
		}
	}
}

// set brings the light to a pattern. Where the kernel cannot blink it is switched, and
// next is until it is to be switched again.
func (l *LED) set(want Pattern, lit *bool) (next time.Duration, err error) {
	if l.showing && l.shown == want {
		return 0, nil
	}
	dir, err := l.board.FindLED(l.name)
	if err != nil {
		l.was.dir = ""
		return 0, err
	}
	byKernel, err := l.take(dir)
	if err != nil {
		return 0, err
	}
	if !byKernel {
		return l.swap(dir, want, lit)
	}
	// Both 0 would mean the kernel's own choice, and a light that is dark or lit has
	// one that is: the other is written first.
	on, off := delay{"delay_on", want.On}, delay{"delay_off", want.Off}
	if want.On == 0 {
		off.time = time.Second
	}
	order := [...]delay{off, on}
	if off.time == 0 {
		order = [...]delay{on, off}
	}
	for _, d := range order {
		if err := put(dir, d.file, strconv.FormatInt(d.time.Milliseconds(), 10)); err != nil {
			return 0, err
		}
	}
	l.shown, l.showing = want, true
	return 0, nil
}

type delay struct {
	file string
	time time.Duration
}

// swap switches a light that the kernel does not blink.
func (l *LED) swap(dir string, want Pattern, lit *bool) (next time.Duration, err error) {
	*lit = want.On > 0 && (!*lit || want.Off == 0)
	level := "0"
	next = want.Off
	if *lit {
		level, next = l.board.level(dir), want.On
	}
	if want.On == 0 || want.Off == 0 {
		next = 0
	}
	return next, put(dir, "brightness", level)
}

// level is the light's full brightness.
func (b *Board) level(dir string) string {
	text, err := readStart(filepath.Join(dir, "max_brightness"), 16)
	if n, _ := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || n < 1 {
		return "255"
	}
	return strings.TrimSpace(string(text))
}

// maxTriggers bounds the list of triggers, in bytes: each network interface, disk and
// processor core has some.
const maxTriggers = 64 << 10

// take gives the light to the kernel's timer, unless it has it already, and says whether
// there is one. How the light was is kept.
func (l *LED) take(dir string) (byKernel bool, err error) {
	text, err := readStart(filepath.Join(dir, "trigger"), maxTriggers)
	if err != nil {
		return false, err
	}
	current, others := triggers(string(text))
	if l.was.dir != dir {
		l.was = saved{dir: dir, trigger: current, brightness: readLine(dir, "brightness"), delayOn: readLine(dir, "delay_on"), delayOff: readLine(dir, "delay_off")}
	}
	trigger := "none"
	if byKernel = current == "timer" || slices.Contains(others, "timer"); byKernel {
		trigger = "timer"
	}
	if current == trigger {
		return byKernel, nil
	}
	return byKernel, put(dir, "trigger", trigger)
}

// triggers takes apart what the kernel has: none [heartbeat] timer.
func triggers(text string) (current string, others []string) {
	for word := range strings.FieldsSeq(text) {
		if name, ok := strings.CutPrefix(word, "["); ok {
			current = strings.TrimSuffix(name, "]")
		} else {
			others = append(others, word)
		}
	}
	return current, others
}

func readLine(dir, file string) string {
	text, _ := readStart(filepath.Join(dir, file), 64)
	return string(bytes.TrimSpace(text))
}

// restore leaves the light as it was found: dark, where another has set its trigger.
func (l *LED) restore() {
	w := &l.was
	if w.dir == "" {
		return
	}
	if put(w.dir, "trigger", w.trigger) != nil {
		_, _ = l.set(Pattern{}, new(bool))
		return
	}
	for _, file := range [...]struct{ name, value string }{{"delay_on", w.delayOn}, {"delay_off", w.delayOff}} {
		if file.value != "" {
			_ = put(w.dir, file.name, file.value) // there is nobody left to be told
		}
	}
	if w.delayOn == "" {
		_ = put(w.dir, "brightness", w.brightness)
	}
}

// put writes to a file of the kernel's, which is not made where it is not there.
func put(dir, file, value string) error {
	path := filepath.Join(dir, file)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("no permission to write %s: on OpenWrt service pngw restart gives it; elsewhere the agent's user has to own trigger, brightness, delay_on and delay_off there, or to be root", path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
