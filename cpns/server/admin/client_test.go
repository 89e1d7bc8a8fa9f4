package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// asClient is a Client of a role, by the address of the rig or of something in between.
func (r *rig) asClient(role server.Role, at string) *Client {
	r.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(r.ca.cert)
	c, err := NewClient(ClientConfig{URL: at, Token: r.tokens[role], TLS: &tls.Config{RootCAs: pool}})
	must(r.t, err)
	r.t.Cleanup(func() { c.Close() })
	return c
}

// A lossy way to the server: it passes requests on, and where lose says so, cuts the
// connection in place of the answer, after the server has done what was asked.
func (r *rig) lossy(lose func(n int64, req *http.Request) bool) string {
	r.t.Helper()
	to, err := url.Parse(r.url)
	must(r.t, err)
	var n atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(to)
	pool := x509.NewCertPool()
	pool.AddCert(r.ca.cert)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	proxy.ErrorLog = nil
	proxy.ModifyResponse = func(res *http.Response) error {
		if lose(n.Add(1), res.Request) {
			return errors.New("lost")
		}
		return nil
	}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			c.Close()
		}
	}
	cert := r.ca.sign(r.t, &x509.Certificate{NotBefore: r.clock.Now().Add(-time.Hour), NotAfter: r.clock.Now().AddDate(0, 1, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	must(r.t, err)
	s := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ln) }()
	r.t.Cleanup(func() { s.Close(); <-done; proxy.Transport.(*http.Transport).CloseIdleConnections() })
	return "https://" + ln.Addr().String()
}

// Whatever answers are lost, what was asked for is done once, and said to be done.
func TestLostAnswers(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	// Every answer to a change is lost the first time.
	lost := make(map[string]bool)
	at := r.lossy(func(n int64, req *http.Request) bool {
		key := req.Header.Get(idempotencyKey)
		if key == "" || lost[key] {
			return false
		}
		lost[key] = true
		return true
	})
	c := r.asClient(server.RoleOperator, at)
	must(t, c.Users(ctx, server.UserFilter{}, func(server.UserStatus) error { return nil })) // it is there
	h := &server.PasswordHashes{NFC: cpns.PasswordHash{1}, NFD: cpns.PasswordHash{2}}
	must(t, c.AddUser(ctx, "alice", h))
	if changed, err := c.Unlock(ctx, "alice"); changed || err != nil {
		t.Errorf("unlocked one who was not locked out: %v, %v", changed, err)
	}
	if changed, err := c.SetDisabled(ctx, "alice", true); !changed || err != nil {
		t.Errorf("disabled: %v, %v", changed, err)
	}
	code, err := c.MakeCode(ctx, server.CodeRequest{Uses: 2, Valid: time.Hour, Server: "127.0.0.1:8443"})
	must(t, err)
	if _, err := cpns.ParseEnrolmentCode(code.Code); err != nil {
		t.Errorf("the code: %v", err)
	}
	must(t, c.RemoveUser(ctx, "alice"))
	if len(lost) != 5 {
		t.Errorf("%d answers were lost", len(lost))
	}
	kinds := make(map[server.EventKind]int)
	must(t, r.op.Audit(ctx, time.Time{}, func(e server.Event) error { kinds[e.Kind]++; return nil }))
	for _, kind := range []server.EventKind{server.EventUserAdded, server.EventGatewayInvited, server.EventUserRemoved} {
		if kinds[kind] != 1 {
			t.Errorf("%s: %d times", kind, kinds[kind])
		}
	}

	// A second time it would be refused: the answers were those of the first.
	if err := c.RemoveUser(ctx, "alice"); !errors.Is(err, server.ErrNotFound) {
		t.Errorf("removed again: %v", err)
	}
}

