package storetest

import (
	"context"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// eventRow is an event as it lies in its table.
func eventRow(seq int64) server.Row {
	return server.Row{seq, start.UnixMilli(), string(server.EventAssigned), "", "", "", int64(1), "storetest", "", []byte{}}
}

// Who follows the log misses no event, however many with higher numbers were there
// before, and also where nothing has been sealed yet.
func testFollow(t *testing.T, r Rig) {
	key := new(server.MasterKey)
	key[0] = 1
	if err := server.Initialize(t.Context(), r.Store, key); err != nil {
		t.Fatal(err)
	}
	op, err := server.NewOperator(t.Context(), r.Store, key, "storetest")
	if err != nil {
		t.Fatal(err)
	}
	var events *server.Table
	for _, table := range server.Tables {
		if table.Name == "events" {
			events = table
		}
	}
	const all = 2500
	late := []int64{1, 700, 1900}
	isLate := map[int64]bool{1: true, 700: true, 1900: true}
	update(t, r.Store, func(tx server.Tx) error {
		var rows []server.Row
		for seq := int64(1); seq <= all; seq++ {
			if !isLate[seq] {
				rows = append(rows, eventRow(seq))
			}
		}
		return tx.AddRows(events, rows)
	})
	ctx, stop := context.WithCancel(t.Context())
	got, done := make(chan int64, all), make(chan error, 1)
	go func() {
		done <- op.Follow(ctx, time.Time{}, func(e server.Event) error { got <- e.Seq; return nil }, func(error) {})
	}()
	next := func() int64 {
		select {
		case seq := <-got:
			return seq
		case err := <-done:
			t.Fatalf("it ended: %v", err)
		case <-time.After(time.Minute):
			t.Fatal("no event comes")
		}
		return 0
	}
	for seq := int64(1); seq <= all; seq++ {
		if isLate[seq] {
			continue
		}
		if n := next(); n != seq {
			t.Fatalf("got event %d, want %d", n, seq)
		}
	}
	for _, seq := range late {
		update(t, r.Store, func(tx server.Tx) error { return tx.AddRows(events, []server.Row{eventRow(seq)}) })
		if n := next(); n != seq {
			t.Fatalf("late: got event %d, want %d", n, seq)
		}
	}
	stop()
	<-done
	if len(got) > 0 {
		t.Errorf("event %d once more", <-got)
	}
}
