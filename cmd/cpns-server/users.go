package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/password"
)

var userAddCommand = command.Command{
	Name: "user add", Options: "--data DIR [--password-file FILE]", Args: "USER",
	Summary: "add a CPNS User",
	About:   "Adds a CPNS User, with a password.",
	Setup:   withPassword(forOne(cpns.ParseUserID, addUser)),
}

// withPassword adds the option of a command that needs a new password.
func withPassword(setup func(*flag.FlagSet) command.Run) func(*flag.FlagSet) command.Run {
	return func(fs *flag.FlagSet) command.Run {
		fs.String("password-file", "", password.Usage)
		return setup(fs)
	}
}

func addUser(ctx context.Context, c *command.Console, op *server.Operator, id cpns.UserID) error {
	hash, err := readPasswordHash(ctx, c, id)
	if err != nil {
		return err
	}
	if err := op.AddUser(ctx, id, hash); errors.Is(err, server.ErrExists) {
		return fmt.Errorf("there is a user %s already: cpns-server user passwd changes the password", id)
	} else if err != nil {
		return err
	}
	c.Printf("user %s added\n", id)
	return nil
}

var userPasswdCommand = command.Command{
	Name: "user passwd", Options: "--data DIR [--password-file FILE]", Args: "USER",
	Summary: "change a user's password and end the user's lock-out",
	Setup:   withPassword(forOne(cpns.ParseUserID, changePassword)),
}

func changePassword(ctx context.Context, c *command.Console, op *server.Operator, id cpns.UserID) error {
	hash, err := readPasswordHash(ctx, c, id)
	if err != nil {
		return err
	}
	if err := op.SetPassword(ctx, id, hash); err != nil {
		return noUser(err, id)
	}
	c.Printf("password of user %s changed\n", id)
	return nil
}

var userListCommand = command.Command{
	Name: "user list", Options: "--data DIR [--json]",
	Summary: "list the users",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			type line struct {
				User    cpns.UserID `json:"user"`
				Created time.Time   `json:"created"`
			}
			return withOperator(ctx, *data, func(op *server.Operator) error {
				t := newTable(c.Stdout, *asJSON, "USER\tCREATED")
				return t.end(op.Users(ctx, func(u server.User) error {
					return t.row(line{u.ID, u.Created}, "%s\t%s", u.ID, day(u.Created))
				}))
			})
		}
	},
}

var userRemoveCommand = command.Command{
	Name: "user remove", Options: "--data DIR", Args: "USER",
	Summary: "remove a user who owns no PNE",
	Setup:   forOne(cpns.ParseUserID, removeUser),
}

func removeUser(ctx context.Context, c *command.Console, op *server.Operator, id cpns.UserID) error {
	err := op.RemoveUser(ctx, id)
	if owns, ok := errors.AsType[*server.OwnsError](err); ok {
		return fmt.Errorf("user %s still owns PNEs, %d in all: cpns-server pne list --owner %s shows them, cpns-server pne release makes them nobody's", id, owns.PNEs, id)
	}
	if err != nil {
		return noUser(err, id)
	}
	c.Printf("user %s removed\n", id)
	return nil
}

func noUser(err error, id cpns.UserID) error {
	if errors.Is(err, server.ErrNotFound) {
		return fmt.Errorf("there is no user %s", id)
	}
	return err
}
