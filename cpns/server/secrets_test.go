package server_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"cpns.example.net/pngw/cpns"
)

// Nothing secret lies in the clear in the database, its log or the server's log,
// whatever has been asked.
func TestSecretsNowhere(t *testing.T) {
	site := newSite(t)
	r, u := site.rig, newUnit(t)
	invitation := site.invite(t, "", 2)
	site.enrol(t, u, invitation, nil).wantApproved(t)
	secrets := map[string][]byte{"master key": r.key[:], "PSK1 from TLS": site.psk1(t, u).psk, "secret of an invitation": invitation[:]}
	for id, hash := range r.users {
		secrets["Hash(Password) of "+string(id)] = hash[:]
	}
	for id, psk := range r.gateways {
		secrets["PSK1 of "+string(id)] = psk
	}
	for id, tk := range r.pnes {
		secrets["TK of "+string(id)] = tk
	}
	req := r.request("alice", "pne-1")
	got := r.wantStatus("gw-1", req, cpns.Success)
	r.wantStatus("gw-1", req, cpns.Success)
	for n, key := range got.EUKeys {
		secrets["EUKey "+string(rune('0'+n%10))] = key[:]
	}
	wrong := r.wrong("alice", "pne-1")
	r.wantStatus("gw-1", wrong, cpns.UserAuthenticationFailed)
	secrets["user authentication data"] = req.UserAuthenticationData[:]
	secrets["wrong user authentication data"] = wrong.UserAuthenticationData[:]
	r.post([]byte("nonsense"))
	r.wantStatus("gw-1", r.request("bob", "pne-1"), cpns.PNEOwnedByAnotherUser)

	places := map[string][]byte{"log": []byte(r.log.String())}
	files, err := filepath.Glob(r.path + "*")
	must(t, err)
	if len(files) < 2 {
		t.Fatalf("the database is in %v, want a log beside it", files)
	}
	for _, file := range files {
		places[file], err = os.ReadFile(file)
		must(t, err)
	}
	if all := bytes.Join([][]byte{places[files[0]], places[r.path+"-wal"]}, nil); !bytes.Contains(all, []byte("pne-1")) {
		t.Fatal("not even the Entity ID is in the database")
	}
	for name, secret := range secrets {
		forms := [][]byte{secret, []byte(hexOf(secret)), []byte(base64.StdEncoding.EncodeToString(secret)), secret[:len(secret)/2]}
		for place, content := range places {
			for _, form := range forms {
				if bytes.Contains(content, form) {
					t.Errorf("%s is in %s", name, place)
				}
			}
		}
	}
}

// A secret that was moved to another row does not open there.
func TestMovedSecret(t *testing.T) {
	r := newRig(t)
	p1, p2 := r.pne("pne-1"), r.pne("pne-2")
	if bytes.Equal(p1.TK, p2.TK) {
		t.Fatal("the two are the same")
	}
	r.moveTK(p1.TK, "pne-moved")
	body := r.seal("gw-1", r.request("alice", "pne-moved"))
	res, answer := r.post(body)
	wantProblem(t, res, answer, 503)
	if p := r.pne("pne-moved"); p.Owner != "" || p.Epoch != 0 {
		t.Errorf("the PNE changed: %+v", p)
	}
}
