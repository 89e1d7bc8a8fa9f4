// Package batch takes in as many devices as a spreadsheet has rows, through the agent
// that runs. It reads the file once for each thing that it has to know, and keeps 16
// bytes of a row beside that: a router has little memory, and a table may have 100,000
// rows.
//
//   - file.go: rows, and what is wrong with them
//   - ledger.go: what has become of each row
//   - ask.go: the requests, a few devices at a time, and what is done where the server
//     cannot be asked
//   - batch.go: the order of it all; report.go: the verdicts as CSV
package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/sleep"
)

// Agent is what a batch asks of the agent that runs: an *api.Client. An answer that
// says no is an *api.AnswerError, every other error may go away.
type Agent interface {
	Show(context.Context, cpns.EntityID) (agent.PNE, error)
	Provision(ctx context.Context, r agent.ProvisionRequest, step func(agent.Step), done func(agent.Outcome)) error
}

// Config is what a batch is made of.
type Config struct {
	Agent Agent
	File  io.ReadSeeker
	User  cpns.UserID // of rows that name none; "" for nobody

	// Hash asks for a user's password, once, before anything is sent.
	Hash func(context.Context, cpns.UserID) (cpns.PasswordHash, error)

	Remember bool
	Hold     bool          // first keys are kept until the gateway's button is pressed
	DryRun   bool          // look at the rows and at what the agent has, and ask for nothing
	Wait     time.Duration // at most this long for deliveries, from the last request on
	Pace     time.Duration // from one device's request to the next one's, at least
	Patience time.Duration // at most this long without a server, or without the agent

	// Tell hears of each row's verdict once it is known; Say of what the batch waits for.
	Tell func(Row, Verdict)
	Say  func(string)
}

// A Verdict is what has become of a row.
type Verdict struct {
	Result Result `json:"result"`
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"`
}

// Result sums a verdict up: one of agent's results, or one of these.
type Result = agent.Result

// Verdicts beside those of agent.
const (
	Good      Result = "good"      // of a dry run: it would be asked for
	Already   Result = "already"   // it had its key before
	Bad       Result = "bad"       // the row cannot be taken
	Duplicate Result = "duplicate" // an earlier row has the same device
	Unasked   Result = "unasked"   // the batch ended before it was asked for
)

// results in the order of their codes in the ledger; the first means that there is
// none yet.
var results = [...]Result{"", Good, Already, Bad, Duplicate, Unasked, agent.ResultDelivered, agent.ResultAssigned, agent.ResultRefused, agent.ResultUnreachable, agent.ResultFailed, agent.ResultHeld}

// Counts are how many rows each verdict has.
type Counts map[Result]int

// Batch is one run over a file.
type Batch struct {
	cfg    Config
	ledger ledger
	hashes map[cpns.UserID]*cpns.PasswordHash
	dead   map[cpns.UserID]agent.Outcome // users for whom no further device is asked for, and why
	Rows   int
}

// New reads the whole file: a header that is none is an error, a bad row a verdict.
func New(cfg Config) (*Batch, error) {
	b := &Batch{cfg: cfg, hashes: map[cpns.UserID]*cpns.PasswordHash{}, dead: map[cpns.UserID]agent.Outcome{}}
	if err := b.check(); err != nil {
		return nil, err
	}
	b.Rows = len(b.ledger.rows)
	return b, nil
}

// Run does it. What has been assigned stays assigned, whatever ends it; Report tells
// the verdicts after an error, too.
func (b *Batch) Run(ctx context.Context) error {
	defer func() {
		for _, h := range b.hashes {
			clear(h[:])
		}
	}()
	err := b.run(ctx)
	if err != nil {
		b.leave()
	}
	return err
}

func (b *Batch) run(ctx context.Context) error {
	users, err := b.look(ctx)
	if err != nil {
		return err
	}
	if b.cfg.DryRun {
		return b.pass("", func(i int, row Row) error {
			b.settle(i, row, Verdict{Result: Good})
			return nil
		})
	}
	for _, user := range users {
		hash, err := b.cfg.Hash(ctx, user)
		if err != nil {
			return err
		}
		b.hashes[user] = &hash
	}
	if err := b.ask(ctx); err != nil {
		return err
	}
	return b.await(ctx)
}

// check gives bad rows their verdicts, and those of a device that was there before.
func (b *Batch) check() error {
	seen := newIndex(&b.ledger)
	return b.each(func(i int, row Row) error {
		if i >= maxRows {
			return errTooMany
		}
		b.ledger.rows = append(b.ledger.rows, entry{line: uint32(row.Line)})
		if row.Err != nil {
			b.settle(i, row, badRow(row))
			return nil
		}
		b.ledger.rows[i].key = b.ledger.key(row.Entity)
		if first, twice := seen.add(i); twice {
			b.ledger.rows[i].line = b.ledger.rows[first].line
			b.settle(i, row, b.duplicate(i))
		}
		return nil
	})
}

func badRow(row Row) Verdict {
	return Verdict{Result: Bad, Detail: row.Err.Error(), Advice: "mend the row and give the command again"}
}

