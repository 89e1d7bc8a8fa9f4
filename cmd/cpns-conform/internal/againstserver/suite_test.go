package againstserver

import "testing"

// TestOurServer: our own server passes every case.
func TestOurServer(t *testing.T) {
	serve(t, nil, func(t *testing.T, r *rig) {
		report := r.run(t)
		for _, c := range report.Cases {
			if c.Verdict != "pass" {
				t.Errorf("%s: %s; expected %s, seen %s%s", c.Name, c.Verdict, c.Expected, c.Seen, c.Reason)
			}
		}
		t.Logf("%d cases in %.1f s", len(report.Cases), report.Seconds)
	})
}
