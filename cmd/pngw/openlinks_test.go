package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/transport/usb"
)

// openTestLinks makes the links of a configuration, each of which is one section.
func openTestLinks(t *testing.T, sections string) (types map[string]string, err error) {
	t.Helper()
	const gateway = "config gateway\n option id gw\n option server https://a\n"
	cfg, err := config.Parse(strings.NewReader(gateway+sections), "pngw")
	if err != nil {
		t.Fatal(err)
	}
	p := &parts{hotplug: board.NewHotplug(nil)}
	var all findings
	p.openLinks(cfg, "gw", slog.New(slog.DiscardHandler), &all)
	return p.types, errors.Join(all.faults...)
}

// TestUSBLink holds that a link over USB is made where this build has that, and
// refused by its line where it has not.
func TestUSBLink(t *testing.T) {
	const stick = "config link stick\n option type usb\n option id 1209:0001\n option port 1-1.2\n option serial A1\n"
	got, err := openTestLinks(t, stick)
	if usb.Available() {
		if err != nil || got["stick"] != "usb" {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := openTestLinks(t, "config link stick\n option type usb\n option id stick\n"); err == nil || !strings.HasPrefix(err.Error(), "pngw:6: option id: \"stick\": want VENDOR:PRODUCT") {
			t.Errorf("with a wrong ID: %v", err)
		}
	} else if err == nil || !strings.HasPrefix(err.Error(), "pngw:4: USB link stick: this build has no USB support") {
		t.Errorf("without USB: %q, %v", got, err)
	}
	if got, err := openTestLinks(t, stick+" option enabled 0\n"); err != nil || len(got) != 0 {
		t.Errorf("switched off: %q, %v", got, err)
	}
}

// What two links cannot both have is refused at the second, however it is spelled.
func TestLinksInEachOthersWay(t *testing.T) {
	const broker = "config link a\n option type mqtt\n option url mqtt://h\nconfig link b\n option type mqtt\n option url "
	const line = "config link a\n option type serial\n option device /dev/ttyS1\nconfig link b\n option type serial\n option device "
	for _, tt := range []struct{ name, links, want string }{
		{"one broker", broker + "mqtt://h:1883\n", "pngw:7: this link and 'a', line 4, would both use client ID pngw"},
		{"another spelling", broker + "mqtt://H/\n", "pngw:7: this link and 'a', line 4, would both use client ID"},
		{"two brokers", broker + "mqtt://h:1884\n", ""},
		{"two prefixes", broker + "mqtt://h:1883\n option prefix other\n", ""},
		{"one client ID", strings.Replace(broker, "url mqtt://h\n", "url mqtt://h\n option client_id mine\n", 1) + "mqtt://h\n option prefix other\n option client_id mine\n", "pngw:8: this link and 'a', line 4, would both use client ID mine at the broker h:1883"},
		{"switched off", broker + "mqtt://h:1883\n option enabled 0\n", ""},
		{"one line", line + "/dev/ttyS1\n", "pngw:7: this link and 'a', line 4, would both use device /dev/ttyS1"},
		{"one line, in other words", line + "/dev//./ttyS1\n", "pngw:7: this link and 'a', line 4, would both use device /dev/ttyS1"},
		{"two lines", line + "/dev/ttyS2\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := openTestLinks(t, tt.links)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