func (b *Batch) duplicate(i int) Verdict {
	return Verdict{Result: Duplicate, Detail: fmt.Sprintf("line %d has it already", b.ledger.rows[i].line)}
}

// look gives those their verdicts that need nothing, and returns the users of the others.
func (b *Batch) look(ctx context.Context) (users []cpns.UserID, err error) {
	err = b.pass("", func(i int, row Row) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p, err := b.show(ctx, row.Entity)
		switch {
		case errors.As(err, new(*api.AnswerError)): // nobody has asked for it, or the request says what is wrong
		case err != nil:
			return err
		case p.User == row.User && p.State == agent.StateDelivered:
			b.settle(i, row, Verdict{Result: Already})
			return nil
		case p.User != row.User || p.State != agent.StateAssigned || p.Held != b.cfg.Hold || b.cfg.DryRun:
		case p.Held:
			b.settle(i, row, Verdict{Result: agent.ResultHeld, Detail: p.Note})
			return nil
		default:
			b.ledger.set(i, agent.ResultAssigned, "", "") // its keys are here
			return nil
		}
		if !slices.Contains(users, row.User) {
			users = append(users, row.User)
		}
		if len(users) > maxUsers {
			return errUsers
		}
		return nil
	})
	return users, err
}

// maxUsers bounds the passwords that are asked for.
const maxUsers = 32

var errUsers = errors.New("the rows name more than 32 users: give them in several files")

// leave gives all rows that have none a verdict, and tells none of them: of a batch
// that was broken off there may be many.
func (b *Batch) leave() {
	for i := range b.ledger.rows {
		if b.ledger.rows[i].result == 0 {
			b.ledger.set(i, Unasked, "the batch ended before it was asked for", "give the same command again: it goes on where it ended")
		}
	}
}

// await waits until every device that was assigned has its key, or time is up.
func (b *Batch) await(ctx context.Context) error {
	end := time.Now().Add(b.cfg.Wait)
	for {
		last := !time.Now().Before(end)
		open := 0
		err := b.pass(agent.ResultAssigned, func(i int, row Row) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			v, err := b.delivery(ctx, row)
			if err != nil {
				return err
			}
			if v.Result == agent.ResultAssigned {
				if open++; !last {
					return nil
				}
			}
			b.settle(i, row, v)
			return nil
		})
		if err != nil || open == 0 || last {
			return err
		}
		if sleep.For(ctx, min(awaitPause, time.Until(end))) != nil {
			return context.Cause(ctx)
		}
	}
}

// awaitPause is how often devices are looked at that wait for their keys.
const awaitPause = time.Second

// delivery is what has become of a device whose keys are here.
func (b *Batch) delivery(ctx context.Context, row Row) (Verdict, error) {
	p, err := b.show(ctx, row.Entity)
	no := new(api.AnswerError)
	switch {
	case errors.As(err, &no) && no.Status == http.StatusNotFound:
		return Verdict{Result: agent.ResultFailed, Detail: "it was forgotten while it waited for its key"}, nil
	case errors.As(err, &no):
		return Verdict{Result: agent.ResultFailed, Detail: err.Error()}, nil
	case err != nil:
		return Verdict{}, err
	case p.State == agent.StateDelivered || p.State == agent.StateUsedUp:
		return Verdict{Result: agent.ResultDelivered}, nil
	case p.State == agent.StateAlarm:
		return Verdict{Result: agent.ResultFailed, Detail: p.Note, Advice: "see pngw show"}, nil
	}
	v := Verdict{Result: agent.ResultAssigned, Detail: p.Note, Advice: "switch it on, check its cable or its broker: it gets its key when it next says hello"}
	switch {
	case p.TagFault != "":
		v.Advice = "see pngw show"
	case p.LastSeen != "":
		v.Detail = "it was heard on " + p.Link + " at " + p.LastSeen + " and has not acknowledged its key yet"
	}
	return v, nil
}

// show asks for a device, and again where the agent cannot be asked, such as while it
// starts anew, for as long as the batch has patience.
func (b *Batch) show(ctx context.Context, e cpns.EntityID) (agent.PNE, error) {
	for begun := time.Now(); ; {
		p, err := b.cfg.Agent.Show(ctx, e)
		switch {
		case err == nil || errors.As(err, new(*api.AnswerError)):
			return p, err
		case ctx.Err() != nil:
			return p, context.Cause(ctx)
		case time.Since(begun) >= b.cfg.Patience:
			return p, err
		}
		b.cfg.Say(err.Error() + ": asking again in " + firstPause.String())
		if sleep.For(ctx, firstPause) != nil {
			return p, context.Cause(ctx)
		}
	}
}

// settle gives a row its last verdict.
func (b *Batch) settle(i int, row Row, v Verdict) {
	b.ledger.set(i, v.Result, v.Detail, v.Advice)
	b.cfg.Tell(row, v)
}

// Counts are how many rows each verdict has.
func (b *Batch) Counts() Counts {
	n := Counts{}
	for _, e := range b.ledger.rows {
		n[results[e.result]]++
	}
	return n
}
