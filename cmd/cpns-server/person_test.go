package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestPerson(t *testing.T) {
	names := map[int]string{0: "root", 1000: "alice", 1001: "bob", 999: "cpns-server"}
	lookup := func(uid int) string {
		if name, ok := names[uid]; ok {
			return name
		}
		return fmt.Sprintf("uid %d", uid)
	}
	for _, c := range []struct{ process, login, user, uid, want string }{
		{"root", "", "", "", "root"},
		{"root", "0", "", "", "root"},
		{"root", noLogin, "", "", "root"},
		{"alice", "1000", "", "", "alice"},
		{"root", "1000", "alice", "1000", "root (login alice)"},
		{"cpns-server", "1000", "root", "0", "cpns-server (login alice, sudo says root)"},
		{"root", "1000", "", "", "root (login alice)"}, // su
		{"root", "1234", "", "", "root (login uid 1234)"},
		{"root", noLogin, "alice", "1000", "root (sudo says alice)"},
		{"root", "", "", "1001", "root (sudo says bob)"},
		{"root", "", "alice", "", "root (sudo says alice)"},
		// What is in the environment may be anybody's.
		{"root", "1000", "bob", "1001", "root (login alice, sudo says bob)"},
		{"root", "1000", "alice", "1001", "root (login alice, sudo says alice with the UID 1001)"},
		{"root", "0", "alice)\nroot (login bob", "1000", "root (sudo says a name that is none with the UID 1000)"},
		{"root", "0", "login bob", "", "root (sudo says a name that is none)"},
		{"root", "0", strings.Repeat("a", 65), "", "root (sudo says a name that is none)"},
		{"root", "0", "bob\x00", "", "root (sudo says a name that is none)"},
		{"root", "0", "bob", "-1", "root (sudo says bob with a UID that is none)"},
		{"root", "0", "bob", "99999999999", "root (sudo says bob with a UID that is none)"},
		{"root", "nobody", "", "", "root"},
		{"root", "99999999999", "", "", "root"},
		{"root", "0", `CORP\alice`, "", `root (sudo says CORP\alice)`},
	} {
		p := person{c.process, c.login, c.user, c.uid, lookup}
		if got := p.String(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c, got, c.want)
		}
	}
}
