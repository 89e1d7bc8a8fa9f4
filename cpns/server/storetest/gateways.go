package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func testGateways(t *testing.T, r Rig) {
	a := server.Gateway{ID: "gw-a", Key: cpns.SPKIHash{1}, IMPI: "1@ims", Invitation: "i", Fetched: true, Model: "Box 1", Serial: "s/1", Created: start, Seen: start.Add(time.Hour)}
	b := server.Gateway{ID: "gw-b", Created: start}
	c := server.Gateway{ID: "gw-c", Created: start, Serial: "s/1"} // neither it nor b has a key
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.Gateway("gw-a")
		wantErr(t, "unknown gateway", err, server.ErrNotFound)
		_, err = tx.GatewayByKey(cpns.SPKIHash{1})
		wantErr(t, "unknown key", err, server.ErrNotFound)
		wantErr(t, "removing an unknown gateway", tx.RemoveGateway("gw-a"), server.ErrNotFound)
		wantErr(t, "changing an unknown gateway", tx.SetGateway(a), server.ErrNotFound)
		return errors.Join(tx.AddGateway(c), tx.AddGateway(b), tx.AddGateway(a))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.Gateway("gw-b")
		want(t, "by ID", got, err, b)
		got, err = tx.GatewayByKey(cpns.SPKIHash{1})
		want(t, "by key", got, err, a)
		_, err = tx.GatewayByKey(cpns.SPKIHash{})
		wantErr(t, "by no key", err, server.ErrNotFound)
		got, err = tx.GatewayByKeys(cpns.SPKIHash{1}, cpns.SPKIHash{1})
		want(t, "by the one key", got, err, a)
		got, err = tx.GatewayByKeys(cpns.SPKIHash{0, 9}, cpns.SPKIHash{1, 1})
		want(t, "by keys around it", got, err, a)
		_, err = tx.GatewayByKeys(cpns.SPKIHash{}, cpns.SPKIHash{0, 0xff})
		wantErr(t, "by keys before it", err, server.ErrNotFound)
		_, err = tx.GatewayByKeys(cpns.SPKIHash{1, 1}, cpns.SPKIHash{0xff})
		wantErr(t, "by keys behind it", err, server.ErrNotFound)
		got, err = tx.GatewayByIMPI("1@ims")
		want(t, "by IMPI", got, err, a)
		_, err = tx.GatewayByIMPI("")
		wantErr(t, "by no IMPI", err, server.ErrNotFound)
		wantErr(t, "the same IMPI", tx.AddGateway(server.Gateway{ID: "gw-d", IMPI: "1@ims", Created: start}), server.ErrExists)
		some, err := tx.GatewaysBySerial("s/1", 5)
		want(t, "by serial number", some, err, []server.Gateway{a, c})
		some, err = tx.GatewaysBySerial("s/1", 1)
		want(t, "at most one", some, err, []server.Gateway{a})
		some, err = tx.GatewaysBySerial("", 5)
		want(t, "by no serial number", some, err, nil)
		wantErr(t, "the same ID", tx.AddGateway(server.Gateway{ID: "gw-a", Created: start}), server.ErrExists)
		wantErr(t, "the same key", tx.AddGateway(server.Gateway{ID: "gw-d", Key: cpns.SPKIHash{1}, Created: start}), server.ErrExists)
		wantErr(t, "another's key", tx.SetGateway(server.Gateway{ID: "gw-b", Key: cpns.SPKIHash{1}}), server.ErrExists)
		want(t, "all", allGateways(t, tx), nil, []server.Gateway{a, b, c})
		return nil
	})
	changed := server.Gateway{ID: "gw-a", Key: cpns.SPKIHash{31: 9}, Model: "Box 2", Serial: "s/2", Created: start, Seen: start}
	update(t, r.Store, func(tx server.Tx) error {
		change := changed
		change.Created = start.Add(time.Minute)
		return tx.SetGateway(change)
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.GatewayByKey(cpns.SPKIHash{31: 9})
		want(t, "changed, but for the time", got, err, changed)
		_, err = tx.GatewayByKey(cpns.SPKIHash{1})
		wantErr(t, "by the key before", err, server.ErrNotFound)
		_, err = tx.GatewayByIMPI("1@ims")
		wantErr(t, "by the IMPI before", err, server.ErrNotFound)
		return tx.RemoveGateway("gw-a")
	})
	update(t, r.Store, func(tx server.Tx) error {
		want(t, "all but the removed", allGateways(t, tx), nil, []server.Gateway{b, c})
		return tx.AddGateway(a)
	})
}

