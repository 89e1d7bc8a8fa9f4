//go:build linux && qemu

package qemu

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A router with 64 MB takes keys over HTTPS and hands them to devices over each
// kind of link, waits for its clock, and goes on where a reboot has stopped it.
func TestMalta(t *testing.T) { testSystem(t, &malta) }

func TestVirt(t *testing.T) { testSystem(t, &virt) }

func testSystem(t *testing.T, b *board) {
	t.Parallel()
	devices := []string{"meter-1", "pump-1", "late-1", "usb-1", "full-1", "gone-1"}
	for i := range crowd {
		devices = append(devices, fmt.Sprintf("c-%d", i))
	}
	h := newHost(t, devices...)
	files := h.files(b.line)
	if b == &malta { // one by an image without a secret, one by files
		files = h.image(b.line)
	}
	r := newRouter(t, b, files)

	// The clock stands at 2000, as that of a router without a battery.
	g := r.boot(t, "-rtc", "base=2000-01-02T03:04:05")
	if year := strings.TrimSpace(g.sh("date +%%Y")); year >= "2026" {
		t.Fatalf("the guest's year is %s", year)
	}
	g.ready()
	t.Logf("ready %.1f s after power on, %.1f s of them since the kernel began", time.Since(g.started).Seconds(), g.uptime())
	if b == &malta {
		approve(h, g)
	}
	h.pne("meter-1", "--serial", g.line)
	h.pne("pump-1", h.overMQTT()...)
	g.until("pngw discovered | grep meter-1")
	g.until("pngw discovered | grep pump-1")
	now, own, _ := g.resident()
	t.Logf("idle: %d kB resident, of those %d its own", now, own)

	// It runs as the package's init script has told procd.
	g.sh("cat /proc/$(pidof pngw)/environ | tr '\\0' '\\n' >/tmp/as; cat /proc/$(pidof pngw)/status >>/tmp/as")
	as := g.sh("cat /tmp/as")
	for _, want := range []string{"GOMEMLIMIT=12MiB\n", "NoNewPrivs:\t1\n", "CapEff:\t0000000000000000\n"} {
		if !strings.Contains(as, want) {
			t.Errorf("not %q in:\n%s", want, as)
		}
	}

	// In a jail, which shows it what it needs, and by what the log can tell levels by.
	g.sh("ls /proc/$(pidof pngw)/root/etc/pngw/root.key && ! ls /proc/$(pidof pngw)/root/bin")
	g.sh("grep 'daemon.info.*level=INFO' /tmp/pngw.log && ! grep 'daemon.err.*level=INFO' /tmp/pngw.log && ! grep time= /tmp/pngw.log")

	// Nothing is asked of the server before the clock is right.
	g.sh("pngw provision --user alice --password-file /etc/pngw/alice.pw meter-1 pump-1 >/tmp/provision 2>&1 &")
	g.until("grep 'waiting for the clock' /tmp/provision")
	if text := g.sh("sleep 2; cat /tmp/provision"); strings.Contains(text, "sent") {
		t.Errorf("with the clock at 2000:\n%s", text)
	}
	g.setClock()
	text := g.sh("wait $!; code=$?; cat /tmp/provision; (exit $code)")
	for _, want := range []string{"by rs232)", "by broker)", "2 of 2 delivered"} {
		if !strings.Contains(text, want) {
			t.Errorf("not %q in:\n%s", want, text)
		}
	}

	if withUSB() {
		overUSB(t, h, g)
	} else {
		t.Log("USB=0: not tested over USB")
	}

	fullOverlay(t, h, g)

	// A device that is not there yet, and a reboot before it comes.
	g.exits(3, "pngw provision --user alice --password-file /etc/pngw/alice.pw --wait 0s late-1")
	g.send("reboot -f")
	g.off()
	h.pne("late-1", h.overMQTT()...)
	g = r.boot(t)
	g.ready()
	g.setClock()
	g.until("pngw list | grep late-1 | grep delivered")
	if text := g.sh("pngw list"); strings.Count(text, "delivered") != strings.Count(text, "alice") || strings.Contains(text, "gone-1") {
		t.Errorf("after the reboot:\n%s", text)
	}
	if b == &malta {
		many(t, h, g)
	}
	g.send("poweroff -f")
	g.off()
}

