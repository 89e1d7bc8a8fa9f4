//go:build linux && qemu

package qemu

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSigns: on a real kernel, in its jail and as its own user, the agent has a light
// blink by the kernel's timer, and gives prepared devices their keys when a button has
// been pressed for long enough, and not before; light and button may come and go. The
// light is the kernel's class of them, with a driver (input-leds) that makes events of it;
// Debian's kernels have no uleds.
func TestSigns(t *testing.T) {
	t.Parallel()
	b := virt
	b.name, b.line = "virt with a panel", ""
	b.serials = []string{"-serial", "stdio"}
	b.modules = append(slices.Clone(virt.modules), "uinput", "evdev", "ledtrig-timer")
	b.tools = []string{"./panel"}
	h := newHost(t, "first", "second", "third")
	files := h.files("")
	g := newRouter(t, &b, files).boot(t)
	g.ready()
	g.setClock()

	g.sh("mkfifo /tmp/keys /tmp/board; panel keys 0x19 0x211 </tmp/keys >/tmp/panel 2>&1 & echo $! >/tmp/panel.pid; exec 3>/tmp/keys")
	g.until("ls /sys/class/leds | grep numlock")
	name := strings.TrimSpace(g.sh("ls /sys/class/leds | grep numlock"))
	light := "/sys/class/leds/" + name
	before := strings.TrimSpace(g.sh("sed 's/.*\\[\\(.*\\)\\].*/\\1/' %s/trigger", light))
	g.put("etc/config/pngw", strings.Replace(files["etc/config/pngw"], "config gateway 'main'\n", "config gateway 'main'\n\toption led '"+name+"'\n\toption button 'wps'\n", 1))
	g.sh("/etc/init.d/pngw reload")
	says := func(what string) {
		t.Helper()
		g.until("pngw status >/tmp/status; grep '%s' /tmp/status || { cat /tmp/status; ls -l %s/ /dev/input /var/run/pngw-leds; cat %s/trigger; false; }", what, light, light)
	}
	heard := func() {
		t.Helper()
		says("Light " + name + "  shows what the agent does")
		says("heard by keys (/dev/input/event")
	}
	heard()

	// By the kernel, at the agent's word, which is not root.
	g.sh("grep '\\[timer\\]' %s/trigger && grep -qx 50 %s/delay_on && grep -qx 2950 %s/delay_off", light, light, light)
	g.sh("! grep '^Uid:.*\\b0\\b' /proc/$(pidof pngw)/status")
	g.sh(">/tmp/panel")
	g.until("[ $(grep -c 'light 1' /tmp/panel) -ge 2 ]")

	// What it shows from now on.
	g.sh("(was=; while sleep 0.1; do look=$(echo $(cat %s/delay_on %s/delay_off)); [ \"$look\" = \"$was\" ] || echo \"$look\"; was=$look; done) >/tmp/looks 2>/dev/null &", light, light)
	if text := g.sh("%s --hold first second", provision); !strings.Contains(text, "2 kept until the button is pressed") {
		t.Errorf("--hold:\n%s", text)
	}
	h.pne("first", h.overMQTT()...)
	g.until("pngw show first | grep 'Last seen.*broker'")

	// For too short, and by a keyboard that somebody has plugged in.
	g.sh("echo press >&3; sleep 1; echo release >&3; sleep 3")
	g.sh("panel 'A Keyboard' 0x03 0x211 </tmp/board >/dev/null 2>&1 & exec 4>/tmp/board; until grep 'A Keyboard' /proc/bus/input/devices; do sleep 0.1; done; echo press >&4; sleep 4; echo release >&4")
	if text := g.sh("pngw status; pngw list"); strings.Contains(text, "they get their keys now") || strings.Contains(text, "delivered  1 of") {
		t.Errorf("the window is open:\n%s", text)
	}

	g.sh("echo press >&3")
	g.until("pngw status | grep 'devices that wait for it: 2; pressed: they get their keys now' || pngw list | grep 'first.*delivered'")
	g.sh("echo release >&3")
	g.until("pngw list | grep 'first.*delivered'")
	h.pne("second", h.overMQTT()...) // switched on while it is open
	g.until("pngw list | grep 'second.*delivered'")
	g.until("tail -n 1 /tmp/looks | grep -x '500 500'") // it waits again
	looks := g.sh("cat /tmp/looks")
	at := 0
	for _, look := range []string{"50 2950\n", "1000 0\n", "500 500\n"} { // idle, done, and waiting for more
		i := strings.Index(looks[at:], look)
		if i < 0 {
			t.Fatalf("the light did not look like %s after that:\n%s", look, looks)
		}
		at += i
	}

	// As it was before, once the agent is stopped.
	g.sh("/etc/init.d/pngw stop")
	g.until("grep '\\[%s\\]' %s/trigger", before, light)
	g.sh("/etc/init.d/pngw start")
	heard()

	// Unplugged, and plugged in again, when the light has another name.
	g.sh("exec 3>&-; kill $(cat /tmp/panel.pid)")
	says("no light " + name)
	says("no input device has it")
	text, code := g.run("pngw doctor")
	if said := strings.Join(strings.Fields(text), " "); code != 1 || !strings.Contains(said, "BAD light "+name+": no light") || !strings.Contains(said, "BAD button wps: not heard") {
		t.Errorf("the doctor, exit code %d:\n%s", code, text)
	}
	g.sh("panel keys 0x19 0x211 </tmp/keys >/tmp/panel 2>&1 & exec 3>/tmp/keys")
	says("heard by keys (/dev/input/event")
	g.exits(0, "%s --hold third", provision)
	h.pne("third", h.overMQTT()...)
	g.sh("echo press >&3")
	g.until("pngw list | grep 'third.*delivered'")
	operatingGuide(g, strings.TrimSpace(g.sh("ls /sys/class/leds | grep numlock | tail -n 1")))
	g.send("poweroff -f")
	g.off()
}

