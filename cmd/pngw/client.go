package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"syscall"

	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/permission"
)

// initScript starts the agent where it was installed from a package.
const initScript = "/etc/init.d/pngw"

// systemdUnit does, where that was a package for a machine with systemd.
const systemdUnit = "/usr/lib/systemd/system/pngw.service"

// newClient returns a client of the agent on the socket that is configured.
func newClient(c *command.Console) (*api.Client, error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return nil, err
	}
	return api.NewClient(cfg.Gateway.Socket), nil
}

// explain adds what to do to the error of an agent that cannot be reached. It returns other
// errors unchanged.
func explain(c *command.Console, err error) error {
	if e := (*api.AnswerError)(nil); errors.As(err, &e) && e.Status == http.StatusNotFound {
		return fmt.Errorf("%w; pngw list shows those that are", err)
	}
	var e *api.ConnectError
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the agent is not running (there is no socket %s): start it with: %s", e.Socket, startCommand(c))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("the agent is not running (it left its socket %s behind): start it with: %s", e.Socket, startCommand(c))
	case errors.Is(err, fs.ErrPermission):
		group, _, err := permission.Group(e.Socket)
		if err != nil { // its folder may not be searched either
			group = "of the agent"
		}
		return fmt.Errorf("you may not use the agent's socket %s: be root or in group %s", e.Socket, group)
	}
	return err
}

func startCommand(c *command.Console) string {
	if _, err := os.Stat(initScript); err == nil {
		return initScript + " start"
	}
	if _, err := os.Stat(systemdUnit); err == nil && c.Value("config") == config.DefaultFile {
		return "systemctl start pngw"
	}
	return "pngw run --config " + command.Quote(c.Value("config"))
}

// reloadCommand is the shell command that makes the agent read its configuration again.
func reloadCommand(c *command.Console) string {
	if _, err := os.Stat(initScript); err == nil {
		return "service pngw reload"
	}
	if _, err := os.Stat(systemdUnit); err == nil && c.Value("config") == config.DefaultFile {
		return "systemctl reload pngw"
	}
	return "kill -HUP the process of pngw run, or stop it and start it again"
}

// A typedError is an error whose advice is what has to be typed here.
type typedError struct {
	text string
	error
}

func (e *typedError) Error() string { return e.text }
func (e *typedError) Unwrap() error { return e.error }

// asTyped adds the --config that was given to the advice to run pngw init.
func asTyped(c *command.Console, err error) error {
	file := c.Value("config")
	if err == nil || file == config.DefaultFile {
		return err
	}
	const advice = "run pngw init"
	return &typedError{strings.ReplaceAll(err.Error(), advice, advice+" --config "+command.Quote(file)), err}
}

// report sets up a command that makes one request to the agent, and prints the answer:
// as JSON with --json, which jsonUsage describes, or else by show.
func report[T any](jsonUsage string, ask func(*api.Client, context.Context) (T, error), show func(context.Context, *command.Console, *api.Client, T) error) func(*flag.FlagSet) command.Run {
	return func(f *flag.FlagSet) command.Run {
		asJSON := f.Bool("json", false, jsonUsage)
		return func(ctx context.Context, c *command.Console, _ []string) error {
			client, err := newClient(c)
			if err != nil {
				return err
			}
			answer, err := ask(client, ctx)
			if err != nil {
				return explain(c, err)
			}
			if *asJSON {
				return display.JSON(c.Stdout, answer)
			}
			return show(ctx, c, client, answer)
		}
	}
}
