package main

import "testing"

// TestTellingPaths: each path is told once, whatever other paths end in.
func TestTellingPaths(t *testing.T) {
	telling := telling{shown: "/etc/pngw", told: map[string]bool{}, names: map[string]bool{}}
	for _, path := range []string{"", "/mnt/a /etc/x", "/etc/x", "/etc//x", "/etc/pngw/psk1", "/a-b", "/a_b", "/with:colon"} {
		telling.path("ro", path, func(err error) error { return err })
	}
	const want = "ro /mnt/a /etc/x\nro /etc/x\nro /a-b\nro //a_b\n"
	if got := telling.text.String(); got != want || len(telling.faults) != 1 {
		t.Errorf("told %q and %v, want %q and one fault", got, telling.faults, want)
	}
}
