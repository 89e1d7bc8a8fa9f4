package conform

import (
	"context"
	"errors"
	"time"

	"cpns.example.net/pngw/internal/command"
)

// NotConforming is the exit code of a run in which a case failed. 0 means that none did
// and at least one passed; command.Failed that the run could not be made, was stopped,
// or left a case undecided.
const NotConforming = 3

// ExitCodes is what a command's help says about them.
const ExitCodes = "exit codes: 0 no case failed, 3 one did, 2 called wrongly, 1 the run could not be made or brought to its end."

// A Party is who the cases are tried on.
type Party[P any] struct {
	Name string // for the report: an Entity ID, a URL

	// Reach makes what the cases speak through, once, before the first. What it returns
	// beside P is called after the last case. It obeys ctx, which ends when the run
	// does. Its error is the run's: nothing could be tried.
	Reach func(ctx context.Context) (P, func(), error)
}

// Run tries the cases that o names on the party, writes the report, and returns nil
// only where no case failed. The end of ctx ends it, and there is a report of what was
// done until then.
func (s *Suite[P]) Run(ctx context.Context, o *Options, c *command.Console, party Party[P]) error {
	cases, err := s.chosen(o)
	if err != nil {
		return err
	}
	if o.list {
		return s.print(c, cases)
	}
	out, err := o.open(c)
	if err != nil {
		return err
	}
	defer out.close()
	p, leave, err := party.Reach(ctx)
	if err != nil {
		return err
	}
	report := newReport("cpns-conform "+s.Name, party.Name, len(cases))
	out.head(report)
	for i := range cases {
		result, whole := try(ctx, &cases[i], p, o.bytes)
		if !whole {
			report.Stopped = true
			break
		}
		report.add(result)
		out.result(&result)
	}
	leave()
	report.end()
	return errors.Join(out.tail(report), report.exit())
}

// try runs one case. whole is false where the run was stopped before it ended.
func try[P any](ctx context.Context, c *Case[P], p P, keep bool) (r Result, whole bool) {
	if ctx.Err() != nil {
		return r, false
	}
	limit := c.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	caseCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := newT()
	end := run(caseCtx, c, t, p)
	took := time.Since(t.begun)
	if ctx.Err() != nil {
		return r, false
	}
	if caseCtx.Err() != nil && end.verdict != Fail {
		end = outcome{verdict: Fail, expected: c.Says, seen: "no end of it within " + limit.String()}
	}
	r = Result{
		Name: c.Name, Clause: c.Clause, Says: c.Says,
		Verdict: end.verdict, Seconds: took.Round(time.Millisecond).Seconds(),
		Expected: end.expected, Seen: end.seen, Reason: end.reason,
	}
	trace, lost := t.end()
	if keep {
		r.Trace, r.TraceLost = trace, lost
	}
	return r, true
}

// run calls the case, and takes what it ends by. Any other panic is a fault of the
// kit's, and ends the program: it must not pass for a verdict.
func run[P any](ctx context.Context, c *Case[P], t *T, p P) (end outcome) {
	defer func() {
		if r := recover(); r != nil {
			o, ok := r.(outcome)
			if !ok {
				panic(r)
			}
			end = o
		}
	}()
	c.Run(ctx, t, p)
	return outcome{verdict: Pass}
}
