// Package linktest is the contract of transport.Link as a test. Every carrier
// runs it over the real thing, and so does the pair in memory:
//
//	func TestConformance(t *testing.T) { linktest.Run(t, newRig) }
//
// It holds what the doc comments of transport promise to the agent, and nothing
// that only one carrier can do: framing, topics and devices have tests of their
// own beside them.
package linktest

import (
	"testing"

	"cpns.example.net/pngw/transport"
)

// A Rig is one gateway's link and one PNE's link, connected. Neither runs yet.
type Rig struct {
	Gateway, PNE transport.Link

	// Entity is the Entity ID of the PNE.
	Entity string

	// PeerNamed says that the gateway's link names the sender of a message.
	PeerNamed bool

	// Cut takes the carrier away from both links and returns when it is gone;
	// Restore brings it back. Nil where that is not possible.
	Cut, Restore func()

	// Noise puts bytes on the idle carrier, towards both links, that are no
	// message: a burst on a line, junk published by a stranger. Nil where there
	// is no way for such to get in.
	Noise func(junk []byte)
}

// Run runs the suite. newRig makes a new rig for each test and registers its
// cleanup with t.
func Run(t *testing.T, newRig func(t *testing.T) Rig) {
	for _, c := range []struct {
		name  string
		test  func(*testing.T, Rig)
		needs func(Rig) bool
	}{
		{"BothDirections", testBothDirections, nil},
		{"Order", testOrder, nil},
		{"Sizes", testSizes, nil},
		{"TooLong", testTooLong, nil},
		{"Everybody", testEverybody, nil},
		{"ConcurrentSend", testConcurrentSend, nil},
		{"SenderKeepsBuffer", testSenderKeepsBuffer, nil},
		{"Status", testStatus, nil},
		{"SendBeforeRun", testSendBeforeRun, nil},
		{"SendContextEnded", testSendContextEnded, nil},
		{"RunEnds", testRunEnds, nil},
		{"StatusAgrees", testStatusAgrees, nil},
		{"RunTwice", testRunTwice, nil},
		{"RunAgain", testRunAgain, nil},
		{"BackPressure", testBackPressure, nil},
		{"Noise", testNoise, func(r Rig) bool { return r.Noise != nil }},
		{"AbsentAtStart", testAbsentAtStart, canCut},
		{"CutAndRestore", testCutAndRestore, canCut},
		{"RunEndsWhileAbsent", testRunEndsWhileAbsent, canCut},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			if c.needs != nil && !c.needs(r) {
				t.Logf("not for this carrier: it has no way to do that")
				return
			}
			c.test(t, r)
		})
	}
}

func canCut(r Rig) bool { return r.Cut != nil && r.Restore != nil }
