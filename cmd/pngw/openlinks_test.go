package main

import (
	"log/slog"
	"strings"
	"testing"

	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/cmd/pngw/internal/config"
	"cpns.example.net/pngw/transport/usb"
)

// TestUSBLink holds that a link over USB is made where this build has that, and
// refused by its line where it has not.
func TestUSBLink(t *testing.T) {
	const gateway = "config gateway\n option id gw\n option server https://a\n"
	open := func(options string) (string, error) {
		t.Helper()
		cfg, err := config.Parse(strings.NewReader(gateway+options), "pngw")
		if err != nil {
			t.Fatal(err)
		}
		links, types, err := openLinks(cfg, board.NewHotplug(nil), slog.New(slog.DiscardHandler))
		if err != nil {
			return "", err
		}
		if len(links) != len(types) {
			t.Errorf("%d links, %d types", len(links), len(types))
		}
		return types["stick"], nil
	}
	const stick = "config link stick\n option type usb\n option id 1209:0001\n option port 1-1.2\n option serial A1\n"
	got, err := open(stick)
	if usb.Available() {
		if err != nil || got != "usb" {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := open("config link stick\n option type usb\n option id stick\n"); err == nil || !strings.HasPrefix(err.Error(), "pngw:4: USB link stick: device \"stick\": want VENDOR:PRODUCT") {
			t.Errorf("with a wrong ID: %v", err)
		}
	} else if err == nil || !strings.HasPrefix(err.Error(), "pngw:4: USB link stick: this build has no USB support") {
		t.Errorf("without USB: %q, %v", got, err)
	}
	if got, err := open(stick + " option enabled 0\n"); err != nil || got != "" {
		t.Errorf("switched off: %q, %v", got, err)
	}
}