func testPSK1s(t *testing.T, r Rig) {
	key := func(id cpns.PSKIdentity, g cpns.GatewayID, n byte, after time.Duration) server.PSK1 {
		return server.PSK1{Identity: id, Gateway: g, Source: server.SourceTLS, Key: server.Sealed{n}, Tag: server.Tag{n}, Created: start.Add(after)}
	}
	file := key("z@bsf", "gw-a", 1, 0)
	file.Source = server.SourceFile
	first, second := key("id-1", "gw-a", 2, time.Hour), key("id-2", "gw-a", 3, 2*time.Hour)
	first.Used, first.Ends = start.Add(time.Hour), start.Add(5*time.Hour)
	other := key("id-b", "gw-b", 4, 0)
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.PSK1("id-1")
		wantErr(t, "unknown identity", err, server.ErrNotFound)
		wantErr(t, "of no gateway", tx.AddPSK1(first), server.ErrNotFound)
		wantErr(t, "removing an unknown one", tx.RemovePSK1("id-1"), server.ErrNotFound)
		wantErr(t, "times of an unknown one", tx.SetPSK1Times("id-1", start, start), server.ErrNotFound)
		return errors.Join(
			tx.AddGateway(server.Gateway{ID: "gw-a", Created: start}), tx.AddGateway(server.Gateway{ID: "gw-b", Created: start}),
			tx.AddPSK1(second), tx.AddPSK1(file), tx.AddPSK1(first), tx.AddPSK1(other))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.PSK1("z@bsf")
		want(t, "by identity", got, err, file)
		_, err = tx.PSK1("gw-a")
		wantErr(t, "the gateway ID is not the identity", err, server.ErrNotFound)
		got, err = tx.PSK1ByTag(server.Tag{2})
		want(t, "by tag", got, err, first)
		_, err = tx.PSK1ByTag(server.Tag{})
		wantErr(t, "unknown tag", err, server.ErrNotFound)
		all, err := tx.PSK1sOf("gw-a")
		want(t, "of a gateway", all, err, []server.PSK1{second, first, file})
		wantErr(t, "the same identity", tx.AddPSK1(key("id-1", "gw-b", 9, 0)), server.ErrExists)
		wantErr(t, "the same key", tx.AddPSK1(key("id-9", "gw-b", 2, 0)), server.ErrExists)
		return errors.Join(
			tx.SetPSK1Times("id-2", start.Add(time.Minute), start.Add(9*time.Hour)),
			tx.PrunePSK1s(start.Add(5*time.Hour)), // not before
			tx.RemovePSK1("z@bsf"))
	})
	second.Used, second.Ends = start.Add(time.Minute), start.Add(9*time.Hour)
	update(t, r.Store, func(tx server.Tx) error {
		all, err := tx.PSK1sOf("gw-a")
		want(t, "changed, one removed", all, err, []server.PSK1{second, first})
		return tx.PrunePSK1s(start.Add(6 * time.Hour))
	})
	update(t, r.Store, func(tx server.Tx) error {
		all, err := tx.PSK1sOf("gw-a")
		want(t, "pruned", all, err, []server.PSK1{second})
		all, err = tx.PSK1sOf("gw-b")
		want(t, "one that never ends", all, err, []server.PSK1{other})
		return tx.RemoveGateway("gw-a")
	})
	view(t, r.Store, func(tx server.Tx) error {
		_, err := tx.PSK1("id-2")
		wantErr(t, "of the removed gateway", err, server.ErrNotFound)
		got, err := tx.PSK1("id-b")
		want(t, "of the other", got, err, other)
		return nil
	})
}

func allEnrolments(t *testing.T, tx server.Tx) []server.Enrolment {
	return collect(t, tx.EnrolmentsAfter, func(e server.Enrolment) cpns.SPKIHash { return e.Key })
}

func testEnrolments(t *testing.T, r Rig) {
	pending := server.Enrolment{
		Key: cpns.SPKIHash{2}, State: server.EnrolmentPending, Gateway: "gw", Invitation: "i", Model: "Böx", Serial: "s 1",
		MACs: []string{"02:00:00:00:00:01", "02:00:00:00:00:02"}, Source: "192.0.2.0/24", First: start, Last: start.Add(time.Hour),
	}
	again := pending
	again.Key, again.Was = cpns.SPKIHash{3}, "gw-old"
	removed := server.Enrolment{Key: cpns.SPKIHash{1}, State: server.EnrolmentRemoved, Was: "gw-1", MACs: []string{}, First: start, Last: start}
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.Enrolment(pending.Key)
		wantErr(t, "unknown key", err, server.ErrNotFound)
		wantErr(t, "removing an unknown one", tx.RemoveEnrolment(pending.Key), server.ErrNotFound)
		return errors.Join(tx.SetEnrolment(pending), tx.SetEnrolment(again), tx.SetEnrolment(removed))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.Enrolment(pending.Key)
		want(t, "pending", got, err, pending)
		want(t, "all", allEnrolments(t, tx), nil, []server.Enrolment{removed, pending, again})
		pending.State, pending.Serial = server.EnrolmentRefused, "s 2"
		return tx.SetEnrolment(pending)
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.Enrolment(pending.Key)
		want(t, "replaced", got, err, pending)
		pending.State = server.EnrolmentPending
		if err := tx.SetEnrolment(pending); err != nil {
			return err
		}
		return tx.PruneEnrolments(pending.Last.Add(time.Second), start)
	})
	update(t, r.Store, func(tx server.Tx) error {
		want(t, "those that are not too old", allEnrolments(t, tx), nil, []server.Enrolment{removed, again})
		return tx.PruneEnrolments(start, start.Add(time.Second))
	})
	update(t, r.Store, func(tx server.Tx) error {
		want(t, "that which is not too old", allEnrolments(t, tx), nil, []server.Enrolment{again})
		return tx.RemoveEnrolment(again.Key)
	})
}

