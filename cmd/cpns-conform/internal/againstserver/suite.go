package againstserver

import (
	"slices"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
)

// Suite is all cases, in the order in which they run: what costs the server or the user
// something comes last.
var Suite = conform.Suite[*Server]{Name: "server", Cases: cases()}

// caseLimit is how long a case may take: a server may ask for patience.
const caseLimit = time.Minute

func cases() []testCase {
	all := slices.Concat(answers, statuses, bodies, step0, overHTTP, []testCase{lockOut})
	for n := range all {
		if all[n].Limit == 0 {
			all[n].Limit = caseLimit
		}
	}
	return all
}
