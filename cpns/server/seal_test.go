package server

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"cpns.example.net/pngw/cpns"
)

func testVault(t *testing.T, key byte) *vault {
	t.Helper()
	v, err := newVault(&MasterKey{key}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	v := testVault(t, 1)
	secret := []byte("sixteen byte key")
	sealed, err := v.seal(columnTK, "pne-1", secret)
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.seal(columnTK, "pne-1", secret)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(sealed, again) {
		t.Error("sealed twice with one nonce")
	}
	altered := func(n int) Sealed {
		b := bytes.Clone(sealed)
		b[n] ^= 1
		return b
	}
	tests := []struct {
		name   string
		vault  *vault
		column column
		row    string
		sealed Sealed
		ok     bool
	}{
		{"as it was", v, columnTK, "pne-1", sealed, true},
		{"under another master key", testVault(t, 2), columnTK, "pne-1", sealed, false},
		{"in another row", v, columnTK, "pne-2", sealed, false},
		{"in another column", v, column{"pnes", "other"}, "pne-1", sealed, false},
		{"in another table", v, column{"other", "tk"}, "pne-1", sealed, false},
		{"names run together", v, column{"pnest", "k"}, "pne-1", sealed, false},
		{"another version", v, columnTK, "pne-1", altered(0), false},
		{"another key ID", v, columnTK, "pne-1", altered(1), false},
		{"another nonce", v, columnTK, "pne-1", altered(5), false},
		{"another ciphertext", v, columnTK, "pne-1", altered(30), false},
		{"another tag", v, columnTK, "pne-1", altered(len(sealed) - 1), false},
		{"truncated", v, columnTK, "pne-1", sealed[:len(sealed)-1], false},
		{"the nonce only", v, columnTK, "pne-1", sealed[:29], false},
		{"shorter than a nonce", v, columnTK, "pne-1", sealed[:28], false},
		{"half a key ID", v, columnTK, "pne-1", sealed[:3], false},
		{"the version only", v, columnTK, "pne-1", sealed[:1], false},
		{"version 1, nothing more", v, columnTK, "pne-1", Sealed{1}, false},
		{"empty", v, columnTK, "pne-1", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.vault.open(tt.column, tt.row, tt.sealed)
			if (err == nil) != tt.ok || tt.ok && !bytes.Equal(got, secret) {
				t.Errorf("got %d bytes, error %v, want it opened: %v", len(got), err, tt.ok)
			}
			if err != nil && strings.Contains(err.Error(), string(secret)) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

// The tag covers the gateway and every field of the request, and needs the key.
func TestRequestTag(t *testing.T) {
	v := testVault(t, 1)
	req := cpns.EUKeyAssignmentRequest{EntityID: "pne", UserID: "alice", Time: 5}
	tags := map[Tag]string{v.requestTag(requestContent("gw", &req)): "the request"}
	if tag := v.requestTag(requestContent("gw", &req)); tags[tag] == "" {
		t.Error("the same request has another tag")
	}
	add := func(what string, tag Tag) {
		if tags[tag] != "" {
			t.Errorf("%s has the tag of %s", what, tags[tag])
		}
		tags[tag] = what
	}
	change := func(what string, f func(*cpns.EUKeyAssignmentRequest)) {
		other := req
		f(&other)
		add(what, v.requestTag(requestContent("gw", &other)))
	}
	add("another gateway", v.requestTag(requestContent("gw2", &req)))
	add("another key", testVault(t, 2).requestTag(requestContent("gw", &req)))
	change("another PNE", func(r *cpns.EUKeyAssignmentRequest) { r.EntityID = "pne2" })
	change("another user", func(r *cpns.EUKeyAssignmentRequest) { r.UserID = "bob" })
	change("a border moved", func(r *cpns.EUKeyAssignmentRequest) { r.EntityID, r.UserID = "pnea", "lice" })
	change("another RAND_PNGW", func(r *cpns.EUKeyAssignmentRequest) { r.RandPNGW[31] = 1 })
	change("another time", func(r *cpns.EUKeyAssignmentRequest) { r.Time = 6 })
	change("other user authentication data", func(r *cpns.EUKeyAssignmentRequest) { r.UserAuthenticationData[31] = 1 })
}

// The tag of a PSK1 is of the whole PSK1, needs the key, and is none of a request.
func TestPSK1Tag(t *testing.T) {
	v := testVault(t, 1)
	psk := cpns.PSK1("0123456789abcdef")
	tag := v.psk1Tag(psk)
	if v.psk1Tag(bytes.Clone(psk)) != tag {
		t.Error("the same PSK1 has another tag")
	}
	for name, other := range map[string]Tag{
		"with a zero behind":  v.psk1Tag(append(bytes.Clone(psk), 0)),
		"under another key":   testVault(t, 2).psk1Tag(psk),
		"as if of a request":  tagOf(v.state.Load().current.requestKey, psk),
		"without its last":    v.psk1Tag(psk[:15]),
		"of a plain HMAC key": tagOf(nil, psk),
	} {
		if other == tag {
			t.Errorf("%s: the same tag", name)
		}
	}
}

func TestMasterKeyRedacted(t *testing.T) {
	key := MasterKey{0: 0xab, 31: 0xcd}
	var log bytes.Buffer
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{} // its digits are not the key's
		}
		return a
	}
	slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{ReplaceAttr: noTime})).Info("x", "key", key, "pointer", &key)
	shown := fmt.Sprintf("%v %+v %#v %x %s %q %d", key, &key, key, key, key, key, key) + log.String()
	for _, leak := range []string{"ab", "171", "cd", "205"} {
		if strings.Contains(shown, leak) {
			t.Errorf("%q shows %q", shown, leak)
		}
	}
	if _, err := json.Marshal(key); err == nil {
		t.Error("marshaled as JSON")
	}
}
