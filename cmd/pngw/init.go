package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/keystore"
)

var initCommand = command.Command{
	Name: "init", Options: "[--user NAME [--own DIR]]", Summary: "check the configuration, make root key and store",
	About: `Checks the configuration and makes, once, what the agent needs and refuses to make by itself: the root key and the store. What exists is kept: the command may be given again at any time. Says what a person still has to bring, and warns of a light or a button that this router does not have.

The configuration is judged as the agent would judge it, by the user whom the command runs as: run it as the user that runs the agent, or give --user.`,
	Notes:   `exit codes: 0 complete, or complete but for PSK1: the agent starts without, and says what it waits for, 1 something failed, 2 the configuration is wrong and nothing was made, 3 the configuration is in order and something is still missing that a person has to bring. What is wrong or missing stands on standard error.`,
	Example: "pngw init --config /etc/config/pngw",
	Setup: func(f *flag.FlagSet) command.Run {
		user := f.String("user", "", "as root: do all this as the user `NAME`, who runs the agent")
		own := f.String("own", "", "before that, make the folder `DIR`, and give that user the files in it")
		return func(ctx context.Context, c *command.Console, _ []string) error {
			if err := actAs(c, *user, *own); err != nil {
				return err
			}
			return initialize(ctx, c)
		}
	},
}

func initialize(ctx context.Context, c *command.Console) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if err := hardening.Memory(); err != nil {
		return err
	}
	p, missing := newParts(ctx, cfg, lookInStore, slog.New(slog.DiscardHandler))
	if e := new(command.Exit); errors.As(missing, &e) && e.Code != exitMissing {
		return missing // wrong, and nothing has been made
	}
	g := &cfg.Gateway
	say := func(what, path, result string) {
		fmt.Fprintf(c.Stdout, "%-13s %s: %s\n", what, display.Plain(path), display.Plain(result))
	}
	say("configuration", cfg.File, fmt.Sprintf("in order, gateway %s, %d links enabled", cmp.Or(p.gateway, "without a name yet"), len(p.links)))

	made, err := makeRootKey(g)
	if err != nil {
		return err
	}
	note := ""
	if made {
		note = boundTo()
	}
	say("root key", g.RootKey, madeOrKept(made)+note)
	made, err = makeStore(g)
	if errors.Is(err, keystore.ErrLocked) {
		say("store", g.Store, "exists, in use by the agent that runs")
	} else if err != nil {
		return err
	} else {
		say("store", g.Store, madeOrKept(made))
	}
	if err := os.MkdirAll(g.AuditDir, 0o700); err != nil { // a jail shows what is there when it is made
		return fmt.Errorf("making the audit log's folder: %w", err)
	}
	socket := "free"
	if p.running {
		socket = "in use by the agent that runs"
	}
	say("socket", g.Socket, socket)

	p.signs.warn(g, func(fault error) {
		fmt.Fprintf(c.Stderr, "warning: %s\n", display.Plain(fault.Error()))
	})
	if p.waits != "" {
		say("PSK1", "from "+p.source, p.waits)
	}
	if missing != nil {
		fmt.Fprintln(c.Stdout, "\nSomething is still missing. Once it is here: "+display.Plain(startCommand(c)))
		return missing
	}
	next := startCommand(c)
	if p.running {
		next = "nothing, the agent runs; for it to read the configuration again: " + reloadCommand(c)
	}
	fmt.Fprintln(c.Stdout, "\nNext: "+display.Plain(next))
	return nil
}

// boundTo says what a person should know of a board that shows no id: a root key
// that is made there opens wherever it is copied to.
func boundTo() string {
	id, err := board.New("/").Identity()
	if err != nil || len(id.IDs) > 0 {
		return ""
	}
	return "; nothing here tells boards apart, so it opens on all of them: is /sys mounted?"
}

func madeOrKept(made bool) string {
	if made {
		return "made"
	}
	return "exists, kept"
}

// makeRootKey makes the root key where there is none. Where the store is there
// already, a new one would not open it, and would hide that the old one is gone.
func makeRootKey(g *config.Gateway) (made bool, err error) {
	if _, err := os.Lstat(g.RootKey); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("looking for the root key: %w", err)
	}
	switch names, err := os.ReadDir(g.Store); {
	case err == nil && len(names) > 0:
		return false, fmt.Errorf("the store %s is there, but not its root key %s: bring the root key back, or move the store away to begin anew", g.Store, g.RootKey)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("looking for the store: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(g.RootKey), 0o755); err != nil {
		return false, fmt.Errorf("making the root key's folder: %w", err)
	}
	return true, board.New("/").CreateRootKey(g.RootKey)
}

// makeStore makes the store where there is none, and sees whether one that is
// there opens.
func makeStore(g *config.Gateway) (made bool, err error) {
	secret, err := deviceSecret(g)
	if err != nil {
		return false, err
	}
	defer clear(secret[:])
	if err := os.MkdirAll(filepath.Dir(g.Store), 0o755); err != nil {
		return false, fmt.Errorf("making the store's folder: %w", err)
	}
	err = keystore.Create(g.Store, secret)
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	store, err := keystore.Open(g.Store, secret)
	if err != nil {
		return false, err
	}
	return false, store.Close()
}
