package admin

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func TestCertificates(t *testing.T) {
	r := newRig(t)
	now := r.clock.Now()
	_, err := r.op.AddCertificate(t.Context(), "Alice Smith", server.RoleOperator, time.Hour)
	must(t, err)
	alice := r.with(r.ca.forClient(t, "Alice Smith", now))
	g := r.ask(asked{method: "GET", path: "/whoami", client: alice})
	var who self
	must(t, json.Unmarshal(g.body, &who))
	if who.Name != "Alice Smith" || who.Kind != server.KindCertificate || who.Role != server.RoleOperator {
		t.Errorf("got %+v", who)
	}
	r.want("add a user", r.ask(asked{method: "POST", path: "/users", body: `{"user":"u","password":"p"}`, client: alice}), 201, "")
	r.want("list tokens", r.ask(asked{method: "GET", path: "/tokens", client: alice}), 403, kindForbidden)
	var sources []string
	must(t, r.op.Audit(t.Context(), time.Time{}, func(e server.Event) error { sources = append(sources, e.Source); return nil }))
	if got := sources[len(sources)-1]; got != "operator Alice Smith by certificate from 127.0.0.1" {
		t.Errorf("the audit log says %q", got)
	}

	// Nobody has let them in, or they are no client certificates of the CA that hold.
	r.want("another name", r.ask(asked{method: "GET", path: "/whoami", client: r.with(r.ca.forClient(t, "Bob", now))}), 401, kindUnauthorized)
	r.want("a token's name", r.ask(asked{method: "GET", path: "/whoami", client: r.with(r.ca.forClient(t, "admin", now))}), 401, kindUnauthorized)
	forServer := r.ca.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Alice Smith"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	ended := r.ca.forClient(t, "Alice Smith", now.Add(-48*time.Hour))
	foreign := newAuthority(t, now).forClient(t, "Alice Smith", now)
	for what, cert := range map[string]tls.Certificate{"of a server": forServer, "ended": ended, "of another CA": foreign} {
		// crypto/tls shows none that the CA's name does not fit; hostile programs do.
		client := r.with()
		client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		if g, err := r.try(asked{method: "GET", path: "/whoami", client: client}); err == nil {
			t.Errorf("a certificate %s: %d", what, g.status)
		}
	}

	must(t, r.op.RemoveCredential(t.Context(), "Alice Smith"))
	r.want("after its removal", r.ask(asked{method: "GET", path: "/whoami", client: alice}), 401, kindUnauthorized)
}

// A wrong token costs its address one of a few tries; who is known goes on all the same.
func TestWrongTokens(t *testing.T) {
	r := newRig(t)
	right := r.tokens[server.RoleAuditor]
	r.want("the right one", r.ask(asked{method: "GET", path: "/whoami", token: right}), 200, "")
	wrong := right[:len(right)-3] + "AAA"
	tooMany := 0
	for range 2 * strangerBurst {
		switch g := r.ask(asked{method: "GET", path: "/whoami", token: wrong}); g.status {
		case 401:
			if tooMany > 0 {
				t.Error("401 after 429")
			}
		case 429:
			tooMany++
		default:
			t.Fatalf("%d %s", g.status, g.body)
		}
	}
	if tooMany != strangerBurst {
		t.Errorf("%d of %d wrong tokens were too many, want %d", tooMany, 2*strangerBurst, strangerBurst)
	}
	r.want("the right one", r.ask(asked{method: "GET", path: "/whoami", token: right}), 200, "")
	r.want("another right one, not known yet", r.ask(asked{method: "GET", path: "/whoami", token: r.tokens[server.RoleAdmin]}), 429, kindTooMany)
	r.clock.advance(time.Minute)
	r.want("a minute later", r.ask(asked{method: "GET", path: "/whoami", token: r.tokens[server.RoleAdmin]}), 200, "")
	for _, header := range []string{"Basic " + right, "Bearer", "Bearer  " + right, right} {
		r.want(header, r.ask(asked{method: "GET", path: "/whoami", header: map[string]string{"Authorization": header}}), 401, kindUnauthorized)
	}
	if strings.Contains(r.log.String(), right[25:]) || strings.Contains(r.log.String(), "AAA") {
		t.Error("a token is in the log")
	}
}

