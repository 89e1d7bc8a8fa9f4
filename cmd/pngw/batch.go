package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/batch"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/durable"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/internal/password"
)

// batchOptions are those of provision that are for a file of devices.
type batchOptions struct {
	csv, report string
	dryRun      bool
	pace        *time.Duration
}

// maxPace is the longest --pace, with which a thousand devices take a day.
const maxPace = time.Minute

// serverPatience is how long a batch keeps trying while the server, or the agent, cannot
// be reached.
const serverPatience = 5 * time.Minute

// check refuses options that do not go together.
func (b *batchOptions) check(args []string) error {
	switch {
	case b.csv == "" && (b.report != "" || b.dryRun):
		return command.Misused("--report and --dry-run are of no use without --csv FILE")
	case b.csv == "" && len(args) == 0:
		return command.Misused("ENTITY_ID is missing")
	case b.csv != "" && len(args) > 0:
		return command.Misused("want either devices or --csv FILE")
	case *b.pace < 0 || *b.pace > maxPace:
		return command.Misused("--pace %v: want a time from 0s to %v", *b.pace, maxPace)
	}
	return nil
}

// provisionFile takes in the devices of a file.
func provisionFile(ctx context.Context, c *command.Console, o *provisionOptions, f *batchOptions, remember bool) (err error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if err := hardening.Memory(); err != nil {
		return err
	}
	file, err := os.Open(f.csv)
	if err != nil {
		return err
	}
	defer file.Close()
	if f.report != "" { // before anything is requested
		if err := durable.Rehearse(f.report, 1); err != nil {
			return fmt.Errorf("--report: %w", err)
		}
	}
	if same(file, f.report) {
		return command.Misused("--report %s would be written over the file itself: want another name", f.report)
	}
	ctx, stop := command.Interruptible(ctx)
	defer stop()
	client := api.NewClient(cfg.Gateway.Socket)
	status, err := client.Status(ctx)
	if err != nil {
		return explain(c, err)
	}
	if status.Gateway == "" {
		return errors.New(status.PSK1.Waiting)
	}
	if o.hold {
		sayHeld(c, &status)
	}
	s := newScreen(c.Stdout, o.json)
	b, err := batch.New(batch.Config{
		Agent: client, File: file, User: cpns.UserID(o.user), Remember: remember, Hold: o.hold, DryRun: f.dryRun,
		Wait: *o.wait, Pace: *f.pace, Patience: serverPatience,
		Hash: o.asker(c), Tell: s.tell, Say: s.say,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", f.csv, err)
	}
	s.rows = b.Rows
	err = b.Run(ctx)
	s.end()
	if f.report != "" {
		err = errors.Join(err, durable.ReplaceBy(f.report, 0o644, b.Report))
	}
	return sumUp(c, b.Counts(), s, f, err)
}

// same reports whether a path leads to an open file.
func same(f *os.File, path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	open, err := f.Stat()
	return err == nil && os.SameFile(there, open)
}

// asker returns a function that asks for a user's password and hashes it.
func (o *provisionOptions) asker(c *command.Console) func(context.Context, cpns.UserID) (cpns.PasswordHash, error) {
	var first cpns.UserID
	return func(ctx context.Context, user cpns.UserID) (hash cpns.PasswordHash, err error) {
		if first == "" {
			first = user
		} else if o.passwordFile != "" {
			return hash, command.Misused("--password-file has one password, and the rows are of %s and of %s at least: leave it out to be asked for each, or give each user's rows in a file of their own", first, user)
		}
		question := &password.Question{Whose: string(user), File: o.passwordFile, Program: c.Program.Name, Stdin: c.Stdin, Stderr: c.Stderr}
		text, err := question.Ask(ctx)
		if err != nil {
			return hash, password.Explain(err, "nothing was asked of the server")
		}
		defer clear(text)
		return hashPassword(user, text), nil
	}
}

// sumUp prints how many rows each verdict has, and derives the exit code from that.
func sumUp(c *command.Console, n batch.Counts, s *screen, f *batchOptions, err error) error {
	if !s.json {
		c.Printf("%s\n", countsText(n))
		if f.report != "" && err == nil {
			c.Printf("report: %s\n", display.Plain(f.report))
		}
		if f.dryRun && err == nil {
			c.Printf("nothing was asked for: this was a dry run\n")
		}
	}
	if e := new(command.Exit); errors.As(err, &e) {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &command.Exit{Code: command.Failed, Err: fmt.Errorf("%w: what was delivered stays so; give the same command again for the others", errInterrupted)}
	case errors.Is(err, batch.ErrUnreachable):
		return &command.Exit{Code: exitUnreachable, Err: fmt.Errorf("%w: give the same command again: it goes on where it ended", err)}
	case err != nil:
		return explain(c, err)
	case n[agent.ResultFailed]+n[batch.Bad]+n[batch.Unasked] > 0:
		return &command.Exit{Code: command.Failed}
	case n[agent.ResultUnreachable] > 0:
		return &command.Exit{Code: exitUnreachable}
	case n[agent.ResultRefused] > 0:
		return &command.Exit{Code: exitRefused}
	case n[agent.ResultAssigned] > 0:
		return &command.Exit{Code: exitPending}
	}
	return s.err
}

// verdictWords are the words of the summary for each verdict, the best first.
var verdictWords = []struct {
	result batch.Result
	word   string
}{
	{agent.ResultDelivered, "delivered"}, {batch.Already, "had their keys already"}, {batch.Good, "can be asked for"},
	{batch.Duplicate, "duplicate"}, {agent.ResultHeld, "kept until the button is pressed"}, {agent.ResultAssigned, "assigned, not yet delivered"}, {agent.ResultRefused, "refused"},
	{agent.ResultUnreachable, "without a server"}, {agent.ResultFailed, "failed"}, {batch.Bad, "bad"}, {batch.Unasked, "not asked for"},
}

func countsText(n batch.Counts) string {
	all, parts := 0, []string(nil)
	for _, w := range verdictWords {
		if all += n[w.result]; n[w.result] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[w.result], w.word))
		}
	}
	return strings.TrimSuffix(fmt.Sprintf("%d rows: %s", all, strings.Join(parts, ", ")), ": ")
}

