package agent

import (
	"testing"
	"time"
)

// TestNoise: noise is asked about once it is over, and ever more seldom while it lasts.
func TestNoise(t *testing.T) {
	const first = 600 * time.Millisecond
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var n noise
	if n.due(start) || n.pause(start) != time.Hour {
		t.Error("asks without noise")
	}
	n.heard(start, first)
	n.heard(start.Add(100*time.Millisecond), first)
	if got := n.pause(start); got != first/4 {
		t.Errorf("asks %v after noise, want %v", got, first/4)
	}
	if n.due(start.Add(first/4 - 1)) {
		t.Error("asks too early")
	}
	if !n.due(start.Add(first/4)) || n.due(start.Add(first/4)) {
		t.Error("does not ask once")
	}

	// Noise all the time, for a day.
	asked := 0
	now := start
	var gaps []time.Duration
	last := start
	for ; now.Sub(start) < 24*time.Hour; now = now.Add(50 * time.Millisecond) {
		n.heard(now, first)
		if n.due(now) {
			asked++
			gaps = append(gaps, now.Sub(last))
			last = now
		}
	}
	if gaps[0] < noiseGap || gaps[0] > 2*noiseGap || asked > 24*6+12 || gaps[len(gaps)-1] < maxNoiseGap {
		t.Errorf("a day of noise: asked %d times, the first after %v, the last after %v", asked, gaps[0], gaps[len(gaps)-1])
	}

	// After a quiet time it begins anew.
	n.due(now.Add(maxNoiseGap))
	now = now.Add(4 * maxNoiseGap)
	n.heard(now, first)
	if got := n.pause(now); got != first/4 {
		t.Errorf("after a quiet time it asks after %v, want %v", got, first/4)
	}
	n.due(now.Add(first))
	n.heard(now.Add(first), first)
	if got := n.pause(now.Add(first)); got != noiseGap {
		t.Errorf("and then after %v, want %v", got, noiseGap)
	}
}
