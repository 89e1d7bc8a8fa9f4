package server

import (
	"math"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

func TestNextEpoch(t *testing.T) {
	at := func(s string) time.Time {
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	tests := []struct {
		last cpns.Epoch
		now  time.Time
		want cpns.Epoch // 0 for none
	}{
		{0, at("2020-01-01T00:00:00Z"), 1},
		{0, at("2020-01-01T00:01:59Z"), 1},
		{0, at("2020-01-01T00:02:00Z"), 2},
		{7, at("2020-01-01T00:02:00Z"), 8},
		{0, at("2019-12-31T23:59:59Z"), 1},
		{0, at("1970-01-01T00:00:00Z"), 1},
		{41, at("0001-01-01T00:00:00Z"), 42},
		{0, at("2026-01-01T00:00:00Z"), 3_156_480},
		{3_156_480, at("2026-01-01T00:00:59Z"), 3_156_481},
		{3_156_481, at("2026-01-01T00:00:59Z"), 3_156_482},
		{3_156_482, at("2026-01-01T01:00:00Z"), 3_156_540},
		{math.MaxUint32 - 1, at("2026-01-01T00:00:00Z"), math.MaxUint32},
		{math.MaxUint32, at("2026-01-01T00:00:00Z"), 0},
		// The end of what epochs can count, and a clock behind it.
		{5, time.Unix(epochStart.Unix()+math.MaxUint32*60, 0), math.MaxUint32},
		{5, time.Unix(epochStart.Unix()+(math.MaxUint32+1)*60, 0), 6},
		{5, time.Unix(1<<60, 0), 6},
		{5, time.Unix(-1<<60, 0), 6},
	}
	for _, tt := range tests {
		got, left := nextEpoch(tt.last, tt.now)
		if got != tt.want || left != (tt.want != 0) {
			t.Errorf("after %d at %v: got %d, %v, want %d", tt.last, tt.now, got, left, tt.want)
		}
	}
}

func TestClockWatch(t *testing.T) {
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := new(clockWatch)
	wall, passed := begin, time.Duration(0)
	goOn := func(d time.Duration) bool {
		wall, passed = wall.Add(d), passed+d
		return w.steady(wall, passed)
	}
	if goOn(0) || goOn(59*time.Minute) {
		t.Error("steady before the hour is over")
	}
	if !goOn(time.Minute) {
		t.Error("not steady after an hour")
	}
	if !goOn(24 * time.Hour) {
		t.Error("not steady after a day without a reading")
	}
	for _, jump := range []time.Duration{10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour, 2 * time.Minute, -2 * time.Minute} {
		wall = wall.Add(jump)
		if goOn(time.Second) {
			t.Errorf("steady after a jump of %v", jump)
		}
		if goOn(59 * time.Minute) {
			t.Errorf("steady within an hour after a jump of %v", jump)
		}
		if !goOn(time.Hour) {
			t.Errorf("not steady after a jump of %v long ago", jump)
		}
	}
	wall = wall.Add(time.Second) // a time server's correction
	if !goOn(time.Minute) {
		t.Error("a second is no jump")
	}
}