// A crowd displaces its own first, never what is not pending or was a gateway's.
func testDisplacePending(t *testing.T, r Rig) {
	add := func(tx server.Tx, n byte, source string, state server.EnrolmentState, was cpns.GatewayID) error {
		at := start.Add(time.Duration(n) * time.Second)
		return tx.SetEnrolment(server.Enrolment{Key: cpns.SPKIHash{n}, State: state, Source: source, Was: was, First: at, Last: at})
	}
	left := func(what string, wanted ...byte) {
		t.Helper()
		view(t, r.Store, func(tx server.Tx) error {
			var got []byte
			for _, e := range allEnrolments(t, tx) {
				got = append(got, e.Key[0])
			}
			want(t, what, fmt.Sprint(got), nil, fmt.Sprint(wanted))
			return nil
		})
	}
	displace := func(source string, perSource, total int) {
		t.Helper()
		update(t, r.Store, func(tx server.Tx) error { return tx.DisplacePending(source, perSource, total) })
	}
	update(t, r.Store, func(tx server.Tx) error {
		return errors.Join(
			add(tx, 1, "a", server.EnrolmentRefused, ""), add(tx, 2, "a", server.EnrolmentPending, "gw"),
			add(tx, 3, "b", server.EnrolmentPending, ""), add(tx, 4, "a", server.EnrolmentPending, ""),
			add(tx, 5, "a", server.EnrolmentPending, ""), add(tx, 6, "a", server.EnrolmentPending, ""))
	})
	displace("a", 4, 5)
	left("with room for one more", 1, 2, 3, 4, 5, 6)
	displace("a", 3, 5)
	left("the first of the source", 1, 2, 3, 5, 6)
	displace("c", 3, 3)
	left("the first of the source that has most", 1, 2, 3, 6)
	displace("b", 1, 9)
	left("the only one of the source", 1, 2, 6)
	displace("a", 1, 9)
	displace("a", 1, 9)
	left("what is not displaced", 1, 2)
}

func testInvitations(t *testing.T, r Rig) {
	a := server.Invitation{ID: "a", Secret: server.Sealed{1, 2}, Gateway: "gw", Uses: 1, Created: start, Ends: start.Add(time.Hour)}
	b := server.Invitation{ID: "b", Secret: server.Sealed{3}, Uses: 50, Created: start, Ends: start.Add(2 * time.Hour)}
	c := server.Invitation{ID: "c", Secret: server.Sealed{4}, Uses: 2, Created: start, Ends: start.Add(3 * time.Hour)}
	all := func(tx server.Tx) []server.Invitation {
		return collect(t, tx.InvitationsAfter, func(i server.Invitation) string { return i.ID })
	}
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.Invitation("a")
		wantErr(t, "unknown invitation", err, server.ErrNotFound)
		wantErr(t, "counting for an unknown one", tx.SetInvitation("a", 1, start), server.ErrNotFound)
		return errors.Join(tx.AddInvitation(c), tx.AddInvitation(a), tx.AddInvitation(b))
	})
	update(t, r.Store, func(tx server.Tx) error {
		wantErr(t, "adding again", tx.AddInvitation(a), server.ErrExists)
		got, err := tx.Invitation("b")
		want(t, "invitation", got, err, b)
		want(t, "all", all(tx), nil, []server.Invitation{a, b, c})
		n, err := tx.CountInvitations()
		want(t, "number", n, err, 3)
		return errors.Join(tx.SetInvitation("b", 7, start.Add(4*time.Hour)), tx.PruneInvitations(a.Ends.Add(time.Second)))
	})
	b.Bound, b.Ends = 7, start.Add(4*time.Hour)
	view(t, r.Store, func(tx server.Tx) error {
		want(t, "changed and pruned", all(tx), nil, []server.Invitation{b, c})
		return nil
	})
}

func allGateways(t *testing.T, tx server.Tx) []server.Gateway {
	return collect(t, tx.GatewaysAfter, func(g server.Gateway) cpns.GatewayID { return g.ID })
}
