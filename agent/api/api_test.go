package api

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

func TestProvision(t *testing.T) {
	r := newRig(t)
	const entity cpns.EntityID = "urn:dev:lamp-1"
	r.plugIn(t, entity)

	var steps []agent.StepKind
	outcomes, err := r.provision(t.Context(), request(time.Minute, entity), func(s agent.Step) {
		if s.Entity != entity {
			t.Errorf("step %s is of %q", s.Kind, s.Entity)
		}
		steps = append(steps, s.Kind)
	})
	if err != nil {
		t.Fatal(err)
	}
	wantSteps := []agent.StepKind{"request_sent", "user_accepted", "keys_checked", "sealed", "waiting", "delivered"}
	if !reflect.DeepEqual(steps, wantSteps) {
		t.Errorf("steps: got %v, want %v", steps, wantSteps)
	}
	want := []agent.Outcome{{Entity: entity, Result: agent.ResultDelivered}}
	if !reflect.DeepEqual(outcomes, want) {
		t.Errorf("outcomes: got %+v, want %+v", outcomes, want)
	}
	list, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].State != agent.StateDelivered || list[0].Index != 1 || list[0].Link != "memory" {
		t.Errorf("list: got %+v, want one device, delivered, key 1, by memory", list)
	}
}

func TestProvisionOutcomes(t *testing.T) {
	r := newRig(t)
	got, err := r.provision(t.Context(), request(0, "absent", "unknown"), func(agent.Step) {})
	if err != nil {
		t.Fatal(err)
	}
	want := []agent.Result{agent.ResultAssigned, agent.ResultRefused}
	if len(got) != 2 || got[0].Result != want[0] || got[1].Result != want[1] {
		t.Errorf("got %+v, want %v", got, want)
	}
	wrong := request(0, "absent")
	wrong.PasswordHash = cpns.PasswordHash{}
	got, err = r.provision(t.Context(), wrong, func(agent.Step) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Result != agent.ResultRefused {
		t.Errorf("wrong password: got %+v, want refused", got)
	}
}

// An Entity ID may look like a path, a query or an escape.
func TestEntityInPath(t *testing.T) {
	r := newRig(t)
	entities := []cpns.EntityID{"PNE/7+#%~:A", "..", ".", "/", "//a//", "a/../b", "%2e%2e", "?a=b", "a;b", "{entity}", `"'\`}
	if _, err := r.provision(t.Context(), request(0, entities...), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	for _, e := range entities {
		p, err := r.Show(t.Context(), e)
		if err != nil || p.Entity != e || p.State != agent.StateAssigned {
			t.Errorf("show %s: got %+v, %v", e, p, err)
		}
	}
	for i, e := range entities {
		if err := r.Forget(t.Context(), e); err != nil {
			t.Errorf("forget %s: %v", e, err)
		}
		list, err := r.List(t.Context())
		if err != nil || len(list) != len(entities)-i-1 {
			t.Fatalf("after forget %s: got %d devices, %v", e, len(list), err)
		}
	}
}

func TestNotKnown(t *testing.T) {
	r := newRig(t)
	_, err := r.Show(t.Context(), "nobody")
	if e := new(AnswerError); !errors.As(err, &e) || e.Status != http.StatusNotFound {
		t.Errorf("show: got %v, want an AnswerError with 404", err)
	}
	err = r.Forget(t.Context(), "nobody")
	if e := new(AnswerError); !errors.As(err, &e) || e.Status != http.StatusNotFound {
		t.Errorf("forget: got %v, want an AnswerError with 404", err)
	}
}

func TestViews(t *testing.T) {
	r := newRig(t)
	list, err := r.List(t.Context())
	if err != nil || list == nil || len(list) != 0 {
		t.Errorf("list: got %v, %v, want an empty array", list, err)
	}
	found, err := r.Discovered(t.Context())
	if err != nil || found == nil || len(found) != 0 {
		t.Errorf("discovered: got %v, %v, want an empty array", found, err)
	}
	r.plugIn(t, "urn:dev:stray")
	for len(found) == 0 {
		if found, err = r.Discovered(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if found[0].Entity != "urn:dev:stray" || found[0].Link != "memory" {
		t.Errorf("discovered: got %+v", found)
	}
	links, err := r.Links(t.Context())
	if err != nil || len(links) != 1 || links[0].Name != "memory" || links[0].Type != "serial" || links[0].State != "up" || links[0].Received == 0 {
		t.Errorf("links: got %+v, %v", links, err)
	}
	_, text := r.raw(t, "GET", "/v1/status", "")
	for _, want := range []string{`"pnes":{"alarm":0,"assigned":0,"delivered":0,"requested":0,"used_up":0}`, `"links":[{"name":"memory","type":"serial","state":"up"`} {
		if !strings.Contains(text, want) {
			t.Errorf("status: no %s in %s", want, text)
		}
	}
	s, err := r.Status(t.Context())
	if err != nil || s.Version != "v1.2.3" || s.Server != "https://cpns.example.net" || s.Gateway != "gw-0001" || !s.ClockSet || s.Discovered != 1 {
		t.Errorf("status: got %+v, %v", s, err)
	}
}

// The field names are a contract with scripts.
func TestFieldNames(t *testing.T) {
	r := newRig(t)
	if _, err := r.provision(t.Context(), request(0, "absent"), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path string
		want []string
	}{
		{"/v1/pnes", []string{"entity_id", "user", "state", "epoch", "index", "length", "x25519", "pending", "link", "last_seen"}},
		{"/v1/links", []string{"name", "type", "state", "detail", "received", "sent", "dropped"}},
	}
	for _, tt := range tests {
		_, body := r.raw(t, "GET", tt.path, "")
		var got []map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil || len(got) != 1 {
			t.Fatalf("%s: got %s, %v, want an array of one object", tt.path, body, err)
		}
		for _, name := range tt.want {
			if _, ok := got[0][name]; !ok {
				t.Errorf("%s: no field %q in %s", tt.path, name, body)
			}
			delete(got[0], name)
		}
		delete(got[0], "note")
		if len(got[0]) != 0 {
			t.Errorf("%s: more fields than are documented: %v", tt.path, got[0])
		}
	}
}

func TestBadRequests(t *testing.T) {
	r := newRig(t)
	const hash = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	provision := func(user, hash, entities, wait string) string {
		return `{"user":"` + user + `","password_hash":"` + hash + `","entity_ids":[` + entities + `],"wait_ms":` + wait + `}`
	}
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"no such resource", "GET", "/v1/secrets", "", 404, "no such resource"},
		{"no such method", "PUT", "/v1/pnes", "", 404, "no such resource or method"},
		{"root", "GET", "/", "", 404, "no such resource"},
		{"entity", "GET", "/v1/pnes/a%20b", "", 400, "byte 2 is 0x20"},
		{"long entity", "DELETE", "/v1/pnes/" + strings.Repeat("x", 65), "", 400, "65 bytes, at most 64"},
		{"no JSON", "POST", "/v1/provision", "user=alice", 400, "the body is not a provision request"},
		{"empty", "POST", "/v1/provision", "", 400, "the body is not a provision request"},
		{"unknown field", "POST", "/v1/provision", `{"user":"a","password":"p"}`, 400, "the body is not a provision request"},
		{"something behind it", "POST", "/v1/provision", provision("alice", hash, `"a"`, "0") + "{}", 400, "the body is not a provision request"},
		{"garbage behind it", "POST", "/v1/authenticate", `{"all":true} x`, 400, "the body is not an authenticate request"},
		{"a bracket behind it", "POST", "/v1/readmit", `{"entity_id":"a"}]`, 400, "the body is not a readmit request"},
		{"user", "POST", "/v1/provision", provision("", hash, `"a"`, "0"), 400, "CPNS user ID: empty"},
		{"hash", "POST", "/v1/provision", provision("alice", hash[1:], `"a"`, "0"), 400, "password_hash: not 32 bytes in hex"},
		{"short hash", "POST", "/v1/provision", provision("alice", hash[2:], `"a"`, "0"), 400, "password_hash: not 32 bytes in hex"},
		{"no devices", "POST", "/v1/provision", provision("alice", hash, "", "0"), 400, "0 devices"},
		{"too many devices", "POST", "/v1/provision", provision("alice", hash, strings.Repeat(`"a",`, 1024)+`"a"`, "0"), 400, "1025 devices"},
		{"device", "POST", "/v1/provision", provision("alice", hash, `"a","b c"`, "0"), 400, "byte 2 is 0x20"},
		{"twice", "POST", "/v1/provision", provision("alice", hash, `"a","a"`, "0"), 400, "a is there twice"},
		{"wait", "POST", "/v1/provision", provision("alice", hash, `"a"`, "-1"), 400, "wait_ms: -1 is not in 0 to 86400000"},
		{"long wait", "POST", "/v1/provision", provision("alice", hash, `"a"`, "86400001"), 400, "wait_ms: 86400001"},
		{"huge", "POST", "/v1/provision", provision("alice", hash, strings.Repeat(`"aaaaaaaaaaaaaaaaaaaaaaaaaaa",`, 10000)+`"a"`, "0"), 413, "the body is not there, or too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := r.raw(t, tt.method, tt.path, tt.body)
			var p problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("got %d %q, want a JSON object with an error", status, body)
			}
			if status != tt.status || !strings.Contains(p.Error, tt.want) {
				t.Errorf("got %d %q, want %d %q", status, p.Error, tt.status, tt.want)
			}
			if strings.Contains(body, hash[4:12]) {
				t.Errorf("the answer tells the hash: %s", body)
			}
		})
	}
	list, err := r.List(t.Context())
	if err != nil || len(list) != 0 {
		t.Errorf("after bad requests: got %v, %v, want no devices", list, err)
	}
}

// raw sends a request as it is, and returns the answer's status and body.
func (r *rig) raw(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://pngw"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A user who stops waiting leaves the assignment as it is.
func TestProvisionInterrupted(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := r.provision(ctx, request(time.Hour, "absent"), func(s agent.Step) {
		if s.Kind == agent.StepWaiting {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	p, err := r.Show(t.Context(), "absent")
	if err != nil || p.State != agent.StateAssigned {
		t.Errorf("got %+v, %v, want it assigned", p, err)
	}
	r.plugIn(t, "absent")
	for p.State != agent.StateDelivered {
		if p, err = r.Show(t.Context(), "absent"); err != nil {
			t.Fatal(err)
		}
	}
}

// A stopping agent tells those who wait, with what it has done for them.
func TestStopWhileWaiting(t *testing.T) {
	r := newRig(t)
	outcomes, err := r.provision(t.Context(), request(time.Hour, "absent"), func(s agent.Step) {
		if s.Kind == agent.StepWaiting {
			go r.stop()
		}
	})
	if err == nil || err.Error() != "the agent is stopping" {
		t.Errorf("got error %v, want: the agent is stopping", err)
	}
	if len(outcomes) != 1 || outcomes[0].Result != agent.ResultAssigned {
		t.Errorf("got %+v, want it assigned", outcomes)
	}
	r.stop()
	if _, err := r.List(t.Context()); !errors.As(err, new(*ConnectError)) {
		t.Errorf("after the stop: got %v, want a *ConnectError", err)
	}
}

// A stream may take as long as the devices do: no timeout of HTTP ends it.
func TestProvisionTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t)
		defer r.stop()
		start := time.Now()
		outcomes, err := r.provision(t.Context(), request(time.Hour, "absent"), func(agent.Step) {})
		if err != nil || len(outcomes) != 1 || outcomes[0].Result != agent.ResultAssigned {
			t.Errorf("got %+v, %v, want it assigned", outcomes, err)
		}
		if got := time.Since(start); got < time.Hour {
			t.Errorf("it ended after %v, want an hour", got)
		}
	})
}

// Who goes away, or stops to read, is not waited for.
func TestProvisionClientGone(t *testing.T) {
	body := `{"user":"alice","password_hash":"` + strings.Repeat("00", 32) + `","entity_ids":["absent"],"wait_ms":3600000}`
	hash := cpns.HashPassword(user, []byte(password))
	body = strings.Replace(body, strings.Repeat("00", 32), hex.EncodeToString(hash[:]), 1)
	request := fmt.Sprintf("POST /v1/provision HTTP/1.1\r\nHost: pngw\r\nContent-Length: %d\r\n\r\n%s", len(body), body)

	for _, goes := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newPipeRig(t)
			c := r.dial(t)
			io.WriteString(c, request)
			if goes {
				lines := bufio.NewScanner(c)
				for lines.Scan() && !strings.Contains(lines.Text(), `"waiting"`) {
				}
				c.Close()
			}
			time.Sleep(writeTimeout)
			synctest.Wait()
			start := time.Now()
			r.stop()
			if got := time.Since(start); got != 0 {
				t.Errorf("client gone %v: its request was still under way, for %v", goes, got)
			}
		})
	}
}

// TestSlowStore: an answer is late where the store is, and comes all the same.
func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSlowRig(t, 25*time.Second)
		if _, err := r.provision(t.Context(), request(0, "lamp-1"), func(agent.Step) {}); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := r.Forget(t.Context(), "lamp-1"); err != nil {
			t.Errorf("forget: %v", err)
		}
		if took := time.Since(begin); took < 25*time.Second {
			t.Errorf("forget took %v: the store was not slow", took)
		}
		if pnes, err := r.List(t.Context()); err != nil || len(pnes) != 0 {
			t.Errorf("still there: %v, %v", pnes, err)
		}
		r.stop()
	})
}
