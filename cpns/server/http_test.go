package server_test

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/crypto/chacha20poly1305"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// details are problem details (RFC 9457).
type details struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// wantProblem checks that an answer is a problem of the code and says no more.
func wantProblem(t *testing.T, res *http.Response, body []byte, code int) details {
	t.Helper()
	var got details
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Errorf("body %q: %v", body, err)
	}
	if res.StatusCode != code || got.Status != code {
		t.Errorf("got HTTP %d, status %d in the body, want %d", res.StatusCode, got.Status, code)
	}
	if want := "application/problem+json"; res.Header.Get("Content-Type") != want {
		t.Errorf("content type: got %q, want %q", res.Header.Get("Content-Type"), want)
	}
	if got.Title == "" || got.Detail == "" {
		t.Errorf("got title %q and detail %q", got.Title, got.Detail)
	}
	return got
}

func wantRetryAfter(t *testing.T, res *http.Response, least, most int) {
	t.Helper()
	got, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || got < least || got > most {
		t.Errorf("Retry-After: got %q, want %d to %d", res.Header.Get("Retry-After"), least, most)
	}
}

func TestProblems(t *testing.T) {
	r := newRig(t)
	good := r.seal("gw-1", r.request("alice", "pne-1"))
	altered := bytes.Clone(good)
	altered[len(altered)-1] ^= 1
	r.gateways["unknown"] = random(t, 32)
	unknown := r.seal("unknown", r.request("alice", "pne-1"))
	chunked := func(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }

	tests := []struct {
		name    string
		method  string
		path    string
		headers map[string]string
		body    io.Reader
		want    int
	}{
		{"GET", "GET", cpns.AssignmentPath, nil, nil, 405},
		{"PUT", "PUT", cpns.AssignmentPath, nil, bytes.NewReader(good), 405},
		{"another path", "POST", "/", nil, bytes.NewReader(good), 404},
		{"below the path", "POST", cpns.AssignmentPath + "/1", nil, bytes.NewReader(good), 404},
		{"no type", "POST", cpns.AssignmentPath, map[string]string{"Content-Type": ""}, bytes.NewReader(good), 415},
		{"JSON", "POST", cpns.AssignmentPath, map[string]string{"Content-Type": "application/json"}, strings.NewReader("{}"), 415},
		{"another COSE type", "POST", cpns.AssignmentPath, map[string]string{"Content-Type": `application/cose; cose-type="cose-sign1"`}, bytes.NewReader(good), 415},
		{"COSE without a type", "POST", cpns.AssignmentPath, map[string]string{"Content-Type": "application/cose"}, bytes.NewReader(good), 415},
		{"compressed", "POST", cpns.AssignmentPath, map[string]string{"Content-Encoding": "gzip"}, bytes.NewReader(good), 415},
		{"4097 bytes", "POST", cpns.AssignmentPath, nil, bytes.NewReader(make([]byte, 4097)), 413},
		{"4097 bytes in chunks", "POST", cpns.AssignmentPath, nil, chunked(make([]byte, 4097)), 413},
		{"4096 bytes", "POST", cpns.AssignmentPath, nil, bytes.NewReader(make([]byte, 4096)), 400},
		{"empty", "POST", cpns.AssignmentPath, nil, http.NoBody, 400},
		{"truncated", "POST", cpns.AssignmentPath, nil, bytes.NewReader(good[:len(good)-1]), 400},
		{"one byte more", "POST", cpns.AssignmentPath, nil, bytes.NewReader(append(bytes.Clone(good), 0)), 400},
		{"altered", "POST", cpns.AssignmentPath, nil, bytes.NewReader(altered), 401},
		{"unknown identity", "POST", cpns.AssignmentPath, nil, bytes.NewReader(unknown), 401},
	}
	answers := make(map[string]details)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, r.http.URL+tt.path, tt.body)
			must(t, err)
			req.Header.Set("Content-Type", cpns.ContentType)
			for name, value := range tt.headers {
				req.Header.Set(name, value)
			}
			res, err := r.http.Client().Do(req)
			must(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			must(t, err)
			answers[tt.name] = wantProblem(t, res, body, tt.want)
			if tt.want == 405 && res.Header.Get("Allow") != "POST" {
				t.Errorf("Allow: got %q, want POST", res.Header.Get("Allow"))
			}
			if tt.want == 401 && res.Header.Get("WWW-Authenticate") == "" {
				t.Error("401 without a challenge")
			}
		})
	}
	if answers["altered"] != answers["unknown identity"] {
		t.Errorf("told apart: %+v and %+v", answers["altered"], answers["unknown identity"])
	}
	if p := r.pne("pne-1"); p.Epoch != 0 {
		t.Errorf("the PNE is in epoch %d", p.Epoch)
	}
	// After all that the server still answers.
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
}

