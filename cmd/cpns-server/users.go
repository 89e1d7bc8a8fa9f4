package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
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
	Setup: withPassword(func(ctx context.Context, op operator, id cpns.UserID) error {
		if _, err := op.User(ctx, id); !errors.Is(err, server.ErrNotFound) {
			return cmp.Or(err, errUserThere(id))
		}
		return nil
	}, addUser),
}

func errUserThere(id cpns.UserID) error {
	return fmt.Errorf("there is a user %s already: cpns-server user passwd changes the password", id)
}

// withPassword declares the flags of a command that gives a user a new password. That
// is read before the data folder is opened, with the rights of who gives the command, and
// asked for only where can says that it will count.
func withPassword(can func(context.Context, operator, cpns.UserID) error, do func(context.Context, *command.Console, operator, cpns.UserID, *server.PasswordHashes) error) func(*flag.FlagSet) command.Run {
	return func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		fs.String("password-file", "", password.Usage)
		return func(ctx context.Context, c *command.Console, args []string) error {
			id, err := cpns.ParseUserID(args[0])
			if err != nil {
				return command.Misused("%v", err)
			}
			if err := asOperator(ctx, c, *data, func(op operator) error { return can(ctx, op, id) }); err != nil {
				return err
			}
			hash, err := readPasswordHash(ctx, c, id)
			if err != nil {
				return err
			}
			return asOperator(ctx, c, *data, func(op operator) error { return do(ctx, c, op, id, hash) })
		}
	}
}

func addUser(ctx context.Context, c *command.Console, op operator, id cpns.UserID, hash *server.PasswordHashes) error {
	if err := op.AddUser(ctx, id, hash); errors.Is(err, server.ErrExists) {
		return errUserThere(id)
	} else if err != nil {
		return err
	}
	c.Printf("user %s added\n", id)
	return nil
}

var userPasswdCommand = command.Command{
	Name: "user passwd", Options: "--data DIR [--password-file FILE]", Args: "USER",
	Summary: "change a user's password and end the user's lock-out",
	Setup: withPassword(func(ctx context.Context, op operator, id cpns.UserID) error {
		_, err := op.User(ctx, id)
		return noUser(err, id)
	}, changePassword),
}

func changePassword(ctx context.Context, c *command.Console, op operator, id cpns.UserID, hash *server.PasswordHashes) error {
	if err := op.SetPassword(ctx, id, hash); err != nil {
		return noUser(err, id)
	}
	c.Printf("password of user %s changed\n", id)
	return nil
}

var userListCommand = command.Command{
	Name: "user list", Options: "--data DIR [--state STATE] [--json]",
	Summary: "list the users",
	About:   "Lists the users: who is enabled, disabled, or locked out at a gateway after too many failures, and until when; and when each last got EUKeys. Who failed often at several gateways is slowed: each request waits up to 2 seconds.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		var wanted server.UserFilter
		fs.Func("state", "only those whose `STATE` is enabled, locked or disabled", func(value string) (err error) {
			wanted.State, err = server.ParseUserState(value)
			return err
		})
		return func(ctx context.Context, c *command.Console, args []string) error {
			type line struct {
				User    cpns.UserID      `json:"user"`
				Created time.Time        `json:"created"`
				State   server.UserState `json:"state"`
				Locks   []server.Lock    `json:"locks"`
				Slowed  bool             `json:"slowed"`
				Seen    *time.Time       `json:"last_seen"`
			}
			return asOperator(ctx, c, *data, func(op operator) error {
				t := newTable(c.Stdout, *asJSON, "USER", "STATE", "LAST SEEN", "CREATED", "LOCKED OUT")
				return t.end(op.Users(ctx, wanted, func(u server.UserStatus) error {
					return t.row(line{u.ID, u.Created, u.State, u.Locks, u.Slowed, orNil(u.Seen)},
						string(u.ID), string(u.State), minute(u.Seen), day(u.Created), lockedOut(u))
				}))
			})
		}
	},
}

// lockedOut says where a user is locked out, and until when.
func lockedOut(u server.UserStatus) string {
	var parts []string
	for _, l := range u.Locks {
		parts = append(parts, fmt.Sprintf("at %s until %s", l.Gateway, l.Until.Local().Format("15:04")))
	}
	if u.Slowed {
		parts = append(parts, "slowed at all gateways")
	}
	return strings.Join(parts, ", ")
}

var userDisableCommand = command.Command{
	Name: "user disable", Options: "--data DIR", Args: "USER",
	Summary: "refuse a user's requests, as if there were no such user",
	About:   "Refuses a user's requests from now on, as those of one who is not known. Password, locks and PNEs stay, until user enable. Gateways go on with the sets that they have.",
	Setup:   forOne(cpns.ParseUserID, disableUser(true)),
}

var userEnableCommand = command.Command{
	Name: "user enable", Options: "--data DIR", Args: "USER",
	Summary: "end user disable",
	Setup:   forOne(cpns.ParseUserID, disableUser(false)),
}

func disableUser(disabled bool) func(context.Context, *command.Console, operator, cpns.UserID) error {
	return func(ctx context.Context, c *command.Console, op operator, id cpns.UserID) error {
		changed, err := op.SetDisabled(ctx, id, disabled)
		if err != nil {
			return noUser(err, id)
		}
		state := server.UserEnabled
		if disabled {
			state = server.UserDisabled
		}
		if changed {
			c.Printf("user %s %s\n", id, state)
		} else {
			c.Printf("user %s was %s already\n", id, state)
		}
		return nil
	}
}

var userRemoveCommand = command.Command{
	Name: "user remove", Options: "--data DIR", Args: "USER",
	Summary: "remove a user who owns no PNE",
	Setup:   forOne(cpns.ParseUserID, removeUser),
}

func removeUser(ctx context.Context, c *command.Console, op operator, id cpns.UserID) error {
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

var userUnlockCommand = command.Command{
	Name: "user unlock", Options: "--data DIR", Args: "USER",
	Summary: "end a user's lock-out, and leave the password as it is",
	Setup:   forOne(cpns.ParseUserID, unlockUser),
}

func unlockUser(ctx context.Context, c *command.Console, op operator, id cpns.UserID) error {
	changed, err := op.Unlock(ctx, id)
	if err != nil {
		return noUser(err, id)
	}
	if changed {
		c.Printf("user %s unlocked\n", id)
	} else {
		c.Printf("user %s was not locked out\n", id)
	}
	return nil
}

func noUser(err error, id cpns.UserID) error {
	if errors.Is(err, server.ErrNotFound) {
		return fmt.Errorf("there is no user %s", id)
	}
	return err
}