// operatingGuide types every command of docs/operating-a-gateway.md, with what is
// particular to this router, and looks at what comes of it.
func operatingGuide(g *guest, light string) {
	g.t.Helper()
	type step struct {
		is, here string // what is another one here
		comes    string // a command that succeeds when it has worked
	}
	steps := map[string]step{
		"pngw doctor": {"pngw doctor", "{ pngw doctor >/tmp/doctor || [ $? = 1 ]; }", "grep '^ok  *settings ' /tmp/doctor && grep '^ok  *PSK1  *proved, ' /tmp/doctor"},
		"pngw watch":  {"pngw watch", "pngw watch >/tmp/watch & sleep 1", "pngw authenticate first && grep first /tmp/watch"},
		"pngw audit":  {comes: "pngw audit | grep 'provision  *first '"},
		"uci set pngw.main.metrics='127.0.0.1:9464'; uci commit pngw; service pngw reload":                           {comes: "wget -q -O - http://127.0.0.1:9464/healthz | grep -x ok && wget -q -O - http://127.0.0.1:9464/metrics | grep -x 'pngw_healthy 1'"},
		"ls /sys/class/leds; cat /proc/device-tree/aliases/led-running":                                              {"; cat", "; ! cat", "true"}, // there is none
		"uci set pngw.main.led='green:status'; uci set pngw.main.button='wps'; uci commit pngw; service pngw reload": {"green:status", light, "pngw status | grep 'Light " + light + "  shows' && pngw status | grep 'Button wps  *heard'"},
		"uci set pngw.main.web='192.168.1.1:8480'; uci commit pngw; service pngw reload":                             {"192.168.1.1", "10.0.2.15", "pngw status | grep '^Page  *https://10.0.2.15:8480; nobody can log in'"},
		"pngw web set-pin": {"set-pin", "set-pin --pin-file /tmp/pin", "pngw status | grep '^Page  *https://10.0.2.15:8480$'"},
	}
	g.sh("(umask 077; echo 483920 >/tmp/pin)")
	text, err := os.ReadFile("../../docs/operating-a-gateway.md")
	if err != nil {
		g.t.Fatal(err)
	}
	typed := 0
	for line := range strings.Lines(string(text)) {
		line, indented := strings.CutPrefix(strings.TrimSpace(strings.Replace(line, "    ", "\x00", 1)), "\x00")
		if !indented || !slices.Contains([]string{"pngw", "uci", "ls"}, strings.Fields(line + " x")[0]) {
			continue
		}
		s, known := steps[line]
		if !known {
			g.t.Errorf("docs/operating-a-gateway.md: nobody types %s", line)
			continue
		}
		typed++
		g.sh("%s", strings.ReplaceAll(strings.Replace(line, s.is, s.here, 1), "\t", " "))
		g.until("%s", s.comes)
	}
	if typed != len(steps) {
		g.t.Errorf("docs/operating-a-gateway.md has %d of %d commands", typed, len(steps))
	}
}
