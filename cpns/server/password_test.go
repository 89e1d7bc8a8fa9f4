package server_test

import (
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// One password has several encodings, by keyboard and system: the user who was
// added with one of them gets in with its other form too, and with nothing else.
func TestPasswordForms(t *testing.T) {
	const composed, decomposed = "p\u00e4ssw\u00f6rd \u2603", "pa\u0308sswo\u0308rd \u2603"
	for name, added := range map[string]string{"composed": composed, "decomposed": decomposed, "mixed": "p\u00e4sswo\u0308rd \u2603"} {
		t.Run("added "+name, func(t *testing.T) {
			r := newRig(t)
			must(t, r.op.SetPassword(t.Context(), "alice", server.HashPassword("alice", []byte(added))))
			for typed, want := range map[string]cpns.AssignmentStatus{
				composed:               cpns.Success,
				decomposed:             cpns.Success,
				"passw\u00f6rd \u2603": cpns.UserAuthenticationFailed,
				"password \u2603":      cpns.UserAuthenticationFailed,
			} {
				hash := cpns.HashPassword("alice", []byte(typed)) // the gateway hashes what was typed
				r.users["alice"] = &hash
				if got := r.ask("gw-1", r.request("alice", "pne-1")).Status; got != want {
					t.Errorf("%q: got %v, want %v", typed, got, want)
				}
			}
		})
	}
}

// A password that has one form is one hash twice, whatever bytes it is made of.
func TestPasswordOneForm(t *testing.T) {
	for _, password := range []string{"correct horse", "\xff\xfe no text", "\u2603"} {
		h := server.HashPassword("alice", []byte(password))
		if want := cpns.HashPassword("alice", []byte(password)); h.NFC != want || h.NFD != want {
			t.Errorf("%q: other hashes than of the password as it is", password)
		}
	}
	h := server.HashPassword("alice", []byte("\u00e9"))
	if h.NFC == h.NFD || h.NFC != cpns.HashPassword("alice", []byte("\u00e9")) || h.NFD != cpns.HashPassword("alice", []byte("e\u0301")) {
		t.Error("\u00e9: not the hashes of its two forms")
	}
}