// IDs may have any printable character in them.
func TestOddIDs(t *testing.T) {
	r := newRig(t)
	token := r.tokens[server.RoleAdmin]
	for _, id := range []string{"a/b", "..", ".", "a%2Fb", "?x=1", "#", "a;b", "~", "*", `"`, "{user}", "a+b", "//"} {
		body, err := json.Marshal(map[string]string{"user": id, "password": "x"})
		must(t, err)
		r.want("add "+id, r.ask(asked{method: "POST", path: "/users", token: token, body: string(body)}), 201, "")
		path := "/users/" + pathEscape(id)
		g := r.ask(asked{method: "GET", path: path, token: token})
		var u user
		must(t, json.Unmarshal(g.body, &u))
		if string(u.User) != id {
			t.Errorf("%s: got %d %q", id, g.status, u.User)
		}
		r.want("remove "+id, r.ask(asked{method: "DELETE", path: path, token: token}), 204, "")
	}
}

// pages reads a listing to its end.
func pages[T any](r *rig, path string) (all []T) {
	r.t.Helper()
	next := ""
	for n := 0; n == 0 || next != ""; n++ {
		at := path
		if next != "" {
			at += "&after=" + url.QueryEscape(next)
		}
		var l list[T]
		g := r.ask(asked{method: "GET", path: at, token: r.tokens[server.RoleAuditor]})
		if g.status != 200 {
			r.t.Fatalf("%s: %d %s", at, g.status, g.body)
		}
		must(r.t, json.Unmarshal(g.body, &l))
		all, next = append(all, l.Items...), l.Next
		if n > 1000 {
			r.t.Fatal("no end")
		}
	}
	return all
}

func TestPages(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	csv := "entity_id,tk\n"
	for n := range 25 {
		csv += fmt.Sprintf("pne-%02d,%032x\n", n, 1<<20+n)
		must(t, r.op.AddUser(ctx, cpns.UserID(fmt.Sprintf("user-%02d", n)), new(server.PasswordHashes)))
		must(t, r.op.AddGatewayIMPI(ctx, cpns.GatewayID(fmt.Sprintf("gw-%02d", n)), fmt.Sprintf("impi-%02d@example", n)))
		must(t, r.store.Update(ctx, func(tx server.Tx) error {
			at := r.clock.Now().Add(time.Duration(n%3) * time.Minute)
			return tx.SetEnrolment(server.Enrolment{Key: cpns.SPKIHash{byte(n + 1)}, State: server.EnrolmentPending, First: at, Last: at})
		}))
		_, _, err := r.op.Invite(ctx, "", 1, time.Hour)
		must(t, err)
	}
	_, err := r.op.ImportPNEs(ctx, strings.NewReader(csv), server.ImportOptions{})
	must(t, err)
	_, err = r.op.GiveTo(ctx, "pne-07", "user-03")
	must(t, err)
	_, err = r.op.SetDisabled(ctx, "user-05", true)
	must(t, err)
	count := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	for _, limit := range []string{"1", "5", "7", "25", "1000"} {
		count("users", len(pages[user](r, "/users?limit="+limit)), 25)
		count("users by prefix", len(pages[user](r, "/users?prefix=user-1&limit="+limit)), 10)
		count("a user by prefix", len(pages[user](r, "/users?prefix=user-11&limit="+limit)), 1)
		count("users by state", len(pages[user](r, "/users?state=disabled&limit="+limit)), 1)
		count("gateways", len(pages[gateway](r, "/gateways?limit="+limit)), 25)
		count("gateways by prefix", len(pages[gateway](r, "/gateways?prefix=gw-0&limit="+limit)), 10)
		count("PNEs", len(pages[pne](r, "/pnes?limit="+limit)), 25)
		count("PNEs by owner", len(pages[pne](r, "/pnes?owner=user-03&state=owned&limit="+limit)), 1)
		count("PNEs by prefix", len(pages[pne](r, "/pnes?prefix=pne-2&limit="+limit)), 5)
		count("invitations", len(pages[invitation](r, "/invitations?limit="+limit)), 25)
		count("events of a PNE", len(pages[event](r, "/audit?pne=pne-07&limit="+limit)), 1)
		count("events", len(pages[event](r, "/audit?limit="+limit)), 25*3+1+1+1+3)
		waiting := pages[enrolment](r, "/enrolments?limit="+limit)
		count("gateways that wait", len(waiting), 25)
		for n := range waiting[1:] {
			if waiting[n+1].First.Before(waiting[n].First) {
				t.Error("gateways that wait are not in order")
			}
		}
	}
	for _, bad := range []string{"/users?limit=0", "/users?limit=1001", "/users?limit=-1", "/users?limit=x", "/users?limit=1&limit=2", "/users?state=x", "/users?%zz", "/users?prefix=%ff", "/pnes?state=x", "/audit?after=x", "/audit?numbers=0", "/audit?numbers=1,,2", "/audit?numbers=x", "/audit?numbers=1&limit=5", "/audit?after=-1", "/audit?since=yesterday"} {
		r.want(bad, r.ask(asked{method: "GET", path: bad, token: r.tokens[server.RoleAuditor]}), 400, kindMalformed)
	}
}

