package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/batch"
	"cpns.example.net/pngw/cpns"
)

// Bounds of a table, which is in memory while its job lasts. Longer ones are the command
// line's, which reads them from a file.
const (
	maxRows       = 1024
	tablePatience = 5 * time.Minute // without a server
	tablePace     = 50 * time.Millisecond
)

// tableRequest is the body of POST /v1/table: a table as its file has it.
type tableRequest struct {
	CSV  []byte `json:"csv"`
	User string `json:"user"` // of rows that name none, "" for nobody
}

// tableAnswer is what would be done about each row.
type tableAnswer struct {
	Rows  []tableRow    `json:"rows"`
	Users []cpns.UserID `json:"users"` // whose passwords it takes
}

type tableRow struct {
	batch.Row
	batch.Verdict
	Typed string `json:"typed,omitempty"` // of a bad row
}

func (p *Page) table(w http.ResponseWriter, r *http.Request, _ *session) {
	var b tableRequest
	if !body(w, r, &b) {
		return
	}
	a, err := p.look(r.Context(), b.CSV, b.User)
	if errors.Is(err, errRows) {
		refuse(w, http.StatusRequestEntityTooLarge, err.Error())
	} else if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
	} else {
		answer(w, http.StatusOK, a)
	}
}

var errRows = fmt.Errorf("more than %d rows: pngw provision --csv on the router takes them", maxRows)

// look is a dry run.
func (p *Page) look(ctx context.Context, csv []byte, user string) (*tableAnswer, error) {
	if user != "" {
		if _, err := cpns.ParseUserID(user); err != nil {
			return nil, err
		}
	}
	if bytes.Count(csv, []byte("\n")) > 2*maxRows {
		return nil, errRows
	}
	a := &tableAnswer{Users: []cpns.UserID{}}
	var early, rows []tableRow // those that New has a verdict of, and the others; each in the order of the file
	made := false
	b, err := batch.New(batch.Config{
		Agent: batchAgent{p: p}, File: bytes.NewReader(csv), User: cpns.UserID(user), DryRun: true,
		Tell: func(r batch.Row, v batch.Verdict) {
			row := tableRow{Row: r, Verdict: v}
			if r.Entity == "" {
				row.Typed = string([]rune(r.Typed)[:min(len([]rune(r.Typed)), 80)])
			}
			if made {
				rows = append(rows, row)
			} else {
				early = append(early, row)
			}
			if v.Result == batch.Good && !slices.Contains(a.Users, r.User) {
				a.Users = append(a.Users, r.User)
			}
		},
		Say: func(string) {},
	})
	if err != nil {
		return nil, err
	}
	if b.Rows > maxRows {
		return nil, errRows
	}
	made = true
	if err := b.Run(ctx); err != nil {
		return nil, err
	}
	a.Rows = make([]tableRow, 0, b.Rows)
	for len(early)+len(rows) > 0 {
		next := &rows
		if len(rows) == 0 || len(early) > 0 && early[0].Line < rows[0].Line {
			next = &early
		}
		a.Rows = append(a.Rows, (*next)[0])
		*next = (*next)[1:]
	}
	return a, nil
}

// beginTable begins the job of a table, as begin does. hashes are those of its users.
func (p *Page) beginTable(ctx context.Context, who, id string, csv []byte, user string, hashes map[string]string) error {
	if p.known(id) {
		return nil
	}
	a, err := p.look(ctx, csv, user)
	if err != nil {
		return err
	}
	secrets := map[cpns.UserID]cpns.PasswordHash{}
	for _, u := range a.Users {
		if secrets[u], err = api.ParsePasswordHash(hashes[string(u)]); err != nil {
			return fmt.Errorf("user %s: %w", u, err)
		}
	}
	j := &job{id: id, user: cpns.UserID(user), who: who}
	places := map[int]int{} // by line
	for i, r := range a.Rows {
		it := item{Entity: r.Entity, Line: r.Line, Label: r.Label}
		if it.Entity == "" {
			it.Label = r.Typed
		}
		j.items = append(j.items, it)
		places[r.Line] = i
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs[id] != nil {
		return nil
	}
	if !p.enter(j) {
		return errJobs
	}
	p.running.Go(func() { p.runTable(j, csv, places, secrets) })
	return nil
}

func (p *Page) runTable(j *job, csv []byte, places map[int]int, secrets map[cpns.UserID]cpns.PasswordHash) {
	p.log.Info("keys requested by the page", "user", j.user, "rows", len(places))
	b, err := batch.New(batch.Config{
		Agent: batchAgent{p, j}, File: bytes.NewReader(csv), User: j.user,
		Hash: func(_ context.Context, u cpns.UserID) (cpns.PasswordHash, error) {
			h := secrets[u]
			delete(secrets, u)
			return h, nil
		},
		Wait: jobWait, Pace: tablePace, Patience: tablePatience,
		Tell: func(r batch.Row, v batch.Verdict) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if i, ok := places[r.Line]; ok {
				j.items[i].End = &agent.Outcome{Entity: r.Entity, Result: v.Result, Detail: v.Detail, Advice: v.Advice}
				p.change(j, &j.items[i])
			}
		},
		Say: func(text string) { p.log.Warn("a table waits", "reason", text) },
	})
	if err == nil {
		err = b.Run(p.ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range j.items {
		if it := &j.items[i]; it.End == nil {
			it.End = &agent.Outcome{Entity: it.Entity, Result: batch.Unasked}
			if err != nil {
				it.End.Detail = err.Error()
			}
			p.change(j, it)
		}
	}
	j.ended = time.Now()
	p.change(j, nil)
}

// batchAgent is the agent as a batch asks it, and tells a job's steps.
type batchAgent struct {
	p *Page
	j *job // nil for a dry run
}

func (a batchAgent) Show(ctx context.Context, e cpns.EntityID) (agent.PNE, error) {
	v, err := a.p.agent.Show(ctx, e)
	if errors.Is(err, fs.ErrNotExist) {
		err = &api.AnswerError{Status: http.StatusNotFound, Text: err.Error()}
	}
	return v, err
}

func (a batchAgent) Provision(ctx context.Context, r agent.ProvisionRequest, step func(agent.Step), done func(agent.Outcome)) error {
	outcomes, err := a.p.agent.Provision(ctx, r, func(s agent.Step) {
		step(s)
		a.p.mu.Lock()
		defer a.p.mu.Unlock()
		for i := range a.j.items {
			if it := &a.j.items[i]; it.Entity == s.Entity && it.End == nil {
				it.tell(s)
				a.p.change(a.j, it)
				return
			}
		}
	})
	a.p.api.NoteProvision(a.j.who, &r, outcomes, err)
	for _, o := range outcomes {
		if err == nil || o.Result == agent.ResultAssigned || o.Result == agent.ResultDelivered {
			done(o)
		}
	}
	return err
}
