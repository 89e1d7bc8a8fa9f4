package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres"
	"cpns.example.net/pngw/internal/command"
)

var migrateCommand = command.Command{
	Name: "migrate", Options: "--from sqlite:DIR --to URL [--store-password-file FILE]", Apart: onTheFolder,
	Summary: "move a data folder's database into PostgreSQL",
	About: `Moves all that is in a data folder's database into an empty one of PostgreSQL, compares the numbers of rows and opens every sealed value there. Keys and certificates stay in the folder: run the server with --data DIR --store URL from then on. Broken off, the same command goes on where it was.

Stop the server first: while it works nothing can be written to the old database, and afterwards no server answers from that any more.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		from := fs.String("from", "", "the data folder whose database is moved, as sqlite:`DIR`")
		to := new(string)
		envFlag(fs, to, "to", storeEnv, "the PostgreSQL database at `URL`, postgres://USER@HOST/DATABASE")
		passwordFile := fs.String("store-password-file", "", "the password for --to is in `FILE`; if not given, where libpq looks (PGPASSFILE, ~/.pgpass)")
		return func(ctx context.Context, c *command.Console, _ []string) error {
			folder, ok := strings.CutPrefix(*from, "sqlite:")
			if !ok || folder == "" {
				return command.Misused("--from sqlite:DIR is missing")
			}
			if !postgres.IsURL(*to) {
				return command.Misused("--to postgres://USER@HOST/DATABASE is missing")
			}
			target := place{folder: folder, store: *to, passwordFile: *passwordFile}
			if err := target.check(); err != nil {
				return err
			}
			return inFolder(place{folder: folder}, func(d dataFolder) error { return migrate(ctx, c, d, target) })
		}
	},
}

func migrate(ctx context.Context, c *command.Console, d dataFolder, target place) (err error) {
	key, more, err := d.readMasterKeys()
	if err != nil {
		return err
	}
	source := place{folder: string(d)}
	from, err := source.openStore(ctx, nil, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := openTarget(ctx, target)
	if err != nil {
		return fmt.Errorf("%s: %w", target.database(), err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	err = server.Move(ctx, from, to, key, target.database(), func(m server.Moved) {
		c.Printf("%s: %d of %d\n", m.Table, m.Rows, m.Of)
	}, more...)
	if moved, ok := errors.AsType[*server.MovedError](err); ok {
		return fmt.Errorf("nothing was done: %w", moved)
	}
	if err != nil {
		return source.explainMasterKey(fmt.Errorf("moving into %s: %w", target.database(), err))
	}
	c.Printf("moved: everything is in %s, and every sealed value there opens\n", target.database())
	c.Printf("next:\n  cpns-server run --data %s --store %s\n", command.Quote(string(d)), command.Quote(target.store))
	return nil
}

// openTarget opens the database that is moved into, and makes its tables where it has
// none.
func openTarget(ctx context.Context, p place) (*postgres.Store, error) {
	s, err := postgres.New(p.config(nil))
	if err != nil {
		return nil, err
	}
	err = s.Prepare(ctx)
	if err == nil {
		return s, nil
	}
	if err := errors.Join(s.Close()); err != nil {
		return nil, err
	}
	if !errors.Is(err, postgres.ErrNoTables) {
		return nil, err
	}
	return postgres.Create(ctx, p.config(nil))
}
