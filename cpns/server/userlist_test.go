package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
)

func (r *rig) usersOf(f server.UserFilter) (all []server.UserStatus) {
	r.t.Helper()
	must(r.t, r.op.Users(r.t.Context(), f, func(u server.UserStatus) error { all = append(all, u); return nil }))
	return all
}

func (r *rig) disable(u cpns.UserID, disabled bool) {
	r.t.Helper()
	if changed, err := r.op.SetDisabled(r.t.Context(), u, disabled); !changed || err != nil {
		r.t.Fatalf("disabled %v: %v, %v", disabled, changed, err)
	}
}

// A disabled user is answered like one who is not known, also when the password is
// right, and is locked out like one.
func TestDisabledUser(t *testing.T) {
	r := newRig(t)
	first := r.request("alice", "pne-1")
	r.wantStatus("gw-1", first, cpns.Success)
	r.disable("alice", true)
	if changed, err := r.op.SetDisabled(t.Context(), "alice", true); changed || err != nil {
		t.Errorf("disabled again: %v, %v", changed, err)
	}
	r.wantStatus("gw-1", first, cpns.UserAuthenticationFailed) // the same request again
	for range server.LockFailures - 1 {
		r.clock.advance(time.Second)
		r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UserAuthenticationFailed)
	}
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UserLocked)
	r.wantStatus("gw-1", r.request("bob", "pne-2"), cpns.Success)
	all := r.events()
	if e := all[len(all)-2]; e.Kind != server.EventUserLocked || e.Detail != "the user is disabled" {
		t.Errorf("audit: %+v", e)
	}

	r.disable("alice", false) // which ends no lock
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UserLocked)
	r.wantStatus("gw-2", r.request("alice", "pne-1"), cpns.Success)
	if _, err := r.op.SetDisabled(t.Context(), "carol", true); err != server.ErrNotFound {
		t.Errorf("disabling nobody: %v", err)
	}
}

func TestUserList(t *testing.T) {
	r := newRig(t)
	r.addUser("carol")
	begin := r.clock.Now()
	r.fail("gw-2", "alice", server.LockFailures)
	r.failSlowed("gw-1", "alice", server.LockFailures)
	r.fail("gw-1", "aaron", server.LockFailures) // whom the list does not know
	r.disable("bob", true)
	r.wantStatus("gw-1", r.request("carol", "pne-2"), cpns.Success)
	seen := r.clock.Now()
	r.clock.advance(59 * time.Second)
	r.wantStatus("gw-1", r.request("carol", "pne-2"), cpns.Success) // is not written down again

	must(t, r.op.AddUser(t.Context(), "dave", bothForms(r.users["bob"])))
	got := r.usersOf(server.UserFilter{})
	n := time.Duration(server.LockFailures)
	want := []server.UserStatus{
		{ID: "alice", State: server.UserLocked, Slowed: true, Locks: []server.Lock{
			{Gateway: "gw-1", Until: begin.Add(2*n*time.Second + server.LockTime)}, {Gateway: "gw-2", Until: begin.Add(n*time.Second + server.LockTime)},
		}, Created: got[0].Created},
		{ID: "bob", State: server.UserDisabled, Locks: []server.Lock{}, Created: got[1].Created},
		{ID: "carol", State: server.UserEnabled, Locks: []server.Lock{}, Created: got[2].Created, Seen: seen},
		{ID: "dave", State: server.UserEnabled, Locks: []server.Lock{}, Created: got[3].Created},
	}
	// The operator's clock is this machine's, by which those locks are long over.
	op := server.OperatorAt(r.op, r.clock.Now)
	r.op = op
	if got = r.usersOf(server.UserFilter{}); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for state, wanted := range map[server.UserState]string{server.UserLocked: "alice", server.UserDisabled: "bob", server.UserEnabled: "carol dave"} {
		var ids []string
		for _, u := range r.usersOf(server.UserFilter{State: state}) {
			ids = append(ids, string(u.ID))
		}
		if strings.Join(ids, " ") != wanted {
			t.Errorf("%s: %v", state, ids)
		}
	}
	if got := r.usersOf(server.UserFilter{After: "carol"}); len(got) != 1 || got[0].ID != "dave" {
		t.Errorf("after carol: %+v", got)
	}
	one, err := op.User(t.Context(), "alice")
	if err != nil || !reflect.DeepEqual(one, want[0]) {
		t.Errorf("one: %+v, %v", one, err)
	}
}

// A backup from before users could be disabled is restored: then they are enabled.
func TestRestoreOlderBackup(t *testing.T) {
	r := newRig(t)
	r.disable("bob", true)
	var backup, older bytes.Buffer
	_, err := r.op.Backup(t.Context(), &backup)
	must(t, err)
	lines := strings.Split(strings.TrimSuffix(backup.String(), "\n"), "\n")
	lines = lines[:len(lines)-1]
	rows, inUsers := 0, false
	for _, line := range lines {
		if strings.HasPrefix(line, "[") {
			rows++
			if inUsers {
				var row []any
				must(t, json.Unmarshal([]byte(line), &row))
				text, err := json.Marshal(row[:3])
				must(t, err)
				line = string(text)
			}
		} else if inUsers = strings.HasPrefix(line, `{"table":"users"`); inUsers {
			line = `{"table":"users","columns":["id","password_hash","created"]}`
		}
		older.WriteString(line + "\n")
	}
	sum := sha256.Sum256(older.Bytes())
	end, err := json.Marshal(map[string]any{"rows": rows, "sha256": hex.EncodeToString(sum[:])})
	must(t, err)
	older.Write(append(end, '\n'))

	store, err := sqlite.Create(t.Context(), filepath.Join(t.TempDir(), "cpns.db"))
	must(t, err)
	t.Cleanup(func() { store.Close() })
	if n, err := server.Restore(t.Context(), store, r.key, &older); err != nil || n != rows {
		t.Fatalf("restoring: %d of %d rows, %v", n, rows, err)
	}
	r.op, err = server.NewOperator(t.Context(), store, r.key, "tester")
	must(t, err)
	for _, u := range r.usersOf(server.UserFilter{}) {
		if u.State != server.UserEnabled || !u.Seen.IsZero() {
			t.Errorf("%+v", u)
		}
	}
}
