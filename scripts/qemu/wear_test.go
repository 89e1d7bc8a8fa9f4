//go:build linux && qemu

package qemu

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFlashWear measures what an assignment and a step to the next key write to
// a SPI NOR chip through jffs2: the bytes that QEMU's chip is told to program, and
// the blocks that it is told to erase.
func TestFlashWear(t *testing.T) {
	t.Parallel()
	const n = 20
	var spares []string
	for i := range n {
		spares = append(spares, fmt.Sprintf("spare-%d", i))
	}
	h := newHost(t, append(spares, "live-1", "stranger")...)
	h.pne("live-1", h.overMQTT()...)
	// What people asked is kept as well, some lines at a time; here the store alone is
	// measured.
	files := h.files("")
	files["etc/config/pngw"] = strings.Replace(files["etc/config/pngw"], "config gateway 'main'\n", "config gateway 'main'\n\toption audit_dir '/var/run/pngw/audit'\n", 1)
	r := newRouter(t, &sabrelite, files)
	log := filepath.Join(t.TempDir(), "chip")
	g := r.boot(t, "-D", log, "-trace", "m25p80_page_program", "-trace", "m25p80_flash_erase")
	g.ready()
	g.setClock()
	g.sh(provision+" --wait 60s %s", "live-1")
	// A blank chip is erased once more, block by block, after the first mount.
	for last := -1; ; time.Sleep(3 * time.Second) {
		_, erased := wear(t, log)
		if erased == last {
			break
		}
		last = erased
	}

	measure := func(what string, most int, act func()) {
		t.Helper()
		g.sh("sync")
		programmed, erased := wear(t, log)
		act()
		g.sh("sync")
		p, e := wear(t, log)
		each := (p - programmed) / n
		t.Logf("%s: %d bytes; %d times: %d blocks erased", what, each, n, e-erased)
		if each > most || (each == 0) != (most == 0) {
			t.Errorf("%s writes %d bytes to flash, want about %d", what, each, most)
		}
	}
	measure("an assignment of a new device", 700, func() { g.exits(3, "%s --wait 0s %s", provision, strings.Join(spares, " ")) })
	measure("an assignment of a known device", 850, func() { g.exits(3, "%s --wait 0s %s", provision, strings.Join(spares, " ")) })
	measure("a step to the next key", 260, func() {
		g.sh("for i in $(seq %d); do pngw authenticate live-1 || break; done", n)
	})
	measure("a reload of the service", 0, func() {
		g.sh("for i in $(seq %d); do /etc/init.d/pngw reload; done", n)
	})
	measure("a start of the service", 0, func() {
		g.sh("for i in $(seq %d); do /etc/init.d/pngw restart; done; >/tmp/pngw.log", n)
	})
	g.until("pngw status")
	h.pne("stranger", h.overMQTT()...)
	g.until("pngw discovered | grep stranger")
	measure("a second in which devices say hello", 0, func() { g.sh("sleep %d", n) })
}

// wear counts what the chip was told so far.
func wear(t *testing.T, log string) (programmed, erased int) {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("m25p80_page_program ")), bytes.Count(text, []byte("m25p80_flash_erase "))
}
