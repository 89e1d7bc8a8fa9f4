package storetest

import (
	"fmt"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func eventsSince(t *testing.T, tx server.Tx, since time.Time) []server.Event {
	after := func(seq int64, limit int) ([]server.Event, error) { return tx.EventsAfter(seq, since, limit) }
	return collect(t, after, func(e server.Event) int64 { return e.Seq })
}

func testEvents(t *testing.T, r Rig) {
	var events []server.Event
	for n := range 5 {
		events = append(events, server.Event{
			Time: start.Add(time.Duration(n) * time.Minute), Kind: server.EventAssigned, User: "alice", Entity: "pne",
			Gateway: "gw", Epoch: cpns.Epoch(n), Source: "192.0.2.1", Detail: fmt.Sprint("number ", n), MAC: server.Tag{byte(n), 31: 1},
		})
	}
	events[2] = server.Event{Time: events[2].Time, Kind: server.EventUserAdded, Source: "operator root"}
	events[4].Time = start // the clock was set back: the order is that of adding
	update(t, r.Store, func(tx server.Tx) error {
		for _, e := range events {
			if err := tx.AddEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
	for n := range events {
		events[n].Seq = int64(n + 1)
	}
	view(t, r.Store, func(tx server.Tx) error {
		want(t, "all", eventsSince(t, tx, time.Time{}), nil, events)
		want(t, "since a time", eventsSince(t, tx, events[2].Time), nil, events[2:4])
		return nil
	})
	view(t, r.Store, func(tx server.Tx) error {
		got, err := tx.EventsAt([]int64{4, 99, 2})
		want(t, "by number", got, err, []server.Event{events[1], events[3]})
		got, err = tx.EventsAt(nil)
		want(t, "by no number", got, err, nil)
		return nil
	})
	update(t, r.Store, func(tx server.Tx) error { return tx.RemoveEvents([]int64{1, 3, 77}) })
	view(t, r.Store, func(tx server.Tx) error {
		want(t, "what is left", eventsSince(t, tx, time.Time{}), nil, []server.Event{events[1], events[3], events[4]})
		return nil
	})
}

func testSeals(t *testing.T, r Rig) {
	var seals []server.Seal
	for n := range int64(4) {
		seals = append(seals, server.Seal{Number: n + 1, Time: start.Add(time.Duration(n) * time.Second), Upto: 10 * n, Total: 9 * n, Entries: []byte{byte(n), 0}, MAC: []byte{0, byte(n)}})
	}
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.LastSeal()
		wantErr(t, "the last of none", err, server.ErrNotFound)
		for _, s := range seals {
			if err := tx.AddSeal(s); err != nil {
				return err
			}
		}
		wantErr(t, "adding again", tx.AddSeal(seals[2]), server.ErrExists)
		return nil
	})
	update(t, r.Store, func(tx server.Tx) error {
		last, err := tx.LastSeal()
		want(t, "the last", last, err, seals[3])
		some, err := tx.SealsAfter(1, 2)
		want(t, "some", some, err, seals[1:3])
		wantErr(t, "removing what is not there", tx.RemoveSeal(5), server.ErrNotFound)
		return tx.RemoveSeal(1)
	})
	view(t, r.Store, func(tx server.Tx) error {
		left, err := tx.SealsAfter(0, 9)
		want(t, "what is left", left, err, seals[1:])
		return nil
	})
}
