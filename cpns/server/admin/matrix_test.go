package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// An example is a request that an endpoint does, and what has to be there before.
type example struct {
	path, body string
	before     func(*rig)
	// refused are requests that give its other answers, by status.
	refused map[int]asked
}

const (
	aPassword = `{"password":"correct horse"}`
	aTK       = "00112233445566778899aabbccddeeff"
	anotherTK = "10112233445566778899aabbccddeeff"
	noSuch    = "AAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGG-HHHH"
)

func addAlice(r *rig) {
	r.post("/users", `{"user":"alice","password":"correct horse"}`)
}

func addPNE(r *rig) {
	r.t.Helper()
	_, err := r.op.ImportPNEs(r.t.Context(), strings.NewReader("entity_id,tk\npne-1,"+aTK+"\npne-2,"+anotherTK+"\n"), server.ImportOptions{})
	must(r.t, err)
}

func addAliceAndPNE(r *rig) { addAlice(r); addPNE(r) }

const anotherPSK1 = "ffeeddccbbaa99887766554433221100"

func addGW(r *rig) { r.post("/gateways", `{"gateway":"gw-1","psk1":"`+aTK+`"}`) }

func (r *rig) post(path, body string) {
	r.t.Helper()
	if g := r.ask(asked{method: "POST", path: path, token: r.tokens[server.RoleAdmin], body: body}); g.status >= 300 {
		r.t.Fatalf("%s: %d %s", path, g.status, g.body)
	}
}

