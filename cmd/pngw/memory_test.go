package main

import (
	"runtime/debug"
	"testing"
)

// What the environment says goes before what the program would choose.
func TestBoundMemory(t *testing.T) {
	before, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	t.Cleanup(func() {
		debug.SetMemoryLimit(before)
		debug.SetGCPercent(percent)
	})
	tests := []struct {
		limit, gc   string // in the environment
		wantLimit   int64
		wantPercent int
	}{
		{"", "", memoryLimit, commandGC},
		{"1GiB", "", 1 << 40, commandGC},
		{"", "off", memoryLimit, 77},
		{"1GiB", "50", 1 << 40, 77},
	}
	for _, tt := range tests {
		t.Setenv("GOMEMLIMIT", tt.limit)
		t.Setenv("GOGC", tt.gc)
		// As if the runtime had set them by the environment, at the start.
		debug.SetMemoryLimit(1 << 40)
		debug.SetGCPercent(77)
		boundMemory(commandGC)
		limit, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
		if limit != tt.wantLimit || percent != tt.wantPercent {
			t.Errorf("GOMEMLIMIT=%s GOGC=%s: got limit %d and %d %%, want %d and %d %%",
				tt.limit, tt.gc, limit, percent, tt.wantLimit, tt.wantPercent)
		}
	}
}