// screen shows the progress of a batch: on a terminal a bar, and above it the rows that
// need a person's attention; otherwise a line for every row; or JSON.
type screen struct {
	w    io.Writer
	json bool
	bar  bool
	rows int
	n    batch.Counts
	all  int
	err  error
}

func newScreen(w io.Writer, asJSON bool) *screen {
	f, ok := w.(*os.File)
	return &screen{w: w, json: asJSON, bar: ok && !asJSON && term.IsTerminal(int(f.Fd())), n: batch.Counts{}}
}

// verdictLine is a row's verdict as JSON.
type verdictLine struct {
	batch.Row
	batch.Verdict
}

func (s *screen) tell(row batch.Row, v batch.Verdict) {
	s.n[v.Result]++
	s.all++
	if s.json {
		s.keep(display.JSONLine(s.w, verdictLine{row, v}))
		return
	}
	good := v.Result == agent.ResultDelivered || v.Result == batch.Already || v.Result == batch.Good || v.Result == agent.ResultHeld
	if !good || !s.bar {
		device := string(row.Entity)
		if row.Label != "" && device != "" {
			device += " (" + row.Label + ")"
		}
		s.print(join(join(fmt.Sprintf("line %d", row.Line), device), join(resultText(v.Result), v.Detail)))
		if v.Advice != "" {
			s.print("  next: " + v.Advice)
		}
	}
	s.draw()
}

func resultText(r batch.Result) string {
	switch r {
	case batch.Already:
		return "had its key already"
	case batch.Good:
		return "can be asked for"
	case agent.ResultAssigned:
		return "assigned, not yet delivered"
	}
	return string(r)
}

func (s *screen) say(text string) {
	if !s.json {
		s.print(text)
		s.draw()
	}
}

// Columns of the bar, and what wipes a line.
const (
	barWidth = 30
	wipeLine = "\r\x1b[K"
)

func (s *screen) draw() {
	if !s.bar || s.rows == 0 {
		return
	}
	full := barWidth * s.all / s.rows
	_, err := fmt.Fprintf(s.w, wipeLine+"[%s%s] %d of %d, %d delivered", strings.Repeat("#", full), strings.Repeat(" ", barWidth-full), s.all, s.rows, s.n[agent.ResultDelivered]+s.n[batch.Already])
	s.keep(err)
}

func (s *screen) end() {
	if s.bar {
		_, err := io.WriteString(s.w, wipeLine)
		s.keep(err)
	}
}

func (s *screen) print(line string) {
	if s.bar {
		line = wipeLine + display.Plain(line)
	} else {
		line = display.Plain(line)
	}
	_, err := fmt.Fprintln(s.w, line)
	s.keep(err)
}

func (s *screen) keep(err error) {
	if s.err == nil {
		s.err = err
	}
}
