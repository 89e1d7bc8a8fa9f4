package conform

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

// A Report is what came of a run. This is its JSON.
type Report struct {
	Kit           string    `json:"kit"`
	Party         string    `json:"party"`
	Started       time.Time `json:"started"`
	Seconds       float64   `json:"seconds"`
	Conforms      bool      `json:"conforms"` // all was tried, nothing failed or was left open
	Passed        int       `json:"passed"`
	Failed        int       `json:"failed"`
	NotApplicable int       `json:"not_applicable"`
	Undecided     int       `json:"undecided"`
	Untried       int       `json:"untried"` // the run was stopped before
	Stopped       bool      `json:"stopped"`
	Cases         []Result  `json:"cases"`
}

func newReport(kit, party string, cases int) *Report {
	return &Report{Kit: kit, Party: party, Started: time.Now(), Untried: cases, Cases: []Result{}}
}

func (r *Report) add(result Result) {
	r.Cases = append(r.Cases, result)
	r.Untried--
	switch result.Verdict {
	case Pass:
		r.Passed++
	case Fail:
		r.Failed++
	case NotApplicable:
		r.NotApplicable++
	default:
		r.Undecided++
	}
}

func (r *Report) end() {
	r.Seconds = time.Since(r.Started).Round(time.Millisecond).Seconds()
	r.Started = r.Started.UTC().Round(time.Second)
	r.Conforms = r.exit() == nil
}

// exit is the error that has the run's exit code, nil for 0. What it means has been
// printed, but where nothing passed.
func (r *Report) exit() error {
	switch {
	case r.Failed > 0:
		return &command.Exit{Code: NotConforming}
	case r.Stopped || r.Undecided > 0:
		return &command.Exit{Code: command.Failed}
	case r.Passed == 0:
		return errors.New("nothing was tried: no case applies")
	}
	return nil
}

// summary is the last line of the text.
func (r *Report) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d passed, %d failed, %d not applicable", r.Passed, r.Failed, r.NotApplicable)
	if r.Undecided > 0 {
		fmt.Fprintf(&b, ", %d undecided", r.Undecided)
	}
	if r.Stopped {
		fmt.Fprintf(&b, ", stopped before %d more", r.Untried)
	}
	fmt.Fprintf(&b, ", in %.1f s", r.Seconds)
	return b.String()
}

// An output is where the reports go.
type output struct {
	text        io.Writer // nil where standard output has something else
	json, junit io.Writer // nil for none
	files       []*os.File
}

// open makes the files before anything is tried: a run must not be lost for a folder
// that is not there.
func (o *Options) open(c *command.Console) (*output, error) {
	if o.json == "-" && o.junit == "-" {
		return nil, command.Misused("--json - and --junit -: only one of them can be on standard output")
	}
	out := &output{text: c.Stdout}
	for _, report := range []struct {
		name string
		to   *io.Writer
	}{{o.json, &out.json}, {o.junit, &out.junit}} {
		switch report.name {
		case "":
		case "-":
			*report.to, out.text = c.Stdout, nil
		default:
			f, err := os.Create(report.name)
			if err != nil {
				out.close()
				return nil, err
			}
			out.files = append(out.files, f)
			*report.to = f
		}
	}
	return out, nil
}

func (out *output) close() {
	for _, f := range out.files {
		f.Close()
	}
}

func (out *output) head(r *Report) {
	if out.text != nil {
		fmt.Fprintf(out.text, "%s: %s, %d cases\n", r.Kit, display.Plain(r.Party), r.Untried)
	}
}

// result writes one case's line as soon as there is one: a run takes a minute.
func (out *output) result(r *Result) {
	if out.text != nil {
		writeText(out.text, r)
	}
}

func (out *output) tail(r *Report) error {
	var errs []error
	if out.text != nil {
		_, err := fmt.Fprintln(out.text, r.summary())
		errs = append(errs, err)
	}
	if out.json != nil {
		errs = append(errs, display.JSON(out.json, r))
	}
	if out.junit != nil {
		errs = append(errs, writeJUnit(out.junit, r))
	}
	return errors.Join(errs...)
}
