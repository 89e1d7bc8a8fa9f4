package main

import (
	"flag"
	"log/slog"
	"net"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/journal"
)

// seenOptions are the flags of run for those who watch the server.
type seenOptions struct {
	listen string // of the status pages
	log    string // format
}

func seenFlags(fs *flag.FlagSet) *seenOptions {
	o := new(seenOptions)
	fs.StringVar(&o.listen, "status-listen", "", "answer /metrics (for Prometheus), /healthz and /readyz at `ADDRESS`, such as 127.0.0.1:9441, in plain HTTP; if not given, there are no metrics")
	fs.StringVar(&o.log, "log", "text", "write the log as `FORMAT`: text, or json, an object a line")
	return o
}

func (o *seenOptions) check() error {
	switch {
	case o.listen != "" && !isAddress(o.listen):
		return command.Misused("--status-listen %s: write ADDRESS:PORT, such as 127.0.0.1:9441", o.listen)
	case o.log != "text" && o.log != "json":
		return command.Misused("--log %s: text or json", o.log)
	}
	return nil
}

// open begins to listen, nil where nobody asked for it.
func (o *seenOptions) open() (net.Listener, error) {
	if o.listen == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, explainListen(err, "--status-listen", o.listen)
	}
	return ln, nil
}

// newLog is the log on standard error, without times where systemd's journal adds them.
func (o *seenOptions) newLog(c *command.Console) *slog.Logger {
	options := new(slog.HandlerOptions)
	if journal.Reads(c.Stderr) {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	if o.log == "json" {
		return slog.New(slog.NewJSONHandler(c.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(c.Stderr, options))
}
