package admin

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/sleep"
)

// What server.Operator does for PNEs and the audit log: the comments are there.

func (c *Client) PNE(ctx context.Context, e cpns.EntityID) (server.PNE, error) {
	var out pne
	err := c.ask(ctx, request{method: http.MethodGet, path: pathOf("/pnes/", string(e))}, &out)
	return out.pne(), err
}

func (c *Client) PNEs(ctx context.Context, wanted server.PNEFilter, f func(server.PNE) error) error {
	q := filled("owner", string(wanted.Owner), "gateway", string(wanted.Gateway), "state", string(wanted.State), "prefix", wanted.Prefix)
	return eachOf(ctx, c, "/pnes", q, func(p *pne) error { return f(p.pne()) })
}

func (c *Client) RemovePNE(ctx context.Context, e cpns.EntityID) error {
	return c.change(ctx, http.MethodDelete, pathOf("/pnes/", string(e)), nil)
}

func (c *Client) GiveTo(ctx context.Context, e cpns.EntityID, owner cpns.UserID) (bool, error) {
	return c.whether(ctx, http.MethodPut, pathOf("/pnes/", string(e), "/owner"), &newOwner{owner})
}

func (c *Client) Release(ctx context.Context, e cpns.EntityID) error {
	return c.change(ctx, http.MethodDelete, pathOf("/pnes/", string(e), "/owner"), nil)
}

