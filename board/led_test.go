package board

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lay makes files in a folder, by their paths.
func lay(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestFindLED finds a light by its name, by an alias through its node, and by an alias
// through its label; what is not there is told with what is.
func TestFindLED(t *testing.T) {
	root := lay(t, map[string]string{
		"sys/class/leds/green:power/brightness":     "0\n",
		"sys/class/leds/amber:power/brightness":     "0\n",
		"proc/device-tree/aliases/led-running":      "/leds/led-0\x00",
		"proc/device-tree/aliases/led-failsafe":     "/leds/amber\x00",
		"proc/device-tree/aliases/led-gone":         "/leds/gone\x00",
		"proc/device-tree/leds/amber/label":         "amber:power\x00",
		"proc/device-tree/leds/led-0/function":      "power\x00",
		"sys/firmware/devicetree/base/leds/led-0/x": "",
	})
	if err := os.Symlink("../../../firmware/devicetree/base/leds/led-0", filepath.Join(root, leds, "green:power/of_node")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"green:power": "green:power", "led-running": "green:power", "led-failsafe": "amber:power", "led-gone": "", "led-none": "", "blue": "",
	} {
		got, err := New(root).FindLED(name)
		switch {
		case want == "" && (!errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "amber:power, green:power")):
			t.Errorf("%s: %q, %v", name, got, err)
		case want != "" && (err != nil || filepath.Base(got) != want):
			t.Errorf("%s: %q, %v, want %s", name, got, err, want)
		}
	}
	if _, err := New(t.TempDir()).FindLED("blue"); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("a board without lights: %v", err)
	}
}

// run runs a light in a bubble until the test ends.
func run(t *testing.T, l *LED) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(ctx)
	}()
	return func() { cancel(); <-ended }
}

// TestSoftwareBlink: a kernel without the trigger timer has its light switched, and a
// light that is dark or lit all the time wakes nobody.
func TestSoftwareBlink(t *testing.T) {
	root := lay(t, map[string]string{
		"sys/class/leds/a/trigger": "none [mmc0] netdev\n", "sys/class/leds/a/brightness": "7\n", "sys/class/leds/a/max_brightness": "31\n",
	})
	file := filepath.Join(root, leds, "a/brightness")
	is := func(want string) {
		t.Helper()
		synctest.Wait()
		if got, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("brightness %q, %v, want %s", got, err, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		l := New(root).NewLED("a", nil)
		l.Show(Pattern{On: 100 * time.Millisecond, Off: 900 * time.Millisecond})
		stop := run(t, l)
		is("31")
		for range 3 {
			time.Sleep(99 * time.Millisecond)
			is("31")
			time.Sleep(2 * time.Millisecond)
			is("0")
			time.Sleep(898 * time.Millisecond)
			is("0")
			time.Sleep(time.Millisecond)
			is("31")
		}
		l.Show(Pattern{On: time.Second})
		is("31")
		if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		is("x")
		l.Show(Pattern{})
		is("0")
		if text := l.Fault(); text != "" {
			t.Error(text)
		}
		stop()
		is("7")
		if got, _ := os.ReadFile(filepath.Join(root, leds, "a/trigger")); string(got) != "mmc0" {
			t.Errorf("the trigger is %q", got)
		}
	})
}

// TestLEDGone: a light that is not there is told, tried again when one comes and from
// time to time, and used once it is there.
func TestLEDGone(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{}, 1)
		l := New(root).NewLED("a", wake)
		l.Show(Pattern{On: time.Second})
		defer run(t, l)()
		synctest.Wait()
		if text := l.Fault(); !strings.Contains(text, "no light a") {
			t.Errorf("fault %q", text)
		}
		made := lay(t, map[string]string{"leds/a/trigger": "[none]", "leds/a/brightness": "0"})
		for _, err := range []error{
			os.MkdirAll(filepath.Join(root, "sys/class"), 0o755), os.Rename(filepath.Join(made, "leds"), filepath.Join(root, leds)),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		wake <- struct{}{}
		synctest.Wait()
		if text := l.Fault(); text != "" {
			t.Errorf("fault %q", text)
		}
		if got, _ := os.ReadFile(filepath.Join(root, leds, "a/brightness")); string(got) != "255" {
			t.Errorf("brightness %q", got)
		}
		if err := os.RemoveAll(filepath.Join(root, leds)); err != nil {
			t.Fatal(err)
		}
		close(wake) // the kernel says no more
		l.Show(Pattern{On: time.Second, Off: time.Second})
		synctest.Wait()
		if l.Fault() == "" {
			t.Error("a light that is gone is no fault")
		}
		if err := os.MkdirAll(filepath.Join(root, leds, "a"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, leds, "a/trigger"), []byte("[none]"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, leds, "a/brightness"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(againMost)
		synctest.Wait()
		if text := l.Fault(); text != "" {
			t.Errorf("after a minute: %q", text)
		}
	})
}

// TestAgain: the first try comes soon, and none later than after a minute.
func TestAgain(t *testing.T) {
	var a again
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if got := a.next(); got != want*time.Second {
			t.Errorf("%v, want %v", got, want*time.Second)
		}
	}
}

func TestTriggers(t *testing.T) {
	current, others := triggers("none usb-gadget [timer] kbd-capslock\n")
	if current != "timer" || strings.Join(others, " ") != "none usb-gadget kbd-capslock" {
		t.Errorf("%q, %q", current, others)
	}
	if current, others := triggers(""); current != "" || others != nil {
		t.Errorf("of nothing: %q, %q", current, others)
	}
}
