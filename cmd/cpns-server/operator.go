package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/user"

	"cpns.example.net/pngw/cpns/server"
)

// forOne declares the flags of a command that does something with the one whom its
// argument names, in the folder that --data names.
func forOne[ID any](name string, parse func(string) (ID, error), do func(context.Context, *console, *server.Operator, ID) error) func(*flag.FlagSet) runFunc {
	return func(fs *flag.FlagSet) runFunc {
		data := dataFlag(fs)
		return func(ctx context.Context, c *console, args []string) error {
			id, err := oneArg(args, name, parse)
			if err != nil {
				return err
			}
			return withOperator(ctx, *data, func(op *server.Operator) error { return do(ctx, c, op, id) })
		}
	}
}

// oneArg parses the only argument that there may be.
func oneArg[ID any](args []string, name string, parse func(string) (ID, error)) (id ID, err error) {
	if err := wantArgs(args, name); err != nil {
		return id, err
	}
	if id, err = parse(args[0]); err != nil {
		return id, &usageError{err.Error()}
	}
	return id, nil
}

// withOperator runs f as the operator of the folder that --data names.
func withOperator(ctx context.Context, path string, f func(*server.Operator) error) (err error) {
	d, err := openFolder(path)
	if err != nil {
		return err
	}
	store, key, err := d.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	op, err := server.NewOperator(ctx, store, key, operatorName())
	if err != nil {
		return d.explainMasterKey(err)
	}
	return f(op)
}

// operatorName is the name that the audit log shows.
func operatorName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
