package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	clockEvery  = 15 * time.Second // how often the database is asked for the time
	clockSlow   = time.Second      // an answer that took longer says nothing
	clockDiffer = 2 * time.Second  // between this machine and the database, before the log says so
)

// A clock is how far the database's clock is ahead of this machine's. All servers of
// one database use the database's clock, so that no server reads times from its future
// that another has written.
type clock struct {
	ahead  atomic.Int64 // nanoseconds
	warned atomic.Bool
}

// Now is the database's time according to the last measurement, or this machine's time
// before the first one.
func (s *Store) Now() time.Time { return time.Now().Add(time.Duration(s.clock.ahead.Load())) }

// keepTime asks for the time until ctx ends.
func (s *Store) keepTime(ctx context.Context) {
	ticker := time.NewTicker(clockEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if s.prepared.Load() {
				s.synchronize(ctx)
			}
		}
	}
}

// synchronize measures the difference once. Without an answer the last one is kept.
func (s *Store) synchronize(ctx context.Context) {
	ctx, cancel := within(ctx)
	defer cancel()
	var asked time.Time
	var milliseconds float64
	err := s.withConn(ctx, func(ctx context.Context, c *pgx.Conn) error {
		asked = time.Now()
		return c.QueryRow(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8").Scan(&milliseconds)
	})
	took := time.Since(asked)
	if err != nil || took > clockSlow {
		return
	}
	theirs := time.UnixMicro(int64(milliseconds * 1000))
	ahead := theirs.Sub(asked.Add(took / 2).Round(0))
	s.clock.ahead.Store(int64(ahead))
	if differs := ahead.Abs() > clockDiffer; differs != s.clock.warned.Swap(differs) && differs && s.log != nil {
		s.log.Warn("this machine's clock and the database's differ; the database's counts", "ahead", ahead.Round(time.Millisecond))
	}
}
