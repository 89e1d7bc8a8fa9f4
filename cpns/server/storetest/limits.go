package storetest

import (
	"errors"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func testClaims(t *testing.T, r Rig) {
	at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
	claim := func(u cpns.UserID, g cpns.GatewayID, e cpns.EntityID, minute int) server.Claim {
		return server.Claim{Entity: e, User: u, Gateway: g, Time: at(minute)}
	}
	update(t, r.Store, func(tx server.Tx) error {
		return errors.Join(
			tx.AddClaim(claim("alice", "gw-a", "1", 1)),
			tx.AddClaim(claim("alice", "gw-a", "2", 2)),
			tx.AddClaim(claim("alice", "gw-a", "3", 2)),
			tx.AddClaim(claim("alice", "gw-b", "4", 3)),
			tx.AddClaim(claim("bob", "gw-a", "5", 4)))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.ClaimsAt("alice", "gw-a", at(0), at(60), 10)
		want(t, "the newest first", got, err, []time.Time{at(2), at(2), at(1)})
		got, err = tx.ClaimsAt("alice", "gw-a", at(1), at(60), 10)
		want(t, "after a time", got, err, []time.Time{at(2), at(2)})
		got, err = tx.ClaimsAt("alice", "gw-a", at(0), at(1), 10)
		want(t, "not after a time", got, err, []time.Time{at(1)})
		got, err = tx.ClaimsAt("alice", "gw-a", at(0), at(60), 1)
		want(t, "with a limit", got, err, []time.Time{at(2)})
		return tx.PruneClaims(at(2))
	})
	view(t, r.Store, func(tx server.Tx) error {
		got, err := tx.ClaimsAt("alice", "gw-a", at(0), at(60), 10)
		want(t, "after pruning", got, err, []time.Time{at(2), at(2)})
		return nil
	})
}

func testFailures(t *testing.T, r Rig) {
	at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
	add := func(tx server.Tx, u cpns.UserID, g cpns.GatewayID, minute int) error {
		return tx.AddFailure(server.Failure{User: u, Gateway: g, Time: at(minute), RequestTag: server.Tag{byte(minute)}})
	}
	update(t, r.Store, func(tx server.Tx) error {
		for minute := range 8 {
			if err := errors.Join(add(tx, "eve", "gw-a", minute), add(tx, "eve", "gw-b", minute)); err != nil {
				return err
			}
		}
		return add(tx, "bob", "gw-a", 3)
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.FailuresAt("eve", "gw-a", at(4), at(60), 10)
		want(t, "after a time, the newest first", got, err, []time.Time{at(7), at(6), at(5)})
		got, err = tx.FailuresAt("eve", "gw-a", at(4), at(6), 10)
		want(t, "and not after another", got, err, []time.Time{at(6), at(5)})
		got, err = tx.FailuresAt("eve", "gw-a", start.Add(-time.Hour), at(60), 2)
		want(t, "with a limit", got, err, []time.Time{at(7), at(6)})
		got, err = tx.FailuresAt("nobody", "gw-a", start, at(60), 2)
		want(t, "of nobody", got, err, nil)
		count, err := tx.CountFailures("eve", at(4), at(60), 100)
		want(t, "count over gateways", count, err, 6)
		count, err = tx.CountFailures("eve", at(4), at(6), 100)
		want(t, "count up to a time", count, err, 4)
		count, err = tx.CountFailures("eve", at(4), at(60), 5)
		want(t, "count with a limit", count, err, 5)
		count, err = tx.CountFailures("nobody", at(4), at(60), 5)
		want(t, "count of nobody", count, err, 0)
		where, err := tx.FailedAt("bob", "eve", at(2), at(60), 10)
		want(t, "users and gateways", where, err, []server.FailedAt{{User: "bob", Gateway: "gw-a"}, {User: "eve", Gateway: "gw-a"}, {User: "eve", Gateway: "gw-b"}})
		where, err = tx.FailedAt("bob", "eve", at(3), at(60), 1)
		want(t, "users and gateways after a time, with a limit", where, err, []server.FailedAt{{User: "eve", Gateway: "gw-a"}})
		where, err = tx.FailedAt("bobby", "eva", at(0), at(60), 10)
		want(t, "users and gateways between two IDs", where, err, nil)
		wantErr(t, "the same request again", add(tx, "eve", "gw-a", 3), server.ErrExists)
		return errors.Join(tx.RemoveFailures("bob"), tx.RemoveFailures("nobody"), tx.PruneFailures(at(6)))
	})
	view(t, r.Store, func(tx server.Tx) error {
		count, err := tx.CountFailures("eve", start.Add(-time.Hour), at(60), 100)
		want(t, "count after pruning", count, err, 4)
		count, err = tx.CountFailures("bob", start.Add(-time.Hour), at(60), 100)
		want(t, "count after removing", count, err, 0)
		return nil
	})
}