var examples = map[string]example{
	"openAPI":       {path: "/openapi.json"},
	"whoAmI":        {path: "/whoami"},
	"health":        {path: "/health"},
	"listUsers":     {path: "/users"},
	"showUser":      {path: "/users/alice", before: addAlice, refused: map[int]asked{404: {path: "/users/bob"}}},
	"addUser":       {path: "/users", body: `{"user":"alice","password":"correct horse"}`, refused: map[int]asked{409: {path: "/users", body: `{"user":"alice","password":"x"}`}}},
	"removeUser":    {path: "/users/alice", before: addAlice, refused: map[int]asked{404: {path: "/users/bob"}, 409: {path: "/users/carol"}}},
	"setPassword":   {path: "/users/alice/password", body: aPassword, before: addAlice, refused: map[int]asked{404: {path: "/users/bob/password", body: aPassword}}},
	"unlockUser":    {path: "/users/alice/unlock", before: addAlice, refused: map[int]asked{404: {path: "/users/bob/unlock"}}},
	"disableUser":   {path: "/users/alice/disable", before: addAlice, refused: map[int]asked{404: {path: "/users/bob/disable"}}},
	"enableUser":    {path: "/users/alice/enable", before: addAlice, refused: map[int]asked{404: {path: "/users/bob/enable"}}},
	"listGateways":  {path: "/gateways"},
	"addGateway":    {path: "/gateways", body: `{"gateway":"gw-1","psk1":"` + aTK + `"}`, refused: map[int]asked{409: {path: "/gateways", body: `{"gateway":"gw-2","psk1":"` + aTK + `"}`}}},
	"setIMPI":       {path: "/gateways/gw-1/impi", body: `{"impi":"a@example"}`, before: addGW, refused: map[int]asked{404: {path: "/gateways/gw-2/impi", body: `{"impi":"b@example"}`}, 409: {path: "/gateways/gw-1/impi", body: `{"impi":"a@example"}`}}},
	"rekeyGateway":  {path: "/gateways/gw-1/psk1", body: `{"psk1":"` + anotherPSK1 + `","overlap":60}`, before: addGW, refused: map[int]asked{404: {path: "/gateways/gw-2/psk1", body: `{"overlap":60}`}, 409: {path: "/gateways/gw-1/psk1", body: `{"psk1":"` + aTK + `","overlap":60}`}}},
	"removeGateway": {path: "/gateways/gw-1", before: addGW, refused: map[int]asked{404: {path: "/gateways/gw-2"}}},

	"listPending": {path: "/enrolments"},
	"approve":     {path: "/enrolments/approve", body: `{"fingerprint":"PENDING"}`, before: addPending, refused: map[int]asked{404: {path: "/enrolments/approve", body: `{"fingerprint":"` + noSuch + `"}`}, 409: {path: "/enrolments/approve", body: `{"fingerprint":"PENDING"}`}}},
	"refuse":      {path: "/enrolments/refuse", body: `{"fingerprint":"PENDING"}`, before: addPending, refused: map[int]asked{404: {path: "/enrolments/refuse", body: `{"fingerprint":"` + noSuch + `"}`}, 409: {path: "/enrolments/refuse", body: `{"fingerprint":"KNOWN"}`}}},

	"listInvitations": {path: "/invitations"},
	"revoke":          {path: "/invitations/INVITATION", before: addInvitation, refused: map[int]asked{404: {path: "/invitations/none"}}},

	"invite":     {path: "/invitations", body: `{"valid_seconds":3600,"server":"cpns.example.net:8443"}`},
	"importPNEs": {path: "/pnes/import", body: `{"rows":[{"line":2,"entity_id":"pne-1","tk":"` + aTK + `"},{"line":3,"entity_id":"pne 2","tk":"` + anotherTK + `"}]}`},

	"listPNEs":  {path: "/pnes"},
	"showPNE":   {path: "/pnes/pne-1", before: addPNE, refused: map[int]asked{404: {path: "/pnes/none"}}},
	"removePNE": {path: "/pnes/pne-1", before: addPNE, refused: map[int]asked{404: {path: "/pnes/none"}}},
	"setOwner":  {path: "/pnes/pne-1/owner", body: `{"owner":"alice"}`, before: addAliceAndPNE, refused: map[int]asked{404: {path: "/pnes/none/owner", body: `{"owner":"alice"}`}}},
	"release":   {path: "/pnes/pne-1/owner", before: addPNE, refused: map[int]asked{404: {path: "/pnes/none/owner"}}},
	"setTK":     {path: "/pnes/pne-1/tk", body: `{"tk":"20112233445566778899aabbccddeeff"}`, before: addPNE, refused: map[int]asked{404: {path: "/pnes/none/tk", body: `{"tk":"30112233445566778899aabbccddeeff"}`}, 422: {path: "/pnes/pne-1/tk", body: `{"tk":"` + anotherTK + `"}`}}},

	"audit":        {path: "/audit"},
	"auditSettled": {path: "/audit/settled"},
	"listTokens":   {path: "/tokens"},
	"addToken":     {path: "/tokens", body: `{"name":"new","role":"auditor","valid_seconds":3600}`, refused: map[int]asked{409: {path: "/tokens", body: `{"name":"admin","role":"auditor","valid_seconds":3600}`}, 422: {path: "/tokens", body: `{"name":"","role":"auditor","valid_seconds":3600}`}}},
	"removeToken":  {path: "/tokens/new", before: func(r *rig) { r.post("/tokens", `{"name":"new","role":"auditor","valid_seconds":3600}`) }, refused: map[int]asked{404: {path: "/tokens/none"}}},
}

// document is the part of the served description that the test reads.
type servedDocument struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		ID         string                     `json:"operationId"`
		Role       server.Role                `json:"x-cpns-role"`
		Responses  map[string]json.RawMessage `json:"responses"`
		Body       json.RawMessage            `json:"requestBody"`
		Parameters []struct {
			Name, In string
		}
	}
}

// Every endpoint that the served description has is served, with each of the statuses
// that it names, to those whose role it names and to no others; and what is served is
// described.
func TestDescription(t *testing.T) {
	first := newRig(t)
	g := first.ask(asked{method: "GET", path: "/openapi.json"})
	var d servedDocument
	must(t, json.Unmarshal(g.body, &d))
	if d.OpenAPI != "3.1.0" || len(d.Paths) < 10 {
		t.Fatalf("OpenAPI %q with %d paths", d.OpenAPI, len(d.Paths))
	}
	described := make(map[string]bool)
	for path, methods := range d.Paths {
		for method, op := range methods {
			described[op.ID] = true
			ex, ok := examples[op.ID]
			if !ok {
				t.Errorf("%s %s: no example", method, path)
				continue
			}
			t.Run(op.ID, func(t *testing.T) {
				r := newRig(t)
				testEndpoint(r, strings.ToUpper(method), strings.TrimPrefix(path, Prefix), op.ID, op.Role, op.Body != nil, ex)
				for status := range op.Responses {
					n, _ := strconv.Atoi(status)
					if n != 500 && n != 503 && !r.seen[op.ID][n] {
						t.Errorf("%d is described, and was not seen", n)
					}
				}
				for status := range r.seen[op.ID] {
					if op.Responses[strconv.Itoa(status)] == nil {
						t.Errorf("%d was seen, and is not described", status)
					}
				}
			})
		}
	}
	for _, e := range endpoints() {
		if !described[e.id] {
			t.Errorf("%s is not described", e.id)
		}
	}
	if len(described) != len(endpoints()) {
		t.Errorf("%d endpoints are described, and there are %d", len(described), len(endpoints()))
	}
}

