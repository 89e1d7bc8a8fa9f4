package admin

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/sleep"
	"cpns.example.net/pngw/internal/spool"
)

// What server.Operator does for PNEs: the comments are there.

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

func (c *Client) Release(ctx context.Context, e cpns.EntityID) (bool, error) {
	return c.whether(ctx, http.MethodDelete, pathOf("/pnes/", string(e), "/owner"), nil)
}

func (c *Client) SetTK(ctx context.Context, e cpns.EntityID, tk cpns.TK) error {
	return c.ask(ctx, request{method: http.MethodPut, path: pathOf("/pnes/", string(e), "/tk"), body: &newTK{hexOf(tk)}}, nil)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// partBytes is how much of a file is sent at a time, at most.
const partBytes = slowBodyBytes - slowBodyBytes/8

// ImportPNEs sends a file in parts. Where one bad row keeps the good ones out, all parts
// are checked before the first is imported; the file is read once, and its good rows wait
// in a spool for that.
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
	// A server that is not there, or lets nobody in, is known before a long file is read.
	if err := c.ask(ctx, request{method: http.MethodGet, path: "/whoami"}, new(self)); err != nil {
		return result, err
	}
	rows, err := newSentRows()
	if err != nil {
		return result, err
	}
	defer rows.spool.Close()
	if err := server.ReadImport(r, bad, rows.add(opts.Read)); err != nil {
		return result, err
	}
	if opts.DryRun || !opts.Partial {
		if err = c.check(ctx, rows, opts, &result, bad); err != nil {
			return result, err
		}
		if opts.DryRun || result.Bad > 0 {
			return result, nil
		}
		result.Good, result.There = 0, 0 // they are counted when they are imported
	}
	done := 0
	err = rows.inParts(func(p []row) error {
		got, err := c.send(ctx, &part{Rows: p, Resume: opts.Resume}, bad)
		if err != nil {
			return err
		}
		result.Good += got.Good
		result.Imported += got.Imported
		result.There += got.There
		done += len(p)
		if opts.Progress != nil {
			opts.Progress(done, rows.count)
		}
		return nil
	})
	return result, err
}

// check has the server check all rows.
func (c *Client) check(ctx context.Context, rows *sentRows, opts server.ImportOptions, result *server.ImportResult, bad func(*server.RowError)) error {
	done := 0
	return rows.inParts(func(p []row) error {
		got, err := c.send(ctx, &part{Rows: p, DryRun: true, Resume: opts.Resume}, bad)
		if err != nil {
			return err
		}
		result.Good += got.Good
		result.There += got.There
		done += len(p)
		if opts.Checked != nil {
			opts.Checked(done, rows.count)
		}
		return nil
	})
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

// sentRows are the rows of an import that are good in themselves.
type sentRows struct {
	spool *spool.Spool
	count int
}

func newSentRows() (*sentRows, error) {
	s, err := spool.New()
	return &sentRows{spool: s}, err
}

// add is what puts a row to the others, and tells how many there are now and then.
func (s *sentRows) add(read func(int)) func(server.ImportRow) error {
	const every = 10_000
	return func(in server.ImportRow) error {
		record, err := json.Marshal(row{in.Line, in.Entity, hexOf(in.TK), in.Owner})
		clear(in.TK)
		if err != nil {
			return err
		}
		defer clear(record)
		if s.count++; read != nil && s.count%every == 0 {
			read(s.count)
		}
		return s.spool.Add(record)
	}
}

// inParts calls f with the rows in parts that fit a request. The slice is f's only until
// it returns.
func (s *sentRows) inParts(f func([]row) error) error {
	var p []row
	size := 0
	flush := func() error {
		if len(p) == 0 {
			return nil
		}
		err := f(p)
		clear(p)
		p, size = p[:0], 0
		return err
	}
	err := s.spool.Each(func(record []byte) error {
		var r row
		if err := json.Unmarshal(record, &r); err != nil {
			return err
		}
		more := 64 + len(r.Entity)*6 + len(r.TK) + len(r.Owner)*6 // as JSON escapes it at most
		if len(p) == importMost || size+more > partBytes && len(p) > 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		p, size = append(p, r), size+more
		return nil
	})
	if err == nil {
		err = flush()
	}
	return err
}
