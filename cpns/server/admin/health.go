package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

func healthEndpoints() []*endpoint {
	return []*endpoint{
		asks(endpoint{id: "health", method: http.MethodGet, path: "/health", role: server.RoleAuditor, summary: "How the server is, in words"}, healthOf),
	}
}

// health is how the server is that answers; of others it knows that they are there.
type health struct {
	Checks []check `json:"checks"`
}

// check is one thing that was looked at.
type check struct {
	Name   string `json:"name" doc:"store, certificate, clock, replicas or pending"`
	State  string `json:"state" doc:"good, warning or bad"`
	Detail string `json:"detail"`
}

// The states of a check.
const (
	good    = "good"
	warning = "warning"
	bad     = "bad"
)

// certificateSoon is how long before its end a certificate is a warning. One of the
// folder's own CA is renewed before.
const certificateSoon = 14 * 24 * time.Hour

// clockApart is how far the store's clock may be from this server's.
const clockApart = 5 * time.Second

func healthOf(c *call, _ *nothing) (*health, error) {
	out := new(health)
	add := func(name, state, format string, args ...any) {
		out.Checks = append(out.Checks, check{name, state, fmt.Sprintf(format, args...)})
	}
	if err := c.s.ready(c.ctx); err != nil {
		add("store", bad, "%v: gateways are answered 503 until it can be written to again", err)
	} else {
		add("store", good, "it can be written to")
	}
	now := c.s.now()
	switch leaf, err := c.s.leaf(); {
	case err != nil:
		add("certificate", bad, "%v", err)
	case now.After(leaf.NotAfter):
		add("certificate", bad, "the server's certificate ended on %s: gateways that do not know the server by its key are locked out", day(leaf.NotAfter))
	case leaf.NotAfter.Sub(now) < certificateSoon:
		add("certificate", warning, "the server's certificate ends on %s", day(leaf.NotAfter))
	default:
		add("certificate", good, "the server's certificate is good until %s", day(leaf.NotAfter))
	}
	if apart := c.op.Now().Sub(now).Abs(); apart > clockApart {
		add("clock", warning, "this server's clock and the store's are %v apart: see to it that both have a time server", apart.Round(time.Second))
	} else {
		add("clock", good, "as the store's")
	}
	if n, err := c.op.Replicas(c.ctx); err != nil {
		add("replicas", bad, "%v", err)
	} else {
		add("replicas", good, "%d answer from this store", max(n, 1))
	}
	n, err := waiting(c.ctx, c.op)
	switch {
	case err != nil:
		add("pending", bad, "%v", err)
	case n > 0:
		add("pending", warning, "%d wait for a person to approve them", n)
	default:
		add("pending", good, "none waits")
	}
	return out, nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// waitingMost is where counting gateways ends.
const waitingMost = 1000

var errEnough = errors.New("enough")

// waiting counts the gateways that wait for a person.
func waiting(ctx context.Context, op *server.Operator) (n int, err error) {
	err = op.Pending(ctx, func(server.Enrolment, []server.Conflict) error {
		if n++; n == waitingMost {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return n, err
}