func testEndpoint(r *rig, method, path, id string, role server.Role, hasBody bool, ex example) {
	t := r.t
	if ex.before != nil {
		ex.before(r)
	}
	right := asked{method: method, path: ex.path, body: ex.body, token: r.tokens[server.RoleAdmin]}
	right.path, right.body = r.filled(right.path), r.filled(right.body)

	// Who may: each role, and nobody.
	roles := []server.Role{"", server.RoleAuditor, server.RoleOperator, server.RoleAdmin}
	may := false
	for _, has := range roles {
		may = may || has == role
		a := right
		a.token = r.tokens[has]
		if !may {
			want := 403
			if has == "" {
				want = 401
			}
			if g := r.ask(a); g.status != want {
				t.Errorf("role %q: %d, want %d", has, g.status, want)
			}
		}
	}

	// What is wrong with the request itself.
	wrong := right
	wrong.path += "?nonsense=1"
	r.want("an unknown parameter", r.ask(wrong), 400, kindMalformed)
	wrong = right
	wrong.method = "PATCH"
	g := r.ask(wrong)
	r.want("another method", g, 405, kindMethod)
	if !strings.Contains(g.header.Get("Allow"), method) {
		t.Errorf("Allow: %s", g.header.Get("Allow"))
	}
	wrong = right
	wrong.header = map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
	if g := r.ask(wrong); method != "GET" && g.status != 403 {
		t.Errorf("a page of another origin: %d", g.status)
	}
	if hasBody {
		for _, body := range hostileBodies {
			wrong = right
			wrong.body = body
			r.want(fmt.Sprintf("body %.40q", body), r.ask(wrong), 400, kindMalformed)
		}
		wrong = right
		wrong.body = `{"user":"` + strings.Repeat("a", slowBodyBytes) + `"}`
		r.want("a large body", r.ask(wrong), 413, kindTooLarge)
		wrong = right
		wrong.header = map[string]string{"Content-Type": "text/plain"}
		r.want("another type", r.ask(wrong), 415, kindMediaType)
		wrong.header = map[string]string{"Content-Encoding": "gzip"}
		r.want("an encoding", r.ask(wrong), 415, kindMediaType)
	} else {
		wrong = right
		wrong.body = "{}"
		r.want("a body", r.ask(wrong), 400, kindMalformed)
	}

	// It does what it is for, by the least role that may, and twice under one key only once.
	e := endpointOf(id)
	right.token = r.tokens[role]
	if e.once {
		right.header = map[string]string{idempotencyKey: "key-1"}
	}
	done := r.ask(right)
	if done.status != e.success || (len(done.body) > 0) != (e.reply != nil) {
		t.Fatalf("%s %s: %d, want %d: %s", method, right.path, done.status, e.success, done.body)
	}
	if e.once {
		again := r.ask(right)
		if again.status != done.status || string(again.body) != string(done.body) {
			t.Errorf("again: %d %s, want %d %s", again.status, again.body, done.status, done.body)
		}
		other := right
		if hasBody {
			other.body = strings.Replace(right.body, "{", "{ ", 1)
		} else {
			last := len(right.path) - 1 // the same path, written in another way
			other.path = fmt.Sprintf("%s%%%02X", right.path[:last], right.path[last])
		}
		r.want("the key for another request", r.ask(other), 422, kindKeyReused)
		bad := right
		bad.header = map[string]string{idempotencyKey: "a b"}
		r.want("a key with a space", r.ask(bad), 400, kindMalformed)
	} else {
		bad := right
		bad.header = map[string]string{idempotencyKey: "key-1"}
		if role != "" || method != "GET" {
			r.want("a key where none is taken", r.ask(bad), 400, kindMalformed)
		}
	}
	if id == "removeUser" { // one that owns a PNE
		r.post("/users", `{"user":"carol","password":"x"}`)
		addPNE(r)
		_, err := r.op.GiveTo(t.Context(), "pne-1", "carol")
		must(t, err)
	}
	for status, a := range ex.refused {
		a.method, a.token = method, r.tokens[server.RoleAdmin]
		a.path, a.body = r.filled(a.path), r.filled(a.body)
		if g := r.ask(a); g.status != status {
			t.Errorf("%s %s %s: %d, want %d: %s", a.method, a.path, a.body, g.status, status, g.body)
		}
	}

	// Too many.
	for n := 0; ; n++ {
		if g := r.ask(right); g.status == http.StatusTooManyRequests {
			if s, err := strconv.Atoi(g.header.Get("Retry-After")); err != nil || s < 1 {
				t.Errorf("Retry-After: %q", g.header.Get("Retry-After"))
			}
			break
		}
		if n > 2*callerBurst {
			t.Fatal("a caller asks without an end")
		}
		if n == 5 { // the rest at once
			for range callerBurst {
				r.api.callers.Take(r.idOf(role), r.clock.Now())
			}
		}
	}
	r.clock.advance(time.Minute)
}

