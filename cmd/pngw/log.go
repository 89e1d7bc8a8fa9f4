package main

import (
	"context"
	"log/slog"
	"time"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/journal"
)

// newLog is the agent's log. It goes to standard error, unless a supervisor logs standard
// output as information and standard error as errors. Lines have no time if the supervisor
// adds it.
func newLog(c *command.Console, level slog.Level, supervised bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	problems := slog.NewTextHandler(c.Stderr, o)
	switch {
	case supervised:
		return slog.New(split{info: slog.NewTextHandler(c.Stdout, o), problems: problems})
	case journal.Reads(c.Stderr):
		return slog.New(split{info: problems, problems: problems})
	}
	return slog.New(problems)
}

// split passes warnings and errors to one handler, and everything else to another, without
// the time.
type split struct{ info, problems slog.Handler }

func (s split) of(level slog.Level) slog.Handler {
	if level >= slog.LevelWarn {
		return s.problems
	}
	return s.info
}

func (s split) Enabled(ctx context.Context, level slog.Level) bool {
	return s.of(level).Enabled(ctx, level)
}

func (s split) Handle(ctx context.Context, r slog.Record) error {
	r.Time = time.Time{}
	return s.of(r.Level).Handle(ctx, r)
}

func (s split) WithAttrs(attrs []slog.Attr) slog.Handler {
	return split{s.info.WithAttrs(attrs), s.problems.WithAttrs(attrs)}
}

func (s split) WithGroup(name string) slog.Handler {
	return split{s.info.WithGroup(name), s.problems.WithGroup(name)}
}
