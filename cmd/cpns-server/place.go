package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres"
	"cpns.example.net/pngw/cpns/server/sqlite"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/secretfile"
)

// A place is where a command works: a data folder, and the database, which is in the
// folder unless it is a server of its own.
type place struct {
	folder       string
	store        string // URL of a PostgreSQL database, "" for the folder's own
	passwordFile string

	flags *flag.FlagSet // that say whether another server is asked
}

// storeEnv names the database where --store does not.
const storeEnv = "CPNS_STORE"

// dataFlag declares --data and what goes with it.
func dataFlag(fs *flag.FlagSet) *place {
	p := new(place)
	fs.StringVar(&p.folder, "data", "", "the data `DIR` that init made")
	storeFlags(fs, p)
	return p
}

func storeFlags(fs *flag.FlagSet, p *place) {
	p.flags = fs
	envFlag(fs, &p.store, "store", storeEnv, "the PostgreSQL database at `URL`, postgres://USER@HOST/DATABASE?sslmode=verify-full, in place of the folder's own")
	fs.StringVar(&p.passwordFile, "store-password-file", "", "the password for --store is in `FILE`; if not given, where libpq looks (PGPASSFILE, ~/.pgpass)")
}

// check says what is wrong with the options, if anything is.
func (p place) check() error {
	switch {
	case p.store == "" && p.passwordFile != "":
		return command.Misused("--store-password-file goes with --store")
	case p.store == "":
		return nil
	case !postgres.IsURL(p.store):
		return command.Misused("--store: write postgres://USER@HOST/DATABASE")
	}
	if err := p.config(nil).Check(); err != nil {
		return command.Misused("--store: %v", err)
	}
	return nil
}

// config says where the PostgreSQL database is. The password is read anew for each
// connection, with the rights of the data folder's owner.
func (p place) config(log *slog.Logger) postgres.Config {
	c := postgres.Config{URL: p.store, Log: log}
	if p.passwordFile != "" {
		c.Password = func() (string, error) {
			const longest = 1024
			b, err := secretfile.Read(p.passwordFile, longest)
			if err != nil {
				return "", fmt.Errorf("reading the password of the database: %w", err)
			}
			defer clear(b)
			return string(b), nil
		}
	}
	return c
}

// database is how people are told of the database.
func (p place) database() string {
	if p.store != "" {
		return postgres.Config{URL: p.store}.Redacted()
	}
	return dataFolder(p.folder).database()
}

// openStore opens the database. One that is away now is opened all the same where
// patient says so.
func (p place) openStore(ctx context.Context, log *slog.Logger, patient bool) (server.Store, error) {
	if p.store == "" {
		s, err := sqlite.Open(ctx, dataFolder(p.folder).database())
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := postgres.New(p.config(log))
	if err != nil {
		return nil, err
	}
	if err := s.Prepare(ctx); err != nil && !(patient && errors.Is(err, server.ErrUnavailable)) {
		return nil, errors.Join(fmt.Errorf("%s: %w", p.database(), err), s.Close())
	}
	return s, nil
}

// createStore makes the database.
func (p place) createStore(ctx context.Context, d dataFolder) (server.Store, error) {
	if p.store == "" {
		s, err := sqlite.Create(ctx, d.database())
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := postgres.Create(ctx, p.config(nil))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.database(), err)
	}
	return s, nil
}

// keyIDs are the IDs of master keys, for people.
func keyIDs(ids []server.KeyID) string {
	words := make([]string, len(ids))
	for n, id := range ids {
		words[n] = id.String()
	}
	return strings.Join(words, " and ")
}

// explainMasterKey says which master key the database needs, and whether it is at hand.
func (p place) explainMasterKey(err error) error {
	wrong, isWrong := errors.AsType[*server.WrongMasterKeyError](err)
	if !isWrong {
		return err
	}
	d := dataFolder(p.folder)
	has, needs := "", ""
	if key, err := d.readKeyInPlace(); err == nil {
		has = fmt.Sprintf(" (it is %s)", key.ID())
	}
	for n, id := range wrong.Needs {
		needs = ", which needs " + keyIDs(wrong.Needs[:n+1])
		if _, err := os.Stat(d.oldKey(id)); err == nil {
			return fmt.Errorf("%s%s is not the master key of %s%s: that is in %s, from before rekey: put it into the place of master.key", d.masterKey(), has, p.database(), needs, d.oldKey(id))
		}
	}
	return fmt.Errorf("%s%s is not the master key of %s%s: put the two back from the same backup; where the key was changed (rekey), a backup from before opens with master.key.old-… in the place of master.key, and what is newer with the key of the server where that was done", d.masterKey(), has, p.database(), needs)
}