// Of the same request many times at once, each gets the same answer, and one user is
// added once.
func TestSameAtOnce(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			g, err := r.try(asked{method: "POST", path: "/users", body: `{"user":"alice","password":"p"}`, token: r.tokens[server.RoleOperator], header: map[string]string{idempotencyKey: "k"}})
			if err != nil || g.status != 201 {
				t.Errorf("%v, %v", g, err)
			}
		})
	}
	wg.Wait()
	added := 0
	must(t, r.op.Audit(t.Context(), time.Time{}, func(e server.Event) error {
		if e.Kind == server.EventUserAdded {
			added++
		}
		return nil
	}))
	if added != 1 {
		t.Errorf("%d users were added", added)
	}
}

// What goes wrong at the server is told as that, and nothing more.
func TestServerFails(t *testing.T) {
	r := newRig(t)
	r.want("before", r.ask(asked{method: "GET", path: "/users", token: r.tokens[server.RoleAuditor]}), 200, "")
	must(t, r.store.Close())
	g := r.ask(asked{method: "GET", path: "/users", token: r.tokens[server.RoleAuditor]})
	if g.status != 500 && g.status != 503 || strings.Contains(string(g.body), "close") {
		t.Errorf("%d %s", g.status, g.body)
	}
}

// No answer has a secret in it that was sent.
func TestSecretsStay(t *testing.T) {
	r := newRig(t)
	addAlice(r)
	addGW(r)
	addPNE(r)
	for _, path := range []string{"/users", "/users/alice", "/gateways", "/pnes", "/pnes/pne-1", "/audit", "/tokens"} {
		g := r.ask(asked{method: "GET", path: path, token: r.tokens[server.RoleAdmin]})
		for _, secret := range []string{"correct horse", aTK, anotherTK, r.tokens[server.RoleAdmin][23:]} {
			if strings.Contains(strings.ToLower(string(g.body)), strings.ToLower(secret)) {
				t.Errorf("%s shows %q", path, secret)
			}
		}
	}
	if log := r.log.String(); strings.Contains(log, "correct horse") || strings.Contains(log, aTK) {
		t.Errorf("the log: %s", log)
	}
}

func FuzzStrict(f *testing.F) {
	for _, body := range hostileBodies {
		f.Add([]byte(body))
	}
	f.Add([]byte(`{"user":"alice","password":"p"}`))
	f.Add([]byte(`{"user":"alice","hashes":{"nfc":"AAAA","nfd":"AAAA"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, e := range endpoints() {
			if e.body == nil {
				continue
			}
			in, err := e.decode(body)
			if err != nil {
				if p := problemOf(err); p.status != 400 {
					t.Fatalf("%s: %d: %v", e.id, p.status, err)
				}
				continue
			}
			// What is taken means the same when it is written and read again.
			text, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			again, err := e.decode(text)
			if err != nil {
				t.Fatalf("%s: %s, from %q: %v", e.id, text, body, err)
			}
			if second, _ := json.Marshal(again); string(second) != string(text) {
				t.Fatalf("%s: %s, then %s", e.id, text, second)
			}
		}
	})
}

// Strangers who hold all connections that there are make room for who has a credential;
// what everybody may ask for earns no place.
func TestCrowd(t *testing.T) {
	r := newRig(t)
	pool := x509.NewCertPool()
	pool.AddCert(r.ca.cert)
	const most = 256 // of one address
	held := make([]*tls.Conn, 0, most)
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range most {
		c, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), &tls.Config{RootCAs: pool})
		must(t, err)
		held = append(held, c)
		if len(held) > strangerBurst/2 {
			continue
		}
		// At once: where the machine is busy the server does not wait until all are there.
		_, err = c.Write([]byte("GET /admin/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"))
		must(t, err)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	// As many callers as there were strangers get in, one after the other, and stay.
	for n := range most {
		c := r.with()
		c.Transport.(*http.Transport).MaxIdleConnsPerHost = 1
		g, err := r.try(asked{method: "GET", path: "/whoami", token: r.tokens[server.RoleAuditor], client: c})
		if err != nil || g.status != 200 {
			t.Fatalf("caller %d: %v, %v", n, g, err)
		}
	}
}