// The type's parameter may be written without quotation marks, in any case of letters.
func TestContentTypeForms(t *testing.T) {
	r := newRig(t)
	for _, form := range []string{"application/cose;cose-type=cose-encrypt0", `Application/COSE; Cose-Type="cose-encrypt0"`} {
		body := r.seal("gw-1", r.request("alice", "pne-1"))
		res, err := r.http.Client().Post(r.http.URL+cpns.AssignmentPath, form, bytes.NewReader(body))
		must(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != cpns.ContentType {
			t.Errorf("%s: got HTTP %s of type %q", form, res.Status, res.Header.Get("Content-Type"))
		}
	}
}

// sealRaw seals what is no request as if it were one.
func sealRaw(t *testing.T, psk cpns.PSK1, id cpns.PSKIdentity, plaintext []byte) []byte {
	t.Helper()
	marshal := func(v any) []byte {
		b, err := cbor.Marshal(v)
		must(t, err)
		return b
	}
	key, err := hkdf.Key(sha256.New, psk, nil, "CPNS EUKey Assignment Request", chacha20poly1305.KeySize)
	must(t, err)
	aead, err := chacha20poly1305.New(key)
	must(t, err)
	protected, iv := []byte{0xa1, 0x01, 0x18, 0x18}, random(t, cpns.IVSize)
	ciphertext := aead.Seal(nil, iv, plaintext, marshal([]any{"Encrypt0", protected, []byte(id)}))
	// Two keys in ascending order are canonical.
	headers := append([]byte{0xa2, 0x04}, marshal([]byte(id))...)
	headers = append(append(headers, 0x05), marshal(iv)...)
	return marshal([]any{protected, cbor.RawMessage(headers), ciphertext})
}

// What the gateway's PSK1 opens but is no request is malformed, not unauthorized.
func TestSealedNonsense(t *testing.T) {
	r := newRig(t)
	good, err := cbor.Marshal([]any{"pne-1", "alice", make([]byte, 32), r.clock.Now().Unix(), make([]byte, 32)})
	must(t, err)
	hello, err := r.hello("pne-1", r.pnes["pne-1"]).Marshal()
	must(t, err)
	others, err := r.hello("pne-2", r.pnes["pne-2"]).Marshal()
	must(t, err)
	withHello := func(hello any) []byte {
		req := r.request("alice", "pne-1")
		b, err := cbor.Marshal([]any{"pne-1", "alice", req.RandPNGW[:], req.Time, req.UserAuthenticationData[:], hello})
		must(t, err)
		return b
	}
	tests := []struct {
		name      string
		plaintext []byte
		want      int
	}{
		{"a request", good, 200},
		{"nothing", nil, 400},
		{"no CBOR", []byte("hello"), 400},
		{"one byte more", append(bytes.Clone(good), 0), 400},
		{"a map", []byte{0xa0}, 400},
		{"a hello", withHello(hello), 200},
		{"a hello that is none", withHello([]byte("hello")), 400},
		{"a hello with one byte more", withHello(append(bytes.Clone(hello), 0)), 400},
		{"an empty hello", withHello([]byte{}), 400},
		{"another message for a hello", withHello([]byte{0x83, 0x00, 0x01, 0xf6}), 400}, // identify
		{"another PNE's hello", withHello(others), 400},
		{"a number for a hello", withHello(5), 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, answer := r.post(sealRaw(t, r.gateways["gw-1"], "gw-1", tt.plaintext))
			if tt.want == 200 {
				if res.StatusCode != 200 {
					t.Errorf("got HTTP %s: %s", res.Status, answer)
				}
				return
			}
			wantProblem(t, res, answer, tt.want)
		})
	}
}

