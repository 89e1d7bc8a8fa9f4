package storetest

import (
	"errors"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

func replica(id string, seen time.Time) server.Replica {
	return server.Replica{ID: id, Name: "host of " + id, Seen: seen, Keys: []server.KeyID{{1, 2, 3, 4}, {0xff}}}
}

func testReplicas(t *testing.T, r Rig) {
	bare := server.Replica{ID: "d", Seen: start}
	update(t, r.Store, func(tx server.Tx) error {
		wantErr(t, "removing an unknown server", tx.RemoveReplica("a"), server.ErrNotFound)
		return errors.Join(tx.SetReplica(replica("a", start)), tx.SetReplica(replica("b", start)), tx.SetReplica(bare), tx.SetReplica(replica("c", start)),
			tx.SetReplica(replica("a", start.Add(time.Minute))))
	})
	view(t, r.Store, func(tx server.Tx) error {
		n, err := tx.CountReplicas(start)
		want(t, "all", n, err, 4)
		n, err = tx.CountReplicas(start.Add(time.Second))
		want(t, "those of lately", n, err, 1)
		all, err := tx.ReplicasSince(start)
		want(t, "who they all are", all, err, []server.Replica{replica("a", start.Add(time.Minute)), replica("b", start), replica("c", start), bare})
		all, err = tx.ReplicasSince(start.Add(time.Second))
		want(t, "who those of lately are", all, err, []server.Replica{replica("a", start.Add(time.Minute))})
		return nil
	})
	update(t, r.Store, func(tx server.Tx) error {
		return errors.Join(tx.SetReplica(server.Replica{ID: "a", Seen: start.Add(time.Minute)}), tx.RemoveReplica("b"), tx.PruneReplicas(start.Add(time.Second)))
	})
	view(t, r.Store, func(tx server.Tx) error {
		all, err := tx.ReplicasSince(start.Add(-time.Hour))
		want(t, "those that are left", all, err, []server.Replica{{ID: "a", Seen: start.Add(time.Minute)}})
		return nil
	})
}
