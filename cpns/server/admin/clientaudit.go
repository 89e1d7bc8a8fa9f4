package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// What server.Operator does for the audit log: the comments are there.

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

func (c *Client) Follow(ctx context.Context, since time.Time, f func(server.Event) error, away func(error)) error {
	return server.Follow(ctx, followed{c}, since, f, away)
}

// A followed log is read without waiting for a server that is away: who follows it is
// told.
type followed struct{ *Client }

// Now is this machine's time: it counts how long a number has been missing.
func (followed) Now() time.Time { return time.Now() }

func (c followed) Settled(ctx context.Context) (server.Settled, error) {
	var out settled
	err := c.ask(ctx, request{method: http.MethodGet, path: "/audit/settled"}, &out)
	return server.Settled(out), err
}

func (c followed) Look(ctx context.Context, f func(server.LogPages) error) error {
	return f(logPages{ctx, c.Client})
}

func (c followed) IsAway(err error) bool {
	answer, isAnswer := errors.AsType[*AnswerError](err)
	return c.answered && err != errAnswer && (!isAnswer || answer.Status >= 500 || answer.Status == http.StatusTooManyRequests)
}

// logPages are pages of the server's log.
type logPages struct {
	ctx context.Context
	c   *Client
}

func (p logPages) events(q url.Values) ([]server.Event, error) {
	var page list[event]
	if _, err := p.c.try(p.ctx, request{method: http.MethodGet, path: "/audit", query: q}, nil, "", &page); err != nil {
		return nil, err
	}
	events := make([]server.Event, len(page.Items))
	for n := range page.Items {
		events[n] = page.Items[n].event()
	}
	return events, nil
}

func (p logPages) EventsAfter(seq int64, since time.Time, limit int) ([]server.Event, error) {
	q := filled("limit", strconv.Itoa(limit), "after", strconv.FormatInt(seq, 10))
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	return p.events(q)
}

func (p logPages) EventsAt(seqs []int64) (all []server.Event, err error) {
	for some := range slices.Chunk(seqs, numbersMost) {
		words := make([]string, len(some))
		for n, seq := range some {
			words[n] = strconv.FormatInt(seq, 10)
		}
		events, err := p.events(filled("numbers", strings.Join(words, ",")))
		if err != nil {
			return nil, err
		}
		all = append(all, events...)
	}
	return all, nil
}
