package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
)

func TestExitCode(t *testing.T) {
	const d, a, r, u, f = agent.ResultDelivered, agent.ResultAssigned, agent.ResultRefused, agent.ResultUnreachable, agent.ResultFailed
	tests := []struct {
		results []agent.Result
		want    int
	}{
		{[]agent.Result{d}, 0},
		{[]agent.Result{d, d}, 0},
		{[]agent.Result{a}, 3},
		{[]agent.Result{d, a}, 3},
		{[]agent.Result{r}, 4},
		{[]agent.Result{a, r, d}, 4},
		{[]agent.Result{u}, 5},
		{[]agent.Result{r, u, a}, 5},
		{[]agent.Result{f}, 1},
		{[]agent.Result{u, f, r, a, d}, 1},
		{[]agent.Result{d, "something new"}, 1},
	}
	for _, tt := range tests {
		p := newProgress(io.Discard, false, "")
		for _, r := range tt.results {
			p.outcome(agent.Outcome{Entity: "e", Result: r})
		}
		if got := p.code(); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.results, got, tt.want)
		}
	}
}

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, false, "https://cpns.example.net")
	for _, s := range []agent.Step{
		{Entity: "e", Kind: agent.StepClockWait, Detail: "it is 1970"},
		{Entity: "e", Kind: agent.StepRequestSent},
		{Entity: "e", Kind: agent.StepUserAccepted},
		{Entity: "e", Kind: agent.StepKeysChecked, Keys: 64, Epoch: 7},
		{Entity: "e", Kind: agent.StepSealed, Epoch: 7},
		{Entity: "e", Kind: agent.StepWaiting, Links: []string{"rs232", "broker"}},
		{Entity: "e", Kind: agent.StepDeviceRefused, Detail: "it \x1b[2Jcannot"},
		{Entity: "e", Kind: agent.StepDelivered, Keys: 64, Epoch: 7, Index: 1, Link: "rs232"},
		{Entity: "f", Kind: agent.StepWaiting, Detail: "no link is up"},
		{Entity: "f", Kind: agent.StepFailed, Detail: "said by the outcome"},
	} {
		p.step(s)
	}
	for _, o := range []agent.Outcome{
		{Entity: "e", Result: agent.ResultDelivered},
		{Entity: "f", Result: agent.ResultAssigned, Detail: "it slept", Advice: "wake it"},
		{Entity: "g", Result: agent.ResultUnreachable, Detail: "no route"},
	} {
		p.outcome(o)
	}
	p.total()
	p.absent([]api.Link{{Name: "broker", State: "up"}, {Name: "rs232", State: "absent", Detail: "plug it in"}})
	want := `e: waiting for the clock: it is 1970
e: request sent to https://cpns.example.net
e: user accepted
e: 64 keys received and checked (epoch 7)
e: sealed in the store
e: waiting for the device on rs232, broker
e: the device did not take the key: it \x1b[2Jcannot
e: delivered and acknowledged (epoch 7, key 1 of 64, by rs232)
f: waiting for the device, but no link is up
f: assigned, not yet delivered: it slept
  next: wake it
g: unreachable: no route
1 of 3 delivered
  link rs232 is not up: plug it in
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestInterrupted(t *testing.T) {
	entities := []cpns.EntityID{"a", "b"}
	tests := []struct {
		name   string
		sealed []cpns.EntityID
		err    error
		code   int
		want   string
	}{
		{"at once", nil, context.Canceled, 1, "interrupted: no keys were stored that this command heard of"},
		{"between", entities[:1], context.Canceled, 1, "interrupted: the keys of 1 of 2 devices are stored and stay pending"},
		{"while waiting", entities, context.Canceled, 3, "interrupted: the keys are stored and stay pending"},
		{"by the agent", entities, errors.New("the agent is stopping"), 3, "the agent is stopping: the keys are stored and stay pending"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProgress(&bytes.Buffer{}, false, "")
			for _, e := range tt.sealed {
				p.step(agent.Step{Entity: e, Kind: agent.StepSealed})
			}
			err := p.interrupted(len(entities), tt.err)
			var e *command.Exit
			if !errors.As(err, &e) || e.Code != tt.code || !strings.HasPrefix(e.Error(), tt.want) {
				t.Errorf("got %v, want exit code %d and %q", err, tt.code, tt.want)
			}
		})
	}
}
