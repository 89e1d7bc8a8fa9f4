//go:build linux && conform

package e2e

import "testing"

// TestConform runs all cases of the conformance kit for a PNE on our own devices, which
// takes some minutes: make conform.
func TestConform(t *testing.T) { runScripts(t, "testdata/conform") }
