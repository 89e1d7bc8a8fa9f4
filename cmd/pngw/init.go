package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/cmd/pngw/internal/config"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/transport/usb"
)

var initCommand = command.Command{
	Name: "init", Options: "[--user NAME [--own DIR]]", Summary: "check the configuration, make root key and store",
	About:   `Checks the configuration and makes, once, what the agent needs and refuses to make by itself: the root key and the store. What exists is kept: the command may be given again at any time. Says what a person still has to bring.`,
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
	if err := checkUSB(cfg); err != nil {
		return &command.Exit{Code: command.Usage, Err: err}
	}
	if err := hardening.Memory(); err != nil {
		return err
	}
	g := &cfg.Gateway
	say := func(what, path, result string) {
		fmt.Fprintf(c.Stdout, "%-13s %s: %s\n", what, display.Plain(path), display.Plain(result))
	}
	say("configuration", cfg.File, fmt.Sprintf("in order, gateway %s, %d links enabled", g.ID, enabledLinks(cfg)))

	made, err := makeRootKey(g)
	if err != nil {
		return err
	}
	say("root key", g.RootKey, madeOrKept(made))
	made, err = makeStore(g)
	if errors.Is(err, keystore.ErrLocked) {
		say("store", g.Store, "exists, in use by the agent that runs")
	} else if err != nil {
		return err
	} else {
		say("store", g.Store, madeOrKept(made))
	}

	missing := 0
	if _, key, err := (&pskFile{path: g.PSKFile, identity: g.PSKIdentity}).PSK1(ctx); err == nil {
		clear(key)
		say("PSK1", g.PSKFile, fmt.Sprintf("in order, identity %s", g.PSKIdentity))
	} else {
		missing++
		result := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			result = "not there yet; " + howToGetPSK1(g.ID, g.PSKFile)
		}
		say("PSK1", g.PSKFile, result)
	}
	if g.CA != "" {
		if _, err := os.Stat(g.CA); err == nil {
			say("CA", g.CA, "there")
		} else {
			missing++
			say("CA", g.CA, "not there yet; it is DIR/ca.pem on the CPNS Server")
		}
	}
	if missing > 0 {
		fmt.Fprintln(c.Stdout, "\nOnce that is here: "+display.Plain(startCommand(c)))
		return nil
	}
	fmt.Fprintln(c.Stdout, "\nNext: "+display.Plain(startCommand(c)))
	return nil
}

// checkUSB finds USB links that this build cannot have, or that name no device:
// what a service manager would otherwise try again and again.
func checkUSB(cfg *config.Config) error {
	var faults []error
	for i := range cfg.Links {
		l := &cfg.Links[i]
		if !l.Enabled || l.Type != config.USB {
			continue
		}
		if _, err := usb.New(usb.Config{Name: l.Name, ID: l.USBID, Serial: l.USBSerial, Port: l.USBPort}); err != nil {
			faults = append(faults, l.Fault(err))
		}
	}
	return errors.Join(faults...)
}

func enabledLinks(cfg *config.Config) (n int) {
	for _, l := range cfg.Links {
		if l.Enabled {
			n++
		}
	}
	return n
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