func (c *Client) SetTK(ctx context.Context, e cpns.EntityID, tk cpns.TK) error {
	return c.ask(ctx, request{method: http.MethodPut, path: pathOf("/pnes/", string(e), "/tk"), body: &newTK{hexOf(tk)}}, nil)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// partBytes is how much of a file is sent at a time, at most.
const partBytes = slowBodyBytes - slowBodyBytes/8

// ImportPNEs sends a file in parts. Where one bad row keeps the good ones out, all parts
// are checked before the first is imported; the file is read once and its good rows are
// kept for that.
func (c *Client) ImportPNEs(ctx context.Context, r io.Reader, opts server.ImportOptions) (server.ImportResult, error) {
	var result server.ImportResult
	tell := opts.Bad
	if tell == nil {
		tell = func(*server.RowError) {}
	}
	bad := func(e *server.RowError) {
		result.Bad++
		tell(e)
	}
	var rows []row
	err := server.ReadImport(r, bad, func(in server.ImportRow) error {
		rows = append(rows, row{in.Line, in.Entity, hexOf(in.TK), in.Owner})
		return nil
	})
	if err != nil {
		return result, err
	}
	if opts.DryRun || !opts.Partial {
		if rows, err = c.check(ctx, rows, opts.Resume, &result, bad); err != nil {
			return result, err
		}
		if opts.DryRun || result.Bad > 0 {
			return result, nil
		}
		result.Good, result.There = 0, 0 // they are counted when they are imported
	}
	done := 0
	err = inParts(rows, func(p []row) error {
		got, err := c.send(ctx, &part{Rows: p, Resume: opts.Resume}, bad)
		if err != nil {
			return err
		}
		result.Good += got.Good
		result.Imported += got.Imported
		result.There += got.There
		done += len(p)
		if opts.Progress != nil {
			opts.Progress(done, len(rows))
		}
		return nil
	})
	return result, err
}

// check has the server check all rows, and gives those that are to be imported.
func (c *Client) check(ctx context.Context, rows []row, resume bool, result *server.ImportResult, bad func(*server.RowError)) ([]row, error) {
	refused := make(map[int]bool)
	err := inParts(rows, func(p []row) error {
		got, err := c.send(ctx, &part{Rows: p, DryRun: true, Resume: resume}, func(e *server.RowError) {
			refused[e.Line] = true
			bad(e)
		})
		if err == nil {
			result.Good += got.Good
			result.There += got.There
		}
		return err
	})
	if err != nil || len(refused) == 0 {
		return rows, err
	}
	good := rows[:0]
	for _, r := range rows {
		if !refused[r.Line] {
			good = append(good, r)
		}
	}
	return good, nil
}

// send sends one part, until it is answered: one that may have been done in part is sent
// again as one to be resumed.
func (c *Client) send(ctx context.Context, p *part, bad func(*server.RowError)) (*verdicts, error) {
	var out verdicts
	err := c.ask(ctx, request{method: http.MethodPost, path: "/pnes/import", body: p, never: true}, &out)
	began := time.Now()
	for wait := firstWait; err != nil && c.mayBeDone(err) && time.Since(began) < retryTime; wait = min(2*wait, longestWait) {
		c.told(err, wait)
		if err := sleep.For(ctx, wait); err != nil {
			return nil, err
		}
		again := *p
		again.Resume = true
		err = c.ask(ctx, request{method: http.MethodPost, path: "/pnes/import", body: &again, never: true}, &out)
		if !p.Resume { // what is there now was imported a moment ago
			out.Imported, out.Good, out.There = out.Imported+out.There, out.Good+out.There, 0
		}
	}
	if err != nil {
		return nil, err
	}
	for _, v := range out.Bad {
		bad(&server.RowError{Line: v.Line, Reason: v.Reason})
	}
	return &out, nil
}

// mayBeDone says whether a request that failed may have been done, or partly.
func (c *Client) mayBeDone(err error) bool {
	if answer, ok := errors.AsType[*AnswerError](err); ok {
		return answer.Status == http.StatusServiceUnavailable
	}
	_, refused := errors.AsType[*server.RefusalError](err)
	return c.answered && !refused && err != errAnswer
}

// inParts calls f with the rows in parts that fit a request.
func inParts(rows []row, f func([]row) error) error {
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && n < importMost {
			r := &rows[n]
			size += 64 + len(r.Entity)*6 + len(r.TK) + len(r.Owner)*6 // as JSON escapes it at most
			if size > partBytes && n > 0 {
				break
			}
			n++
		}
		if err := f(rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func (c *Client) Audit(ctx context.Context, since time.Time, f func(server.Event) error) error {
	return eachOf(ctx, c, "/audit", sinceOf(since), func(e *event) error { return f(e.event()) })
}

func sinceOf(t time.Time) map[string][]string {
	if t.IsZero() {
		return nil
	}
	return filled("since", t.UTC().Format(time.RFC3339Nano))
}

// Now is the server's time, or this machine's where the server does not say.
func (c *Client) Now() time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var who self
	if _, err := c.try(ctx, request{method: http.MethodGet, path: "/whoami"}, nil, "", &who); err != nil {
		return time.Now()
	}
	return who.Now
}

// followed is how many of the newest events are asked for again with each look: several
// servers on one store number their events before they are there.
const followed = 500

// Follow asks for new events every second. An event that comes late, after more than 500
// with higher numbers, is missed: server.Operator's sees that, too.
func (c *Client) Follow(ctx context.Context, since time.Time, f func(server.Event) error, away func(error)) error {
	shown := make(map[int64]bool)
	var newest int64
	isThere := true
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		q := filled("limit", strconv.Itoa(pageMost))
		if newest > followed {
			q.Set("after", strconv.FormatInt(newest-followed, 10))
		} else if !since.IsZero() {
			q.Set("since", since.UTC().Format(time.RFC3339Nano))
		}
		var page list[event]
		_, err := c.try(ctx, request{method: http.MethodGet, path: "/audit", query: q}, nil, "", &page)
		answer, isAnswer := errors.AsType[*AnswerError](err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && (!c.answered || err == errAnswer || isAnswer && answer.Status < 500 && answer.Status != http.StatusTooManyRequests):
			return err
		case (err == nil) != isThere:
			isThere = err == nil
			away(err)
		}
		for n := range page.Items {
			e := &page.Items[n]
			if shown[e.Seq] || e.Time.Before(since) {
				continue
			}
			if err := f(e.event()); err != nil {
				return err
			}
			shown[e.Seq], newest = true, max(newest, e.Seq)
		}
		for seq := range shown {
			if seq <= newest-followed {
				delete(shown, seq)
			}
		}
		if page.Next != "" {
			continue // there are more
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
