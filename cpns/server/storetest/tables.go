package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// fill puts rows into every table, some of whose keys differ in one part only.
func fill(tx server.Tx) error {
	removed := assignment("gone", 3, start)
	err := errors.Join(
		tx.AddSetting("s", []byte{0, 1}), tx.AddUser(server.User{ID: "alice", PasswordHash: server.Sealed{1}, Created: start}),
		tx.AddGateway(server.Gateway{ID: "gw", Key: cpns.SPKIHash{9}, Fetched: true, Model: "Böx", Created: start}), tx.AddGateway(server.Gateway{ID: "gw-2", Created: start}),
		tx.AddPSK1(server.PSK1{Identity: "id", Gateway: "gw", Source: server.SourceTLS, Key: server.Sealed{2}, Tag: server.Tag{1}, Created: start}),
		tx.SetEnrolment(server.Enrolment{Key: cpns.SPKIHash{7}, State: server.EnrolmentPending, MACs: []string{"a", "b"}, First: start, Last: start}),
		tx.AddInvitation(server.Invitation{ID: "i", Secret: server.Sealed{3}, Uses: 2, Created: start, Ends: start}),
		addPNE(tx, "pne"), addPNE(tx, "gone"), tx.AddAssignment(removed), tx.RemovePNE("gone"),
		tx.AddAssignment(assignment("pne", 9, start)), tx.AddAssignment(assignment("pne", 10, start)),
		tx.AddClaim(server.Claim{Entity: "pne", User: "alice", Gateway: "gw", Time: start}), tx.AddClaim(server.Claim{Entity: "pne", User: "alice", Gateway: "gw-2", Time: start}),
		tx.AddFailure(server.Failure{User: "alice", Gateway: "gw", RequestTag: server.Tag{1}, Time: start}), tx.AddFailure(server.Failure{User: "alice", Gateway: "gw", RequestTag: server.Tag{2}, Time: start}))
	err = errors.Join(err, tx.AddCredential(credential("c1", "bob")), tx.AddCredential(credential("c2", "alice")),
		tx.AddAnswer(server.Answer{Caller: "c1", Key: "k", Answer: server.Sealed{4}, Created: start}), tx.AddAnswer(server.Answer{Caller: "c1", Key: "k2", Answer: server.Sealed{5}, Created: start}))
	err = errors.Join(err, tx.AddSeal(server.Seal{Number: 1, Time: start, Upto: 5, Total: 5, Entries: []byte{1}, MAC: []byte{2}}))
	for n := range 5 {
		err = errors.Join(err, tx.AddEvent(server.Event{Time: start, Kind: server.EventAssigned, Detail: fmt.Sprint(n)}))
	}
	return err
}

// rowsOf are all rows of a table.
func rowsOf(t *testing.T, tx server.Tx, table *server.Table) []server.Row {
	after := func(key server.Row, limit int) ([]server.Row, error) { return tx.RowsAfter(table, key, limit) }
	return collect(t, after, func(r server.Row) server.Row { return r[:table.Key] })
}

// What is read from every table can be put into another store, which is then the same.
func testTables(t *testing.T, r Rig) {
	update(t, r.Store, fill)
	all := make(map[string][]server.Row)
	view(t, r.Store, func(tx server.Tx) error {
		for _, table := range server.Tables {
			rows := rowsOf(t, tx, table)
			n, err := tx.CountRows(table)
			want(t, table.Name, n, err, int64(len(rows)))
			if len(rows) == 0 {
				t.Errorf("%s: nothing to be read", table.Name)
			}
			all[table.Name] = rows
		}
		return nil
	})
	if r.New == nil {
		t.Fatal("no second store")
	}
	other := r.New()
	update(t, other, func(tx server.Tx) error {
		for _, table := range server.Tables {
			if err := tx.AddRows(table, all[table.Name]); err != nil {
				return err
			}
		}
		return nil
	})
	if err := other.Update(t.Context(), func(tx server.Tx) error { return tx.AddRows(server.Tables[0], all["settings"]) }); err == nil {
		t.Error("rows were added twice")
	}
	update(t, other, func(tx server.Tx) error {
		for _, table := range server.Tables {
			if got := rowsOf(t, tx, table); !reflect.DeepEqual(got, all[table.Name]) {
				t.Errorf("%s: got %v, want %v", table.Name, got, all[table.Name])
			}
		}
		pne, err := tx.PNE("pne")
		want(t, "a PNE", pne.State(), err, server.PNEFree)
		return tx.AddEvent(server.Event{Time: start, Kind: server.EventAssigned, Detail: "next"})
	})
	view(t, other, func(tx server.Tx) error {
		next, err := tx.EventsAfter(5, start, 9)
		if err != nil || len(next) != 1 || next[0].Detail != "next" {
			t.Errorf("the event after: %v, %v", next, err)
		}
		return nil
	})
}

// Values are replaced in rows that are there and have not changed, and in no others.
func testSwapBytes(t *testing.T, r Rig) {
	update(t, r.Store, fill)
	for _, tt := range []struct {
		table, column string
	}{
		{"users", "password_hash"}, {"psk1s", "psk1"}, {"psk1s", "tag"}, {"pnes", "tk"},
		{"invitations", "secret"}, {"assignments", "rand_svr"}, {"enrolments", "key"}, {"credentials", "hash"}, {"answers", "answer"},
	} {
		table := server.Tables[slices.IndexFunc(server.Tables, func(t *server.Table) bool { return t.Name == tt.table })]
		at := slices.Index(table.Columns, tt.column)
		var before []server.Row
		view(t, r.Store, func(tx server.Tx) error { before = rowsOf(t, tx, table); return nil })
		if tt.table == "enrolments" { // whose key is of bytes: swapped and swapped back
			next := bytes.Repeat([]byte{8}, 32)
			update(t, r.Store, func(tx server.Tx) error {
				return errors.Join(tx.SwapBytes(table, "key", []server.Row{before[0][:1]}, [][]byte{before[0][0].([]byte)}, [][]byte{next}),
					tx.SwapBytes(table, "key", []server.Row{{next}}, [][]byte{next}, [][]byte{before[0][0].([]byte)}))
			})
			continue
		}
		keys, old, new := []server.Row{slices.Clone(before[0][:table.Key])}, [][]byte{[]byte("another value")}, [][]byte{[]byte("never")}
		switch k := keys[0][0].(type) {
		case string:
			keys = append(keys, append(server.Row{k + "gone"}, before[0][1:table.Key]...))
		}
		old, new = append(old, before[0][at].([]byte)), append(new, []byte("never"))
		wanted := make([]server.Row, len(before))
		for n, row := range before {
			wanted[n] = slices.Clone(row)
			value := bytes.Repeat([]byte{byte(n + 1)}, 32)
			wanted[n][at] = value
			keys, old, new = append(keys, row[:table.Key]), append(old, row[at].([]byte)), append(new, value)
		}
		update(t, r.Store, func(tx server.Tx) error { return tx.SwapBytes(table, tt.column, keys[:len(old)], old, new) })
		view(t, r.Store, func(tx server.Tx) error {
			want(t, tt.table+"."+tt.column, rowsOf(t, tx, table), nil, wanted)
			return nil
		})
	}
}