// A part of an import whose answer was lost counts as imported, and nothing is there
// twice.
func TestLostImport(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	var imports atomic.Int64
	at := r.lossy(func(_ int64, req *http.Request) bool {
		return strings.HasSuffix(req.URL.Path, "/import") && imports.Add(1)%2 == 1
	})
	c := r.asClient(server.RoleOperator, at)
	must(t, c.Users(ctx, server.UserFilter{}, func(server.UserStatus) error { return nil }))
	csv := "entity_id,tk\npne-1,00112233445566778899aabbccddeeff\npne-2,10112233445566778899aabbccddeeff\n"
	got, err := c.ImportPNEs(ctx, strings.NewReader(csv), server.ImportOptions{})
	must(t, err)
	if got != (server.ImportResult{Good: 2, Imported: 2}) || imports.Load() != 4 {
		t.Errorf("%+v by %d requests", got, imports.Load())
	}
	// Who imports them again is told that they are there.
	var bad []string
	got, err = c.ImportPNEs(ctx, strings.NewReader(csv), server.ImportOptions{Partial: true, Bad: func(e *server.RowError) { bad = append(bad, e.Error()) }})
	must(t, err)
	if got.Imported+got.Bad != 2 {
		t.Errorf("again: %+v %v", got, bad)
	}
}

// What is not to be done twice is not asked for twice.
func TestLostToken(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	c := r.asClient(server.RoleAdmin, r.lossy(func(_ int64, req *http.Request) bool { return req.Method == http.MethodPost }))
	must(t, c.Users(ctx, server.UserFilter{}, func(server.UserStatus) error { return nil }))
	if _, _, err := c.AddToken(ctx, "new", server.RoleAuditor, time.Hour); err == nil {
		t.Error("an answer that was lost is no error")
	}
	n := 0
	must(t, c.Credentials(ctx, func(k server.Credential) error {
		if k.Name == "new" {
			n++
		}
		return nil
	}))
	if n != 1 {
		t.Errorf("%d tokens were made", n)
	}
}