// approve takes the gateway in whose image has a code: its clock stands at 2000, long before
// the server's certificate begins, and the code's pin holds.
func approve(h *host, g *guest) {
	h.t.Helper()
	g.until("pngw status | grep 'waiting for the operator'")
	fingerprint := strings.TrimSpace(g.sh("pngw status | sed -n 's/^Fingerprint *//p'"))
	if pending := h.cpns("gateway pending --data server", ""); !strings.Contains(pending, fingerprint) || fingerprint == "" {
		h.t.Fatalf("%s is not pending:\n%s", fingerprint, pending)
	}
	h.cpns("gateway approve --data server --id gw-image "+fingerprint, "")
	if text := g.sh("pngw enrol %s", h.code); !strings.Contains(text, "this gateway is called gw-image") {
		h.t.Errorf("enrol says\n%s", text)
	}
}

// overUSB plugs a device into the guest's kernel. While the package's hotplug script
// is away, the agent may not open it, and says who may; then the script opens it.
func overUSB(t *testing.T, h *host, g *guest) {
	t.Helper()
	port := freePort(t)
	h.pne("usb-1", "--usbip", "127.0.0.1:"+port)
	h.listens(port)
	g.sh("mv /etc/hotplug.d/usb/50-pngw /tmp/")
	g.sh("usbattach 10.0.2.2:%s 1-1", port)
	g.until("pngw links | grep '^usb' | grep dialout")
	g.sh("mv /tmp/50-pngw /etc/hotplug.d/usb/")
	// The kernel says once more that the interface is there.
	g.sh("for f in /sys/bus/usb/devices/*-1:*/uevent; do echo add >$f; done")
	g.until("pngw links | grep '^usb .* up '")
	if text := g.sh("%s usb-1", provision); !strings.Contains(text, "by usb)") {
		t.Errorf("over USB:\n%s", text)
	}
}

// fullOverlay has a device taken in while there is no room left on the flash: the
// user is told, nothing that was there is lost, and with room again it works. To forget
// one takes no room.
func fullOverlay(t *testing.T, h *host, g *guest) {
	t.Helper()
	g.exits(3, "%s --wait 0s gone-1", provision)
	before := g.sh("pngw list")
	g.sh("for size in 65536 512 1; do dd if=/dev/urandom bs=$size >>/filler; done 2>/tmp/dd; sync; grep -q 'No space' /tmp/dd")
	text, code := g.run("%s full-1", provision)
	if code == 0 || !strings.Contains(text, "no space") {
		t.Errorf("with a full overlay: exit code %d:\n%s", code, text)
	}
	if status := g.sh("pngw status"); !strings.Contains(status, "no space") {
		t.Errorf("not in the status:\n%s", status)
	}
	if after := g.sh("pngw list"); after != before {
		t.Errorf("the list was\n%sand is\n%s", before, after)
	}
	g.sh("pngw forget --yes gone-1")
	if after := g.sh("pngw list; ls /etc/pngw/keys"); strings.Contains(after, "gone-1") {
		t.Errorf("forgotten, and there is\n%s", after)
	}
	g.sh("rm /filler")
	g.sh("pngw authenticate pump-1")
	h.pne("full-1", h.overMQTT()...)
	g.sh("%s full-1", provision)
}

// crowd is how many devices are provisioned by one command.
const crowd = 100

// many provisions the crowd, and logs what memory that takes.
func many(t *testing.T, h *host, g *guest) {
	t.Helper()
	var names []string
	for i := range crowd {
		names = append(names, fmt.Sprintf("c-%d", i))
		h.pne(names[i], h.overMQTT()...)
	}
	idle, _, _ := g.resident()
	yardstick, before := g.yardstick(), g.processor()
	busyBefore, idleBefore := g.machine()
	start := time.Now()
	last, peak, own, command := g.watched("%s --wait 5m %s", provision, strings.Join(names, " "))
	if want := fmt.Sprintf("%d of %d delivered", crowd, crowd); last != want {
		t.Errorf("got %q, want %q", last, want)
	}
	took := time.Since(start)
	busy, waited := g.machine()
	agent := g.processor() - before
	_, ours, most := g.resident()
	t.Logf("%d devices in %.0f s: from %d kB resident to %d kB at most, %d of its own in the end", crowd, took.Seconds(), idle, most, ours)
	t.Logf("processor seconds: %.1f of the agent, %.1f of the command, %.1f of the guest, which was idle for %.1f; SHA-256 over 4 MiB takes %.2f here",
		agent.Seconds(), command.Seconds(), (busy - busyBefore).Seconds(), (waited - idleBefore).Seconds(), yardstick.Seconds())
	if most > 24<<10 {
		t.Errorf("%d kB resident: too much for a router with 64 MB", most)
	}
	t.Logf("the command: %d kB resident at most, %d kB of its own in the end", peak, own)
	if peak > 18<<10 || own > 5<<10 {
		t.Errorf("the command had %d kB resident, and in the end %d kB of its own: too much beside the agent", peak, own)
	}
}
