package main

import (
	"testing"

	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/step0"
)

// What holds is told beside what a move to another server has come to.
func TestEnrolmentText(t *testing.T) {
	for want, s := range map[string]step0.Status{
		"":                    {State: step0.StateNone},
		"as gw at old:1":      {State: step0.StateEnrolled, Gateway: "gw", Enrolled: "old:1", Server: "old:1"},
		"pending at new:1":    {State: step0.StatePending, Server: "new:1"},
		"refused: the reason": {State: step0.StateRefused, Detail: "the reason"},
		"as gw at old:1; to move: pending at new:1: waiting": {State: step0.StatePending, Gateway: "gw", Enrolled: "old:1", Server: "new:1", Detail: "waiting"},
		"as gw at old:1; to move: refused: the reason":       {State: step0.StateRefused, Gateway: "gw", Enrolled: "old:1", Server: "old:1", Detail: "the reason"},
	} {
		if got := enrolmentText(api.Enrolment{Status: s}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
