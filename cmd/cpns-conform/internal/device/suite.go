package device

import (
	"context"
	"slices"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
)

// Suite is all cases for a PNE, in the order of docs/protocol.md; those that take the
// power away are at the end.
var Suite = conform.Suite[*Bench]{
	Name: "pne",
	Cases: prepared(slices.Concat(
		helloCases, decodingCases, coseCases, notificationCases, refusalCases,
		challengeCases, updateCases, x25519Cases, streamCases, lineCases, powerCases,
	)),
}

// prepared has each case begin with what every one begins with.
func prepared(cases []conform.Case[*Bench]) []conform.Case[*Bench] {
	for i := range cases {
		run := cases[i].Run
		cases[i].Run = func(ctx context.Context, t *conform.T, b *Bench) {
			b.begin(ctx, t)
			run(ctx, t, b)
			b.clean = true
		}
	}
	return cases
}
