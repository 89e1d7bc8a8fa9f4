package batch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/sleep"
)

// chunk is how many devices one request to the agent has.
const chunk = 16

// waiting is a row whose device is about to be asked for.
type waiting struct {
	i   int
	row Row
}

// ask asks for every device that has no verdict yet.
func (b *Batch) ask(ctx context.Context) error {
	var next []waiting
	flush := func() error {
		rows := next
		next = next[:0]
		return b.askFor(ctx, rows)
	}
	err := b.pass("", func(i int, row Row) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if o, dead := b.dead[row.User]; dead {
			b.settle(i, row, Verdict{o.Result, "not asked for: " + o.Detail, o.Advice})
			return nil
		}
		if len(next) > 0 && (len(next) == chunk || next[0].row.User != row.User) {
			if err := flush(); err != nil {
				return err
			}
		}
		next = append(next, waiting{i, row})
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// askFor asks for a few devices of one user. Those that no server was there for are
// asked for again, after a pause that grows, for as long as the batch has patience.
func (b *Batch) askFor(ctx context.Context, rows []waiting) error {
	var since time.Time // when it became unreachable
	for wait := firstPause; len(rows) > 0; {
		if o, dead := b.dead[rows[0].row.User]; dead {
			for _, w := range rows {
				b.settle(w.i, w.row, Verdict{o.Result, "not asked for: " + o.Detail, o.Advice})
			}
			return nil
		}
		begun := time.Now()
		asked := len(rows)
		left, why, err := b.request(ctx, rows)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rows = left
		if len(rows) == 0 {
			if sleep.For(ctx, time.Duration(asked)*b.cfg.Pace-time.Since(begun)) != nil {
				return context.Cause(ctx)
			}
			return nil
		}
		switch {
		case len(rows) < asked || since.IsZero():
			since, wait = begun, firstPause
		case time.Since(since) >= b.cfg.Patience:
			for _, w := range rows {
				b.settle(w.i, w.row, Verdict{agent.ResultUnreachable, why.Detail, why.Advice})
			}
			if err == nil {
				err = ErrUnreachable
			}
			return err
		}
		// Half of it at random: a building's gateways lose their server together.
		d := max(wait/2+rand.N(wait/2), time.Duration(min(why.RetryAfter, maxRetryAfter))*time.Second)
		b.cfg.Say(why.Detail + ": asking again in " + d.Round(time.Second).String())
		if sleep.For(ctx, d) != nil {
			return context.Cause(ctx)
		}
		wait = min(2*wait, lastPause)
	}
	return nil
}

// ErrUnreachable ends a batch that had no server for longer than it has patience.
var ErrUnreachable = errors.New("the server cannot be asked")

const (
	firstPause    = 2 * time.Second
	lastPause     = time.Minute
	maxRetryAfter = 300 // seconds
)

// request asks for devices once, and returns those that no server was asked about,
// and why; err is that the agent itself could not be asked, or went away.
func (b *Batch) request(ctx context.Context, rows []waiting) (left []waiting, why agent.Outcome, err error) {
	r := agent.ProvisionRequest{User: rows[0].row.User, PasswordHash: *b.hashes[rows[0].row.User], Remember: b.cfg.Remember, Hold: b.cfg.Hold}
	place := map[cpns.EntityID]int{}
	for n, w := range rows {
		r.Entities = append(r.Entities, w.row.Entity)
		place[w.row.Entity] = n
	}
	told := make([]bool, len(rows))
	done := func(o agent.Outcome) {
		n, ok := place[o.Entity]
		if !ok || told[n] {
			return
		}
		w := rows[n]
		switch {
		case o.Result == agent.ResultUnreachable:
			if why.Detail == "" {
				why = o
			}
			return
		case o.Result == agent.ResultAssigned:
			b.ledger.set(w.i, o.Result, "", "") // await says how it ends
		default:
			b.settle(w.i, w.row, Verdict{o.Result, o.Detail, o.Advice})
		}
		told[n] = true
		if o.Status == cpns.UserAuthenticationFailed || o.Status == cpns.UserLocked {
			b.dead[r.User] = o
		}
	}
	err = b.cfg.Agent.Provision(ctx, r, func(agent.Step) {}, done)
	clear(r.PasswordHash[:])
	if no := new(api.AnswerError); errors.As(err, &no) {
		for n, w := range rows {
			if !told[n] {
				b.settle(w.i, w.row, Verdict{agent.ResultFailed, no.Text, "see pngw status"})
			}
		}
		return nil, why, nil
	}
	if err != nil && why.Detail == "" {
		why = agent.Outcome{Detail: err.Error(), Advice: "see that the agent runs, and give the same command again: it goes on where it ended"}
	}
	for n, w := range rows {
		if !told[n] {
			left = append(left, w)
		}
	}
	return left, why, err
}