// A Client has the errors that an Operator has, with what they carry, and gives the same
// lists.
func TestClientIsAnOperator(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	c := r.asClient(server.RoleAdmin, r.url)
	addPending(r)
	addInvitation(r)
	h := &server.PasswordHashes{NFC: cpns.PasswordHash{1}, NFD: cpns.PasswordHash{2}}
	must(t, c.AddUser(ctx, "alice", h))
	psk := cpns.PSK1(strings.Repeat("k", 32))
	must(t, c.AddGateway(ctx, "gw-1", "id-1", psk))
	must(t, c.AddGatewayIMPI(ctx, "gw-2", "a@example"))
	must(t, c.SetIMPI(ctx, "gw-2", "b@example"))
	addPNE(r)
	if changed, err := c.GiveTo(ctx, "pne-1", "alice"); !changed || err != nil {
		t.Errorf("given: %v, %v", changed, err)
	}
	_, err := c.AddCertificate(ctx, "Carol Jones", server.RoleAuditor, time.Hour)
	must(t, err)

	for what, same := range map[string][2]any{
		"users":       {all(t, func(f func(server.UserStatus) error) error { return r.op.Users(ctx, server.UserFilter{}, f) }), all(t, func(f func(server.UserStatus) error) error { return c.Users(ctx, server.UserFilter{}, f) })},
		"invitations": {all(t, func(f func(server.Invitation) error) error { return r.op.Invitations(ctx, unsecret(f)) }), all(t, func(f func(server.Invitation) error) error { return c.Invitations(ctx, f) })},
		"PNEs": {all(t, func(f func(server.PNE) error) error {
			return r.op.PNEs(ctx, server.PNEFilter{}, func(p server.PNE) error { p.TK = nil; return f(p) })
		}), all(t, func(f func(server.PNE) error) error { return c.PNEs(ctx, server.PNEFilter{}, f) })},
		"events": {all(t, func(f func(server.Event) error) error {
			return r.op.Audit(ctx, time.Time{}, func(e server.Event) error { e.MAC = server.Event{}.MAC; return f(e) })
		}), all(t, func(f func(server.Event) error) error { return c.Audit(ctx, time.Time{}, f) })},
		"credentials": {all(t, func(f func(server.Credential) error) error {
			return r.op.Credentials(ctx, func(k server.Credential) error { k.Hash = nil; return f(k) })
		}), all(t, func(f func(server.Credential) error) error { return c.Credentials(ctx, f) })},
		"gateways": {all(t, func(f func(server.GatewayWithKeys) error) error {
			return r.op.Gateways(ctx, func(g server.Gateway, keys []server.PSK1) error {
				for n := range keys {
					keys[n].Key, keys[n].Tag = nil, server.Tag{}
				}
				return f(server.GatewayWithKeys{Gateway: g, PSK1s: keys})
			})
		}), all(t, func(f func(server.GatewayWithKeys) error) error {
			return c.Gateways(ctx, func(g server.Gateway, keys []server.PSK1) error {
				return f(server.GatewayWithKeys{Gateway: g, PSK1s: keys})
			})
		})},
		"pending": {all(t, func(f func(string) error) error {
			return r.op.Pending(ctx, func(e server.Enrolment, k []server.Conflict) error { return f(fmt.Sprintf("%+v %+v", e, k)) })
		}), all(t, func(f func(string) error) error {
			return c.Pending(ctx, func(e server.Enrolment, k []server.Conflict) error { return f(fmt.Sprintf("%+v %+v", e, k)) })
		})},
	} {
		if !reflect.DeepEqual(same[0], same[1]) || reflect.ValueOf(same[0]).Len() == 0 {
			t.Errorf("%s: the operator has\n%+v\nand the client\n%+v", what, same[0], same[1])
		}
	}

	wantErr := func(what string, err, want error) {
		t.Helper()
		if want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	wantErr("a user who is there", c.AddUser(ctx, "alice", h), server.ErrExists)
	wantErr("a user who is not", c.RemoveUser(ctx, "bob"), server.ErrNotFound)
	if owns, ok := errors.AsType[*server.OwnsError](c.RemoveUser(ctx, "alice")); !ok || owns.PNEs != 1 || owns.User != "alice" {
		t.Errorf("an owner: %+v", owns)
	}
	if same, ok := errors.AsType[*server.SamePSK1Error](c.AddGateway(ctx, "gw-3", "gw-3", psk)); !ok || same.Gateway != "gw-1" {
		t.Errorf("the same PSK1: %+v", same)
	}
	_, err = c.GiveTo(ctx, "pne-1", "bob")
	if none, ok := errors.AsType[*server.NoUserError](err); !ok || none.User != "bob" {
		t.Errorf("to nobody: %v", err)
	}
	_, err = c.Approve(ctx, server.Approval{Fingerprint: cpns.SPKIHash{2}.Fingerprint()})
	if known, ok := errors.AsType[*server.KnownKeyError](err); !ok || known.Gateway == "" {
		t.Errorf("a known key: %v", err)
	}
	_, err = c.Approve(ctx, server.Approval{Fingerprint: cpns.SPKIHash{1}.Fingerprint(), ID: "gw-1"})
	if conflict, ok := errors.AsType[*server.ConflictError](err); !ok || len(conflict.Conflicts) != 1 || conflict.Conflicts[0].Gateway != "gw-1" || conflict.Conflicts[0].Reason == "" {
		t.Errorf("another's name: %v", err)
	}
	err = c.SetTK(ctx, "pne-1", cpns.TK(strings.Repeat("\x00", 16)))
	if no, ok := errors.AsType[*server.RefusalError](err); !ok || !strings.Contains(no.Reason, "all its bytes are the same") {
		t.Errorf("a TK of zeros: %v", err)
	}
	_, err = c.MakeCode(ctx, server.CodeRequest{Uses: 1, Valid: time.Hour})
	wantErr("a code to nowhere", err, server.ErrNoHost)
	no := r.asClient(server.RoleAuditor, r.url).RemoveUser(ctx, "alice")
	if answer, ok := errors.AsType[*AnswerError](no); !ok || answer.Status != 403 {
		t.Errorf("an auditor: %v", no)
	}
}

func all[T any](t *testing.T, each func(func(T) error) error) (rows []T) {
	t.Helper()
	must(t, each(func(v T) error { rows = append(rows, v); return nil }))
	return rows
}

func unsecret(f func(server.Invitation) error) func(server.Invitation) error {
	return func(i server.Invitation) error { i.Secret = nil; return f(i) }
}

func TestFollow(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := r.asClient(server.RoleAuditor, r.url)
	seen := make(chan server.Event, 100)
	done := make(chan error, 1)
	go func() {
		done <- c.Follow(ctx, time.Time{}, func(e server.Event) error { seen <- e; return nil }, func(error) {})
	}()
	for range 3 { // the tokens of the rig
		if e := <-seen; e.Kind != server.EventTokenAdded {
			t.Errorf("%+v", e)
		}
	}
	must(t, r.op.AddUser(ctx, "alice", new(server.PasswordHashes)))
	if e := <-seen; e.Kind != server.EventUserAdded || e.User != "alice" {
		t.Errorf("%+v", e)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(seen) > 0 {
		t.Errorf("once more: %+v", <-seen)
	}
}

// Who follows the log from elsewhere misses no event either: not one that comes after two
// thousand with higher numbers, nor what comes while the server is away.
func TestFollowLate(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := server.Tables[slices.IndexFunc(server.Tables, func(t *server.Table) bool { return t.Name == "events" })]
	row := func(seq int64) server.Row {
		return server.Row{seq, r.clock.Now().UnixMilli(), string(server.EventAssigned), "", "", "", int64(1), "late", "", []byte{}}
	}
	add := func(seqs ...int64) {
		t.Helper()
		var rows []server.Row
		for _, seq := range seqs {
			rows = append(rows, row(seq))
		}
		must(t, r.store.Update(ctx, func(tx server.Tx) error { return tx.AddRows(events, rows) }))
	}
	var cut atomic.Bool
	c := r.asClient(server.RoleAuditor, r.lossy(func(int64, *http.Request) bool { return cut.Load() }))
	seen, told, done := make(chan int64, 4000), make(chan error, 10), make(chan error, 1)
	const first = 3 // events of the rig itself
	late := []int64{first + 2, 900}
	var seqs []int64
	for seq := int64(first + 1); seq <= 2400; seq++ {
		if !slices.Contains(late, seq) {
			seqs = append(seqs, seq)
		}
	}
	add(seqs...)
	go func() {
		done <- c.Follow(ctx, time.Time{}, func(e server.Event) error { seen <- e.Seq; return nil }, func(err error) { told <- err })
	}()
	want := func(want int64) {
		t.Helper()
		select {
		case seq := <-seen:
			if seq != want {
				t.Fatalf("got event %d, want %d", seq, want)
			}
		case err := <-done:
			t.Fatalf("it ended before event %d: %v", want, err)
		case <-time.After(time.Minute):
			t.Fatalf("event %d does not come", want)
		}
	}
	for seq := int64(1); seq <= first; seq++ {
		want(seq)
	}
	for _, seq := range seqs {
		want(seq)
	}
	for _, seq := range late {
		add(seq)
		want(seq)
	}
	cut.Store(true)
	if err := <-told; err == nil {
		t.Error("it is away, and nobody is told")
	}
	add(2401, 2403)
	cut.Store(false)
	if err := <-told; err != nil {
		t.Errorf("it is back: %v", err)
	}
	want(2401)
	want(2403)
	add(2402)
	want(2402)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(seen) > 0 {
		t.Errorf("event %d once more", <-seen)
	}
}

func TestClientRefusesAddresses(t *testing.T) {
	for _, at := range []string{"", "http://host:1", "https://", "host:1", "https://host/path", "https://user:pw@host", "https://host?x", "https://host#x", "https://ho st"} {
		if _, err := NewClient(ClientConfig{URL: at}); err == nil {
			t.Errorf("%q is an address", at)
		}
	}
}

// What answers is no admin API, or a hostile one.
func TestHostileServer(t *testing.T) {
	r := newRig(t)
	answers := map[string]func(http.ResponseWriter){
		"HTML": func(w http.ResponseWriter) { w.WriteHeader(404); w.Write([]byte("<html>")) },
		"another JSON": func(w http.ResponseWriter) {
			w.WriteHeader(403)
			w.Write([]byte(`{"type":"about:blank","status":403}`))
		},
		"a redirect": func(w http.ResponseWriter) { w.Header().Set("Location", "https://evil.example/"); w.WriteHeader(307) },
		"no JSON":    func(w http.ResponseWriter) { w.Write([]byte("ok")) },
		"an endless one": func(w http.ResponseWriter) {
			w.Write([]byte(`{"items":[`))
			for range answerBytes / 1024 {
				w.Write([]byte(strings.Repeat(" ", 1200)))
			}
		},
	}
	for what, answer := range answers {
		cert := r.ca.sign(t, &x509.Certificate{NotBefore: r.clock.Now().Add(-time.Hour), NotAfter: r.clock.Now().AddDate(0, 1, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
		ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		must(t, err)
		s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) })}
		go s.Serve(ln)
		c := r.asClient(server.RoleAdmin, "https://"+ln.Addr().String())
		if err := c.PNEs(t.Context(), server.PNEFilter{}, func(server.PNE) error { return nil }); err != errAnswer {
			t.Errorf("%s: %v", what, err)
		}
		s.Close()
	}
}
