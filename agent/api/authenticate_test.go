package api

import (
	"errors"
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

func TestAuthenticate(t *testing.T) {
	r := newRig(t)
	r.plugIn(t, "lamp")
	if _, err := r.provision(t.Context(), request(time.Minute, "lamp"), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.provision(t.Context(), request(0, "absent"), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		entities []cpns.EntityID
		want     map[cpns.EntityID]agent.ProofResult
	}{
		{"one", []cpns.EntityID{"lamp"}, map[cpns.EntityID]agent.ProofResult{"lamp": agent.ProofAuthenticated}},
		{"all", nil, map[cpns.EntityID]agent.ProofResult{"lamp": agent.ProofAuthenticated, "absent": agent.ProofNotDelivered}},
	} {
		got := map[cpns.EntityID]agent.ProofResult{}
		if err := r.Authenticate(t.Context(), tt.entities, 0, func(p agent.Proof) { got[p.Entity] = p.Result }); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	p, err := r.Show(t.Context(), "lamp")
	if err != nil || p.Index != 3 {
		t.Errorf("after two authentications: got %+v, %v, want key 3", p, err)
	}
}

func TestAuthenticateRefused(t *testing.T) {
	r := newRig(t)
	told := func(agent.Proof) { t.Error("a result of a request that was refused") }
	err := r.Authenticate(t.Context(), []cpns.EntityID{"nobody"}, 0, told)
	if e := new(AnswerError); !errors.As(err, &e) || e.Status != http.StatusNotFound {
		t.Errorf("not known: got %v, want an AnswerError with 404", err)
	}
	err = r.Authenticate(t.Context(), []cpns.EntityID{"a", "a"}, 0, told)
	if e := new(AnswerError); !errors.As(err, &e) || e.Status != http.StatusBadRequest {
		t.Errorf("twice: got %v, want an AnswerError with 400", err)
	}
	for _, body := range []string{"", "{}", `{"all": false}`, `{"all": true, "entity_ids": ["a"]}`, `{"entity_ids": ["a b"]}`, `{"everything": true}`, `{"all": true, "wait_ms": -1}`, `{"all": true} {}`} {
		resp, err := r.do(t.Context(), http.MethodPost, "/v1/authenticate", []byte(body))
		if e := new(AnswerError); !errors.As(err, &e) || e.Status != http.StatusBadRequest {
			t.Errorf("%q: got %v, %v, want an AnswerError with 400", body, resp, err)
		}
	}
}

func TestReadmitRefused(t *testing.T) {
	r := newRig(t)
	if _, err := r.provision(t.Context(), request(0, "calm"), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	for entity, want := range map[cpns.EntityID]int{"nobody": 404, "calm": 409, "a b": 400} {
		err := r.Readmit(t.Context(), entity)
		if e := new(AnswerError); !errors.As(err, &e) || e.Status != want {
			t.Errorf("%s: got %v, want an AnswerError with %d", entity, err, want)
		}
	}
}

// A device that is away is waited for as long as was asked.
func TestAuthenticateWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t)
		unplug := r.plugIn(t, "lamp")
		if _, err := r.provision(t.Context(), request(time.Minute, "lamp"), func(agent.Step) {}); err != nil {
			t.Fatal(err)
		}
		unplug()
		r.plugIn(t, "another") // whoever is asked for "lamp" now does not answer
		for _, wait := range []time.Duration{time.Second, 0} {
			begin := time.Now()
			var got []agent.Proof
			if err := r.Authenticate(t.Context(), []cpns.EntityID{"lamp"}, wait, func(p agent.Proof) { got = append(got, p) }); err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].Result != agent.ProofNoAnswer {
				t.Errorf("wait %v: got %+v, want no answer", wait, got)
			}
			if took := time.Since(begin); wait > 0 && took > wait+time.Second || wait == 0 && took < 2*time.Second {
				t.Errorf("wait %v: took %v", wait, took)
			}
		}
		r.stop()
	})
}

// A set that is used up is renewed without the user, where the user said so.
func TestRemember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t)
		r.plugIn(t, "short")
		req := request(time.Minute, "short")
		req.Remember = true
		if _, err := r.provision(t.Context(), req, func(agent.Step) {}); err != nil {
			t.Fatal(err)
		}
		first, err := r.Show(t.Context(), "short")
		if err != nil || first.State != agent.StateDelivered {
			t.Fatalf("got %+v, %v, want delivered", first, err)
		}
		if err := r.Authenticate(t.Context(), nil, 0, func(agent.Proof) {}); err != nil {
			t.Fatal(err)
		}
		if p, err := r.Show(t.Context(), "short"); err != nil || p.State != agent.StateUsedUp {
			t.Errorf("got %+v, %v, want used_up", p, err)
		}
		time.Sleep(5 * time.Minute)
		if p, err := r.Show(t.Context(), "short"); err != nil || p.State != agent.StateDelivered || p.Epoch <= first.Epoch {
			t.Errorf("got %+v, %v, want a later set, delivered", p, err)
		}
		r.stop()
	})
}

func TestMetrics(t *testing.T) {
	r := newRig(t)
	r.plugIn(t, "lamp")
	if _, err := r.provision(t.Context(), request(time.Minute, "lamp"), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	resp, err := r.do(t.Context(), http.MethodGet, "/v1/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); got != "text/plain; version=0.0.4" {
		t.Errorf("content type %q", got)
	}
	for _, want := range []string{
		"# TYPE pngw_devices gauge\n",
		"\npngw_devices{state=\"delivered\"} 1\n",
		"\npngw_devices{state=\"alarm\"} 0\n",
		"\n# TYPE pngw_events_total counter\n",
		"\npngw_events_total{event=\"assigned\"} 1\n",
		"\npngw_events_total{event=\"delivered\"} 1\n",
		"\npngw_events_total{event=\"gone\"} 0\n",
		"\npngw_link_up{link=\"memory\"} 1\n",
		"\npngw_store_writable 1\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	// No family and no series twice, and no sample without its family.
	seen, family := map[string]bool{}, ""
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			family, _, _ = strings.Cut(name, " ")
			line = family
		} else if !strings.HasPrefix(line, family) {
			t.Errorf("%q stands in family %s", line, family)
		} else {
			line, _, _ = strings.Cut(line, " ")
			line += " "
		}
		if seen[line] {
			t.Errorf("%q is there twice", line)
		}
		seen[line] = true
	}
}