// brokenStore fails every transaction.
type brokenStore struct {
	server.Store
	err error
}

func (s *brokenStore) View(ctx context.Context, f func(server.Tx) error) error {
	if s.err != nil {
		return s.err
	}
	return s.Store.View(ctx, f)
}

func (s *brokenStore) Assign(ctx context.Context, q *server.Inquiry, decide func(*server.Findings) (*server.Outcome, error)) error {
	return s.Update(ctx, func(tx server.Tx) error { return q.Answer(tx, decide) })
}

func (s *brokenStore) Update(ctx context.Context, f func(server.Tx) error) error {
	if s.err != nil {
		return s.err
	}
	return s.Store.Update(ctx, f)
}

// A store that fails is a 503 without its reason, and costs the sender nothing.
func TestUnavailable(t *testing.T) {
	r := newRig(t)
	store := &brokenStore{Store: r.store}
	r.serve(func(c *server.Config) { c.Store = store })
	body := r.seal("gw-1", r.request("alice", "pne-1"))
	store.err = errors.New("secret reason")
	for range server.SourceBurst + 1 {
		res, answer := r.post(body)
		got := wantProblem(t, res, answer, http.StatusServiceUnavailable)
		wantRetryAfter(t, res, 1, 60)
		if strings.Contains(got.Detail, "secret") {
			t.Errorf("the reason is told: %q", got.Detail)
		}
	}
	if !strings.Contains(r.log.String(), "secret reason") {
		t.Error("the reason is not in the log")
	}
	wantHTTP := func(path string, want int) {
		t.Helper()
		res, err := r.http.Client().Get(r.http.URL + path)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: got HTTP %s, want %d", path, res.Status, want)
		}
	}
	wantHTTP("/healthz", http.StatusOK) // the process is
	wantHTTP("/readyz", http.StatusServiceUnavailable)
	store.err = nil
	r.clock.advance(5 * time.Second)
	res, answer := r.post(body)
	if got := r.open("gw-1", body, res, answer); got.Status != cpns.Success {
		t.Errorf("the same request afterwards: got %v", got.Status)
	}
	wantHTTP("/readyz", http.StatusOK)
}

// Whoever asks whether the server is ready, however often, causes one look at the store
// in a while, which writes; whether it is alive is seen without any.
func TestHealth(t *testing.T) {
	r := newRig(t)
	store := &countingStore{Store: r.store}
	r.serve(func(c *server.Config) { c.Store = store })
	get := func(path string) int {
		t.Helper()
		res, err := r.http.Client().Get(r.http.URL + path)
		must(t, err)
		io.Copy(io.Discard, res.Body) // so that the connection stays
		res.Body.Close()
		return res.StatusCode
	}
	store.reset()
	for range 3 {
		for range 200 {
			for _, path := range []string{"/healthz", "/readyz"} {
				if got := get(path); got != http.StatusOK {
					t.Fatalf("%s: got HTTP %d", path, got)
				}
			}
		}
		r.clock.advance(5 * time.Second)
	}
	// Whether the master key still counts is looked at once in a while, too.
	steps := slices.DeleteFunc(slices.Clone(store.steps), func(step string) bool { return step == "view" })
	if want := []string{"update", "update", "update"}; !slices.Equal(steps, want) {
		t.Errorf("the store was asked for %v, want %v", store.steps, want)
	}
	// Of a store that can only be read it is alive, and not ready.
	hooked := &readOnlyStore{Store: r.store}
	r.serve(func(c *server.Config) { c.Store = hooked })
	if got := get("/healthz"); got != http.StatusOK {
		t.Errorf("/healthz: got HTTP %d, want 200", got)
	}
	if got := get("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz: got HTTP %d, want 503", got)
	}
}

// A readOnlyStore is on a disk that takes nothing more.
type readOnlyStore struct{ server.Store }

func (readOnlyStore) Update(context.Context, func(server.Tx) error) error {
	return errors.New("the file system is read-only")
}
