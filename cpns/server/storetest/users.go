package storetest

import (
	"errors"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func allUsers(t *testing.T, tx server.Tx) []server.User {
	return collect(t, tx.UsersAfter, func(u server.User) cpns.UserID { return u.ID })
}

func testUsers(t *testing.T, r Rig) {
	bob := server.User{ID: "bob", PasswordHash: server.Sealed{1, 2, 3}, Created: start}
	alice := server.User{ID: "alice", PasswordHash: server.Sealed{0}, Created: start.Add(time.Hour)}
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.User("bob")
		wantErr(t, "unknown user", err, server.ErrNotFound)
		wantErr(t, "changing an unknown user", tx.SetPasswordHash("bob", server.Sealed{1}), server.ErrNotFound)
		wantErr(t, "removing an unknown user", tx.RemoveUser("bob"), server.ErrNotFound)
		return errors.Join(tx.AddUser(bob), tx.AddUser(alice))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.User("bob")
		want(t, "user", got, err, bob)
		_, err = tx.User("BOB")
		wantErr(t, "IDs differ in case", err, server.ErrNotFound)
		wantErr(t, "adding again", tx.AddUser(server.User{ID: "bob", PasswordHash: server.Sealed{9}, Created: start}), server.ErrExists)
		want(t, "all", allUsers(t, tx), nil, []server.User{alice, bob})
		wantErr(t, "disabling an unknown user", tx.SetUserDisabled("carol", true), server.ErrNotFound)
		wantErr(t, "an unknown user is seen", tx.SetUserSeen("carol", start), server.ErrNotFound)
		return errors.Join(tx.SetPasswordHash("bob", server.Sealed{4, 5}), tx.SetUserDisabled("bob", true), tx.SetUserSeen("bob", start.Add(time.Minute)))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.User("bob")
		bob.PasswordHash, bob.Disabled, bob.Seen = server.Sealed{4, 5}, true, start.Add(time.Minute)
		want(t, "changed user", got, err, bob)
		carol := server.User{ID: "carol", PasswordHash: server.Sealed{1}, Created: start, Disabled: true, Seen: start}
		if err := errors.Join(tx.AddUser(carol), tx.SetUserDisabled("bob", false)); err != nil {
			return err
		}
		bob.Disabled = false
		want(t, "with all that is known", allUsers(t, tx), nil, []server.User{alice, bob, carol})
		if err := tx.RemoveUser("carol"); err != nil {
			return err
		}
		return tx.RemoveUser("bob")
	})
	view(t, r.Store, func(tx server.Tx) error {
		want(t, "all but the removed", allUsers(t, tx), nil, []server.User{alice})
		return nil
	})
}

// addUsers adds users, who may own PNEs.
func addUsers(tx server.Tx, ids ...cpns.UserID) (err error) {
	for _, id := range ids {
		err = errors.Join(err, tx.AddUser(server.User{ID: id, PasswordHash: server.Sealed{1}, Created: start}))
	}
	return err
}
