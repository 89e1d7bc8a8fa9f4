package step0

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// TestRenewalsSpread: ten thousand gateways that got PSK1 in the same moment come back
// spread over almost a day, and once more evenly after that. Times are simulated; the
// answers are read as real ones are.
func TestRenewalsSpread(t *testing.T) {
	const gateways, lifetime = 10_000, 7 * 24 * time.Hour
	var now time.Time
	e := &Enroller{log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }}
	const id = "an-identity"
	exported := make([]byte, cpns.ExporterSize)
	c := cpns.Confirmation(exported, id)
	body, err := json.Marshal(psk1JSON{Identity: id, Lifetime: int64(lifetime / time.Second), Confirmation: cpns.Base64.EncodeToString(c[:])})
	if err != nil {
		t.Fatal(err)
	}
	a := &Answer{Status: 200, Type: "application/json", Body: body, Export: func(string, []byte, int) ([]byte, error) {
		return append([]byte{}, exported...), nil
	}}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	asks := make([]time.Time, gateways)
	for n := range asks {
		asks[n] = start
	}
	for round := 1; round <= 3; round++ {
		minutes := map[int64]int{}
		peak := 0
		first, last := start.Add(1000*24*time.Hour), start
		for n := range asks {
			now = asks[n]
			psk, _, err := e.readPSK1(a, "h:1", cpns.SPKIHash{})
			if err != nil {
				t.Fatal(err)
			}
			if early, late := psk.Renew.Sub(now), psk.Until.Sub(psk.Renew); early < lifetime*3/5 || late < lifetime/4 {
				t.Fatalf("renewed %v after, %v before its end", early, late)
			}
			asks[n] = psk.Renew
			minute := psk.Renew.Unix() / 60
			minutes[minute]++
			peak = max(peak, minutes[minute])
			if psk.Renew.Before(first) {
				first = psk.Renew
			}
			if psk.Renew.After(last) {
				last = psk.Renew
			}
		}
		over := last.Sub(first)
		mean := gateways / over.Minutes()
		t.Logf("renewal %d: %d gateways over %v, %.1f a minute, at most %d in one", round, gateways, over.Round(time.Minute), mean, peak)
		// Twenty hours for the first, and no minute that stands out: 5 times the mean is
		// twelve standard deviations off.
		if over < 20*time.Hour || float64(peak) > 5*mean+20 {
			t.Errorf("renewal %d: at most %d in a minute, %.1f on average over %v", round, peak, mean, over)
		}
	}
}
