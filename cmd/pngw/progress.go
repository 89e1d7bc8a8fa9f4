package main

import (
	"fmt"
	"io"
	"strings"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

// progress shows the steps and outcomes of a provision command, line by line,
// and counts them.
type progress struct {
	w       io.Writer
	json    bool
	server  string               // base URL of the CPNS Server
	sealed  int                  // devices whose keys are in the store
	n       int                  // outcomes
	results map[agent.Result]int // how many of them each has
	err     error                // the first of writing
}

func newProgress(w io.Writer, asJSON bool, server string) *progress {
	return &progress{w: w, json: asJSON, server: server, results: map[agent.Result]int{}}
}

func (p *progress) step(s agent.Step) {
	if s.Kind == agent.StepSealed {
		p.sealed++
	}
	if p.json {
		p.keep(display.JSONLine(p.w, s))
		return
	}
	if text := p.text(s); text != "" {
		p.say(s.Entity, text)
	}
}

// text is a step in words, "" for a step that says nothing which its outcome
// does not say better.
func (p *progress) text(s agent.Step) string {
	switch s.Kind {
	case agent.StepClockWait:
		return "waiting for the clock: " + s.Detail
	case agent.StepPSKWait:
		return "waiting for PSK1: " + s.Detail
	case agent.StepRequestSent:
		return "request sent to " + p.server
	case agent.StepUserAccepted:
		return "user accepted"
	case agent.StepKeysChecked:
		return fmt.Sprintf("%d keys received and checked (epoch %d)", s.Keys, s.Epoch)
	case agent.StepSealed:
		return "sealed in the store"
	case agent.StepWaiting:
		if len(s.Links) == 0 {
			return "waiting for the device, but " + s.Detail
		}
		return "waiting for the device on " + strings.Join(s.Links, ", ")
	case agent.StepDeviceRefused:
		return "the device did not take the key: " + s.Detail
	case agent.StepDelivered:
		return fmt.Sprintf("delivered and acknowledged (epoch %d, key %d of %d, by %s)", s.Epoch, s.Index, s.Keys, s.Link)
	case agent.StepFailed:
		return ""
	}
	return fmt.Sprintf("%s %s", s.Kind, s.Detail)
}

// outcome says how a device's request ended, where its steps have not, and what
// to do next.
func (p *progress) outcome(o agent.Outcome) {
	p.n++
	p.results[o.Result]++
	switch {
	case p.json:
		p.keep(display.JSONLine(p.w, o))
	case o.Result == agent.ResultDelivered:
	case o.Result == agent.ResultHeld:
		p.say(o.Entity, "kept: "+o.Detail)
	case o.Result == agent.ResultAssigned:
		p.say(o.Entity, join("assigned, not yet delivered", o.Detail))
		p.next(o.Advice)
	default:
		p.say(o.Entity, join(string(o.Result), o.Detail))
		p.next(o.Advice)
	}
}

func (p *progress) total() {
	if !p.json && p.n > 1 {
		text := fmt.Sprintf("%d of %d delivered", p.results[agent.ResultDelivered], p.n)
		if kept := p.results[agent.ResultHeld]; kept > 0 {
			text = fmt.Sprintf("%s, %d kept until the button is pressed", text, kept)
		}
		p.print(text)
	}
}

// code sums the outcomes up as the help says.
func (p *progress) code() int {
	switch {
	case p.results[agent.ResultDelivered]+p.results[agent.ResultHeld] == p.n:
		return 0
	case p.results[agent.ResultFailed] > 0:
		return command.Failed
	case p.results[agent.ResultUnreachable] > 0:
		return exitUnreachable
	case p.results[agent.ResultRefused] > 0:
		return exitRefused
	case p.results[agent.ResultAssigned] > 0:
		return exitPending
	}
	return command.Failed
}

// absent tells which links a device that is waited for cannot come by.
func (p *progress) absent(links []api.Link) {
	for _, l := range links {
		if l.State != "up" {
			p.print(fmt.Sprintf("  link %s is not up: %s", l.Name, l.Detail))
		}
	}
}

func join(what, detail string) string {
	if detail == "" {
		return what
	}
	return what + ": " + detail
}

func (p *progress) say(e cpns.EntityID, text string) { p.print(string(e) + ": " + text) }

func (p *progress) next(advice string) {
	if advice != "" {
		p.print("  next: " + advice)
	}
}

func (p *progress) print(line string) {
	_, err := fmt.Fprintln(p.w, display.Plain(line))
	p.keep(err)
}

func (p *progress) keep(err error) {
	if p.err == nil {
		p.err = err
	}
}
