package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/durable"
)

var backupCommand = command.Command{
	Name: "backup", Options: "--data DIR", Args: "FILE", Apart: onTheFolder,
	Summary: "write a backup of the database",
	About:   "Writes all that is in the database, as it is at one moment, into a new file, with a checksum; also while servers run. Keys lie sealed in it: keep the master key apart from it, and a copy of that, too.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			if _, _, err := openFolder(*data); err != nil {
				return err
			}
			return backup(ctx, c, *data, args[0])
		}
	},
}

func backup(ctx context.Context, c *command.Console, data place, path string) (err error) {
	// With the rights of who gives the command; the rest is done with the owner's.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: nothing was written", path)
	}
	if err != nil {
		return err
	}
	rows := 0
	err = withOperator(ctx, data, func(op *server.Operator) (err error) {
		rows, err = op.Backup(ctx, f)
		return err
	})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
		err, _ = adviseDisk(fmt.Errorf("writing %s: %w", path, err), filepath.Dir(path))
		return err
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return err
	}
	c.Printf("%d rows in %s\n", rows, path)
	return nil
}

var restoreCommand = command.Command{
	Name: "restore", Options: "--data DIR [--store URL]", Args: "FILE", Apart: onTheFolder,
	Summary: "fill an empty database from a backup",
	About: `Checks a backup, makes the database that the folder lacks (or, with --store, the tables in an empty PostgreSQL), fills it, and opens every sealed value. The folder has the master key of the backup's time, and the certificates.

Users, gateways and devices that came after the backup are unknown then. Epochs follow the clock: no device is given an old one.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			if data.folder == "" {
				return command.Misused("--data DIR is missing")
			}
			if err := data.check(); err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return restore(ctx, c, *data, f)
		}
	},
}

func restore(ctx context.Context, c *command.Console, data place, f *os.File) error {
	if _, err := server.CheckBackup(f); err != nil {
		return fmt.Errorf("%s: %w: nothing was changed", f.Name(), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	owns, err := ownerOf(data.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no folder %s: make it, with the files of the data folder of that time in it but cpns.db (master.key opens the backup; server.pem and server.key, ca.pem and ca.key are the server's certificates), and give the command again: nothing was changed", data.folder)
	}
	if err != nil {
		return err
	}
	rows := 0
	err = owns.do(data.folder, func() (err error) {
		d := dataFolder(data.folder)
		key, more, err := d.readMasterKeys()
		if err != nil {
			return err
		}
		store, err := data.createStore(ctx, d)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already: restore into a folder without it, or an empty database (%w)", data.database(), err)
		}
		if err != nil {
			return err
		}
		rows, err = server.Restore(ctx, store, key, f, more...)
		if err = errors.Join(data.explainMasterKey(err), store.Close()); err != nil && data.store == "" {
			for _, suffix := range []string{"", "-wal", "-shm"} {
				if rm := os.Remove(d.database() + suffix); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
					err = errors.Join(err, rm)
				}
			}
		}
		return err
	})
	if err != nil {
		return advise(fmt.Errorf("restoring %s: %w", f.Name(), err), data.folder)
	}
	c.Printf("%d rows restored into %s, and every sealed value opens\n", rows, data.database())
	if err := dataFolder(data.folder).hasCertificate(); err != nil {
		fmt.Fprintf(c.Stderr, "before run: %v\n", err)
	}
	return nil
}

var checkCommand = command.Command{
	Name: "check", Options: "[--data DIR]", Args: "[BACKUP]", Apart: onTheFolder,
	Summary: "open every sealed value in the database and verify the audit log, or check a backup",
	About:   "Opens every sealed value in the database, and names those that do not open: altered, moved, or of another master key; then it does what audit --verify does. With a file: checks that a backup is whole, says which master key it needs, and with --data whether that is the folder's.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			if len(args) > 0 {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				return checkBackup(c, *data, f)
			}
			return withOperator(ctx, *data, func(op *server.Operator) error {
				n, err := op.CheckStore(ctx, func(text string) { fmt.Fprintln(c.Stderr, text) })
				if err == nil {
					c.Printf("%d sealed values, and all of them open\n", n)
					err = sayMasterKeys(ctx, c, op)
				}
				return errors.Join(err, verifyAudit(ctx, c, op, server.Head{}))
			})
		}
	},
}

// checkBackup says whether a backup is whole, and whether the folder, where one is given,
// has the master key that it needs.
func checkBackup(c *command.Console, data place, f *os.File) error {
	info, err := server.CheckBackup(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	c.Printf("%s is whole: %d rows\n", f.Name(), info.Rows)
	if info.Needs == nil {
		return nil
	}
	c.Printf("it needs master key %s\n", keyIDs(info.Needs))
	if data.folder == "" {
		return nil
	}
	d := dataFolder(data.folder)
	owns, err := ownerOf(data.folder)
	if err != nil {
		return err
	}
	return advise(owns.do(data.folder, func() error { return d.hasKeys(c, info.Needs) }), data.folder)
}

// hasKeys says whether the folder has some master keys in place. Where one lies beside them
// under another name, that is said; where one is missing, it fails.
func (d dataFolder) hasKeys(c *command.Console, needs []server.KeyID) error {
	key, more, err := d.readMasterKeys()
	if err != nil {
		return err
	}
	for _, id := range needs {
		if slices.ContainsFunc(append(more, key), func(k *server.MasterKey) bool { return k.ID() == id }) {
			continue
		}
		if _, err := os.Stat(d.oldKey(id)); err == nil {
			c.Printf("to restore it, put %s into the place of %s, which is master key %s\n", d.oldKey(id), d.masterKey(), key.ID())
			continue
		}
		return fmt.Errorf("%s is master key %s, which does not open this backup: put master key %s into its place before you restore it", d.masterKey(), key.ID(), id)
	}
	return nil
}
