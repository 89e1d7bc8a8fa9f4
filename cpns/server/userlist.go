package server

import (
	"context"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// A UserState says whether a user may ask for EUKeys.
type UserState string

// The states of a user.
const (
	UserEnabled  UserState = "enabled"
	UserLocked   UserState = "locked"   // at one gateway or more, after too many failures
	UserDisabled UserState = "disabled" // by the operator, everywhere
)

// ParseUserState reads the name of a state.
func ParseUserState(s string) (UserState, error) {
	switch state := UserState(s); state {
	case UserEnabled, UserLocked, UserDisabled:
		return state, nil
	}
	return "", fmt.Errorf("there are %s, %s and %s", UserEnabled, UserLocked, UserDisabled)
}

// A Lock is the lock-out of a user at a gateway.
type Lock struct {
	Gateway cpns.GatewayID `json:"gateway"`
	Until   time.Time      `json:"until"`
}

// A UserStatus is what the operator is shown of a user.
type UserStatus struct {
	ID      cpns.UserID
	State   UserState // disabled before locked
	Locks   []Lock    // in the order of the gateways
	Slowed  bool      // failed so often at several gateways that each request waits
	Created time.Time
	Seen    time.Time // last successful request, to the minute; zero for never
}

// A UserFilter says which users are wanted: those that have all that is not empty.
type UserFilter struct {
	State UserState
	After cpns.UserID // whose IDs come after this one
}

// failuresListed bounds what is read of the failures of one page of users.
const failuresListed = 10_000

// Users calls f with every user that a filter wants, in the order of their IDs, until f
// fails. Like all listings it is read in pages: what changes meanwhile may be in it or
// not, and f may take its time.
func (o *Operator) Users(ctx context.Context, wanted UserFilter, f func(UserStatus) error) error {
	after := func(tx Tx, id cpns.UserID, limit int) ([]UserStatus, error) {
		users, err := tx.UsersAfter(max(id, wanted.After), limit)
		if err != nil || len(users) == 0 {
			return nil, err
		}
		return statusOf(tx, users, o.now())
	}
	return each(ctx, o.store, after, func(u UserStatus) cpns.UserID { return u.ID }, func(u UserStatus) error {
		if wanted.State != "" && u.State != wanted.State {
			return nil
		}
		return f(u)
	})
}

// User is what the server knows of one user. It fails with ErrNotFound where that is
// nothing.
func (o *Operator) User(ctx context.Context, id cpns.UserID) (status UserStatus, err error) {
	err = o.store.View(ctx, func(tx Tx) error {
		u, err := tx.User(id)
		if err != nil {
			return err
		}
		all, err := statusOf(tx, []User{u}, o.now())
		if err == nil {
			status = all[0]
		}
		return err
	})
	return status, err
}

// statusOf says how it stands with users, who are in the order of their IDs.
func statusOf(tx Tx, users []User, now time.Time) ([]UserStatus, error) {
	failed, err := tx.FailedAt(users[0].ID, users[len(users)-1].ID, now.Add(-failuresKept), now.Add(replicaSkew), failuresListed)
	if err != nil {
		return nil, err
	}
	all := make([]UserStatus, len(users))
	for n, u := range users {
		s := UserStatus{ID: u.ID, State: UserEnabled, Locks: []Lock{}, Created: u.Created, Seen: u.Seen}
		for len(failed) > 0 && failed[0].User < u.ID { // by nobody's ID
			failed = failed[1:]
		}
		some := false
		for ; len(failed) > 0 && failed[0].User == u.ID; failed = failed[1:] {
			some = true
			times, err := tx.FailuresAt(u.ID, failed[0].Gateway, now.Add(-failuresKept), now.Add(replicaSkew), lockFailures)
			if err != nil {
				return nil, err
			}
			if until := lockedUntil(times); until.After(now) {
				s.Locks = append(s.Locks, Lock{failed[0].Gateway, until})
			}
		}
		if some {
			failures, err := tx.CountFailures(u.ID, now.Add(-failureWindow), now.Add(replicaSkew), failuresCounted)
			if err != nil {
				return nil, err
			}
			s.Slowed = delayFor(failures) > 0
		}
		switch {
		case u.Disabled:
			s.State = UserDisabled
		case len(s.Locks) > 0:
			s.State = UserLocked
		}
		all[n] = s
	}
	return all, nil
}