func endpointOf(id string) *endpoint {
	for _, e := range endpoints() {
		if e.id == id {
			return e
		}
	}
	return nil
}

// hostileBodies are bodies that are no request of any endpoint.
var hostileBodies = []string{
	" ", "null", "[]", `"x"`, "1", "{", `{"a"`, `{"a":`, `{"nonsense":1}`, "{}{}", "{} x", `{"User":"alice"}`, `{"user":"alice","user":"bob"}`,
	"{\"u\xff\":1}", `{"user":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`, `{"user":1e999}`, `{"u\u017fer":"alice"}`, `{"user":{"user":1,"user":1}}`,
	strings.Repeat("{\"a\":", 10000), "\ufeff{}", `{"tk":"00","tk":"00"}`,
}

// addPending adds a gateway that waits, and one that has been taken in.
func addPending(r *rig) {
	r.t.Helper()
	must(r.t, r.store.Update(r.t.Context(), func(tx server.Tx) error {
		for _, key := range []cpns.SPKIHash{{1}, {2}} {
			e := server.Enrolment{Key: key, State: server.EnrolmentPending, Model: "Box", Serial: fmt.Sprint("S ", key[0]), First: r.clock.Now(), Last: r.clock.Now()}
			if err := tx.SetEnrolment(e); err != nil {
				return err
			}
		}
		return nil
	}))
	_, err := r.op.Approve(r.t.Context(), server.Approval{Fingerprint: cpns.SPKIHash{2}.Fingerprint()})
	must(r.t, err)
}

func addInvitation(r *rig) {
	r.t.Helper()
	_, _, err := r.op.Invite(r.t.Context(), "", 1, time.Hour)
	must(r.t, err)
}

// filled puts what is known only now into an example.
func (r *rig) filled(s string) string {
	s = strings.ReplaceAll(s, "PENDING", cpns.SPKIHash{1}.Fingerprint())
	s = strings.ReplaceAll(s, "KNOWN", cpns.SPKIHash{2}.Fingerprint())
	if strings.Contains(s, "INVITATION") {
		must(r.t, r.op.Invitations(r.t.Context(), func(i server.Invitation) error {
			s = strings.ReplaceAll(s, "INVITATION", i.ID)
			return nil
		}))
	}
	return s
}

// idOf is the ID of the credential of a role.
func (r *rig) idOf(role server.Role) (id string) {
	must(r.t, r.op.Credentials(r.t.Context(), func(c server.Credential) error {
		if c.Name == string(role) {
			id = c.ID
		}
		return nil
	}))
	return id
}
