//go:build linux && qemu

package qemu

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFlashWear measures what an assignment and a step to the next key write to
// a SPI NOR chip through jffs2. The chip is programmed in pages of 256 bytes.
func TestFlashWear(t *testing.T) {
	const n = 20
	var spares []string
	for i := range n {
		spares = append(spares, fmt.Sprintf("spare-%d", i))
	}
	h := newHost(t, append(spares, "live-1")...)
	h.pne("live-1", h.overMQTT()...)
	r := newRouter(t, &sabrelite, h.files(""))
	socket := filepath.Join(t.TempDir(), "qmp")
	g := r.boot(t, "-qmp", "unix:"+socket+",server=on,wait=off")
	chip := dialChip(t, socket)
	g.sh("date -s @%d", time.Now().Unix())
	g.agent()
	g.sh(provision+" --wait 60s %s", "live-1")

	measure := func(what string, most int64, act func()) {
		g.sh("sync")
		before := chip.written()
		act()
		g.sh("sync")
		each := (chip.written() - before) / n
		t.Logf("%s: %d bytes", what, each)
		if each == 0 || each > most {
			t.Errorf("%s writes %d bytes to flash, want 1 to %d", what, each, most)
		}
	}
	measure("an assignment of a new device", 8192, func() { g.exits(3, "%s --wait 0s %s", provision, strings.Join(spares, " ")) })
	measure("an assignment of a known device", 8192, func() { g.exits(3, "%s --wait 0s %s", provision, strings.Join(spares, " ")) })
	measure("a step to the next key", 8192, func() {
		g.sh("for i in $(seq %d); do pngw authenticate live-1 || break; done", n)
	})
	measure("a second of nothing", 8192, func() { g.sh("sleep %d; true", n) })
}

// A chip asks QEMU, over its machine protocol, what was written to the flash.
type chip struct {
	t    *testing.T
	conn io.Writer
	d    *json.Decoder
}

func dialChip(t *testing.T, socket string) *chip {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &chip{t: t, conn: conn, d: json.NewDecoder(conn)}
	c.ask("qmp_capabilities")
	return c
}

func (c *chip) ask(command string) json.RawMessage {
	c.t.Helper()
	fmt.Fprintf(c.conn, "{\"execute\":%q}\n", command)
	for {
		var answer struct{ Return, Error json.RawMessage }
		if err := c.d.Decode(&answer); err != nil {
			c.t.Fatal(err)
		}
		if answer.Error != nil {
			c.t.Fatalf("%s: %s", command, answer.Error)
		}
		if answer.Return != nil { // and not a greeting or an event
			return answer.Return
		}
	}
}

func (c *chip) written() int64 {
	c.t.Helper()
	var devices []struct {
		Device string
		Stats  struct {
			Written int64 `json:"wr_bytes"`
		}
	}
	if err := json.Unmarshal(c.ask("query-blockstats"), &devices); err != nil {
		c.t.Fatal(err)
	}
	for _, d := range devices {
		if strings.HasPrefix(d.Device, "mtd") {
			return d.Stats.Written
		}
	}
	c.t.Fatalf("no flash among %+v", devices)
	return 0
}
