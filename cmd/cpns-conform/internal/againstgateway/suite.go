package againstgateway

import (
	"slices"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
)

// Suite is all cases, in the order in which they run.
var Suite = conform.Suite[*Bench]{Name: "gateway", Cases: cases()}

// caseLimit is how long a case may take unless it says otherwise: a person may have to do
// something.
const caseLimit = 2 * time.Minute

func cases() []testCase {
	all := slices.Concat(requests, responses, deliveries, authentications, robust)
	for n := range all {
		if all[n].Limit == 0 {
			all[n].Limit = caseLimit
		}
	}
	return all
}
