//go:build linux && slow

package e2e

import "testing"

// TestSlow runs what takes minutes by itself: make renewal.
func TestSlow(t *testing.T) { runScripts(t, "testdata/slow") }
