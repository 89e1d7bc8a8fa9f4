package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"cpns.example.net/pngw/cmd/pngw/internal/api"
)

// initScript starts the agent where it was installed from a package.
const initScript = "/etc/init.d/pngw"

// client is for the agent that the configuration's socket belongs to.
func (c *call) client() (*api.Client, error) {
	cfg, err := c.load()
	if err != nil {
		return nil, err
	}
	return api.NewClient(cfg.Gateway.Socket), nil
}

// explain says what to do about an agent that cannot be asked. Other errors
// pass.
func (c *call) explain(err error) error {
	var e *api.ConnectError
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the agent is not running (there is no socket %s): start it with: %s", e.Socket, c.startCommand())
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("the agent is not running (it left its socket %s behind): start it with: %s", e.Socket, c.startCommand())
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("you may not use the agent's socket %s: be root or in group %s", e.Socket, groupOf(e.Socket))
	}
	return err
}

func (c *call) startCommand() string {
	if _, err := os.Stat(initScript); err == nil {
		return initScript + " start"
	}
	return "pngw run --config " + c.configFile
}

// groupOf is the group of a file, by name if it has one.
func groupOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "of the agent" // its folder may not be searched either
	}
	gid := strconv.FormatUint(uint64(info.Sys().(*syscall.Stat_t).Gid), 10)
	if g, err := user.LookupGroupId(gid); err == nil {
		return g.Name
	}
	return gid
}

// report is a command that asks the agent one thing, and prints the answer as
// JSON with --json, or else shows it.
func report[T any](ctx context.Context, c *call, ask func(*api.Client, context.Context) (T, error), show func(*api.Client, T) error) error {
	asJSON := c.flags.Bool("json", false, "")
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	answer, err := ask(client, ctx)
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(c.stdout, answer)
	}
	return show(client, answer)
}
