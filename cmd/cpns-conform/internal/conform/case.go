package conform

import (
	"context"
	"time"
)

// A Case is one thing that a party has to do, tried by itself.
type Case[P any] struct {
	// Name is what --only takes, in lower case with hyphens, the part of the protocol
	// first: "hello-same", "update-chain".
	Name string

	// Clause is where docs/protocol.md says so: "4, What a PNE does, Hello".
	Clause string

	// Says is what must hold, in one sentence without a full stop.
	Says string

	// Limit is how long the case may take; 0 is DefaultLimit. A case that takes longer
	// has failed.
	Limit time.Duration

	Run func(ctx context.Context, t *T, party P)
}

// DefaultLimit is how long a case may take unless it says otherwise.
const DefaultLimit = 15 * time.Second

// A Suite is all cases of one kind of party.
type Suite[P any] struct {
	Name  string // of the command: "pne", "server", "gateway"
	Cases []Case[P]
}

// A Verdict is how a case ended.
type Verdict uint8

const (
	Undecided     Verdict = iota // the kit could not tell: a link went down, a command of the user's failed
	Pass                         // what the clause wants was seen
	Fail                         // something else was
	NotApplicable                // the clause is about a party of another kind, or the kit was not given what it takes
)

// String returns the verdict as it stands in reports.
func (v Verdict) String() string {
	return [...]string{"undecided", "pass", "fail", "not applicable"}[v]
}

// MarshalText is String.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// A Result is what came of a case.
type Result struct {
	Name    string  `json:"name"`
	Clause  string  `json:"clause"`
	Says    string  `json:"says"`
	Verdict Verdict `json:"verdict"`
	Seconds float64 `json:"seconds"`

	// Of a failure.
	Expected string `json:"expected,omitempty"`
	Seen     string `json:"seen,omitempty"`

	// Why not applicable, or undecided.
	Reason string `json:"reason,omitempty"`

	// What went over the wire, with --bytes.
	Trace []Entry `json:"trace,omitempty"`
	// How many entries of Trace there was no room for.
	TraceLost int `json:"trace_lost,omitempty"`
}
