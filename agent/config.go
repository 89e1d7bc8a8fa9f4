package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// Store keeps sealed records by name. Put must be durable when it returns, and
// an interrupted Put must leave the old value or the new one. Delete of a name
// that does not exist succeeds, and a Delete that failed can be repeated. Get of a name
// that does not exist returns an error that is fs.ErrNotExist; any other error means that
// the record exists and cannot be opened. Put and Delete are called concurrently, so that
// an implementation can use one sync for several, but never for the same name.
type Store interface {
	Put(name string, value []byte) error
	Get(name string) ([]byte, error)
	Delete(name string) error
	List() ([]string, error)
}

// Server carries the body of one EUKey Assignment Request to the CPNS Server and
// returns its answer. retryAfter is how long the server asked the gateway to wait before
// it asks again, 0 if it did not. Errors are *transport.UnreachableError,
// *transport.RefusedError or the context's.
type Server interface {
	Assign(ctx context.Context, body []byte) (answer []byte, retryAfter time.Duration, err error)
}

// Clock tells the time, and whether it can be trusted: a router without a battery
// starts in the past. Raise informs it of a time that has certainly passed.
type Clock interface {
	Now() (t time.Time, set bool)
	Raise(floor time.Time)
}

// Config is what an Agent is made of. Links may be empty, and Reauth and Observe
// are optional.
type Config struct {
	Gateway cpns.GatewayID
	PSK     PSKSource
	Server  Server
	Store   Store
	Clock   Clock
	Links   []transport.Link // names must differ
	Log     *slog.Logger

	// Reauth is how often the gateway has each PNE prove its key and moves it on
	// to the next; 0 for never.
	Reauth time.Duration

	// Observe hears of events; nil for nobody. It is called from the goroutine
	// that serves all PNEs: it must not block, and must not call the Agent.
	Observe func(Event)

	// Active hears of what is under way, whenever that changes, as Observe does; nil
	// for nobody.
	Active func(Activity)
}

// minReauth bounds how fast the schedule may use sets up.
const minReauth = time.Minute

func (c *Config) check() error {
	if _, err := cpns.ParseGatewayID(string(c.Gateway)); err != nil {
		return err
	}
	if c.PSK == nil || c.Server == nil || c.Store == nil || c.Clock == nil || c.Log == nil {
		return errors.New("agent: PSK, Server, Store, Clock and Log are all needed")
	}
	if c.Reauth < 0 || c.Reauth > 0 && c.Reauth < minReauth {
		return fmt.Errorf("agent: reauth every %s is more often than every %s: the sets would not last", c.Reauth, minReauth)
	}
	seen := map[string]bool{"": true} // the empty name means every link
	for _, l := range c.Links {
		if seen[l.Name()] {
			return fmt.Errorf("agent: link name %q is empty or used twice", l.Name())
		}
		seen[l.Name()] = true
	}
	return nil
}
