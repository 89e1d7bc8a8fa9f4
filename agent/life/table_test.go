package life

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// table is the state machine, every state by every event: what is sent, and the
// state after it. The package doc prints it, which TestTableInDoc holds.
var table = []struct {
	event string
	cells [5]string // requested, assigned, delivered, used_up, alarm
}{
	{"hello, holds nothing", [5]string{"-", "notification", "notification", "-", "-"}},
	{"hello, older epoch", [5]string{"-", "notification", "notification", "-", "-"}},
	{"hello, this epoch", [5]string{"-", "auth-challenge", "auth-challenge", "auth-challenge", "-"}},
	{"hello, newer epoch", [5]string{"-", "-", "-", "-", "-"}},
	{"acknowledgement of the next key", [5]string{"-", "> delivered", "> delivered", "-", "-"}},
	{"response, the key proved last", [5]string{"-", "-", "eukey-update", "eukey-update", "-"}},
	{"response, a later key", [5]string{"-", "eukey-update > delivered", "eukey-update > delivered", "-", "-"}},
	{"response, an older key", [5]string{"-", "-", "> alarm", "> alarm", "-"}},
	{"authenticate", [5]string{"-", "-", "auth-challenge", "auth-challenge", "-"}},
	{"timeout", [5]string{"-", "-", "-", "-", "-"}},
	{"set of a newer epoch", [5]string{"> assigned", "-", "> assigned", "> assigned", "-"}},
	{"set of a newer epoch, reassign", [5]string{"> assigned", "-", "> assigned", "> assigned", "> assigned"}},
	{"readmit", [5]string{"", "", "", "", "identify > delivered"}},
}

var tableStates = [5]State{StateRequested, StateAssigned, StateDelivered, StateUsedUp, StateAlarm}

const tableEpoch = 2

// stateOf makes a machine that is in a state, with a set of 6 keys.
func stateOf(t *testing.T, want State) (*bench, *Set) {
	b := newBench(t)
	s := newSet(tableEpoch, 6)
	s.Gateway = testGateway
	rec := &record{entity: testEntity, user: "alice"}
	switch want {
	case StateRequested:
		rec.request = &Request{User: "alice"}
	case StateDelivered, StateAlarm:
		s.Proved = 3
	case StateUsedUp:
		s.Proved = 6
	}
	if want != StateRequested {
		rec.current = s
	}
	if want == StateAlarm {
		rec.alarm = &alarm{tableEpoch, 3, 2}
	}
	b.p.rec = rec
	if got := b.p.View().State; got != want {
		t.Fatalf("made %s, want %s", got, want)
	}
	return b, s
}

// happen lets a row's event happen, after what must come before it.
func happen(b *bench, s *Set, event string) []Outgoing {
	fresh := func() *Set { return newSet(tableEpoch+1, 6) }
	respond := func(i cpns.Index) []Outgoing {
		if i < 1 || i > s.Length {
			return nil // there is no such key
		}
		if b.p.rec.target() != nil {
			b.p.mem.own()
			b.p, _ = b.p.challenge("wire", nil, b.w)
		}
		key := s.key(i)
		return b.step(cpns.NewAuthResponse(&key, testGateway, &b.p.mem.challenge.randGW, &[16]byte{9}, testEntity, tableEpoch, i))
	}
	switch event {
	case "hello, holds nothing":
		return b.step(b.hello(0, 0))
	case "hello, older epoch":
		return b.step(b.hello(tableEpoch-1, 1))
	case "hello, this epoch":
		return b.step(b.hello(tableEpoch, 1))
	case "hello, newer epoch":
		return b.step(b.hello(tableEpoch+1, 1))
	case "acknowledgement of the next key":
		h := b.hello(0, 0)
		b.step(h)
		key := s.key(min(s.Proved+1, s.Length))
		return b.step(cpns.NewAcknowledgement(&key, answers(b.t, h), testEntity, testGateway, tableEpoch, min(s.Proved+1, s.Length)))
	case "response, the key proved last":
		return respond(s.Proved)
	case "response, a later key":
		return respond(s.Proved + 1)
	case "response, an older key":
		return respond(s.Proved - min(s.Proved, 1))
	case "authenticate":
		return b.step(Authenticate{})
	case "timeout":
		b.w.Now = b.w.Now.Add(time.Hour)
		return b.step(Timeout{})
	case "set of a newer epoch":
		return b.step(Assigned{User: "alice", Set: fresh()})
	case "set of a newer epoch, reassign":
		return b.step(Assigned{User: "alice", Set: fresh(), Reassign: true})
	case "readmit":
		return b.step(Readmit{})
	}
	panic("no such event: " + event)
}

func TestTable(t *testing.T) {
	names := map[cpns.MessageType]string{
		cpns.TypeIdentify: "identify", cpns.TypeNotification: "notification",
		cpns.TypeAuthChallenge: "auth-challenge", cpns.TypeEUKeyUpdate: "eukey-update",
	}
	for _, row := range table {
		for i, from := range tableStates {
			if row.cells[i] == "" {
				continue // Readmit refuses it before it is an event
			}
			t.Run(fmt.Sprintf("%s/%s", from, row.event), func(t *testing.T) {
				b, s := stateOf(t, from)
				got := ""
				for _, m := range happen(b, s, row.event) {
					msg, err := cpns.ParseMessage(m.Wire)
					if err != nil {
						t.Fatal(err)
					}
					got += names[msg.MessageType()]
				}
				if to := b.p.View().State; to != from {
					if got != "" {
						got += " "
					}
					got += "> " + string(to)
				}
				if got == "" {
					got = "-"
				}
				want := row.cells[i]
				if want == "> delivered" && from == StateDelivered || want == "eukey-update > delivered" && from == StateDelivered {
					// The state has the same name, with a later key.
					if b.p.rec.current.Proved != 4 {
						t.Errorf("key %d is proved, want 4", b.p.rec.current.Proved)
					}
					want = map[bool]string{true: "-", false: "eukey-update"}[want == "> delivered"]
				}
				if got != want {
					t.Errorf("got %q, want %q (%s)", got, want, b.p.View().Note)
				}
			})
		}
	}
}

// TestTableInDoc holds the package doc to the table that is tested.
func TestTableInDoc(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(doc), "\n")
	for _, row := range table {
		want := strings.Join(strings.Fields("//\t"+row.event+" "+strings.Join(row.cells[:], " ")), " ")
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Join(strings.Fields(l), " ") == want }) {
			t.Errorf("not in the package doc: %s", want)
		}
	}
}
