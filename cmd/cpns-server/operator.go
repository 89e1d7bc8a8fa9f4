package main

import (
	"context"
	"errors"
	"flag"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

// forOne declares the flags of a command that does something with the one whom its
// argument names, in the folder that --data names.
func forOne[ID any](parse func(string) (ID, error), do func(context.Context, *command.Console, operator, ID) error) func(*flag.FlagSet) command.Run {
	return func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			id, err := parse(args[0])
			if err != nil {
				return command.Misused("%v", err)
			}
			return asOperator(ctx, c, *data, func(op operator) error { return do(ctx, c, op, id) })
		}
	}
}

// withOperator runs f as the operator of the folder that --data names, with the
// rights of the folder's owner: a file of the operator's is opened before.
func withOperator(ctx context.Context, p place, f func(*server.Operator) error) error {
	return inOperatorsFolder(ctx, p, func(_ dataFolder, op *server.Operator) error { return f(op) })
}

// inOperatorsFolder is withOperator for what needs the folder's other files as well.
func inOperatorsFolder(ctx context.Context, p place, f func(dataFolder, *server.Operator) error) error {
	return inFolder(p, func(d dataFolder) (err error) {
		key, more, err := d.readMasterKeys()
		if err != nil {
			return err
		}
		store, err := p.openStore(ctx, nil, false)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		op, err := server.NewOperator(ctx, store, key, operatorName(), more...)
		if err != nil {
			return p.explainMasterKey(err)
		}
		return f(d, op)
	})
}
