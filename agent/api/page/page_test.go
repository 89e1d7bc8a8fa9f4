package page

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/hooks"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// memory is a store for tests.
type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (s *memory) Put(name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[name] = append([]byte(nil), value...)
	return nil
}

func (s *memory) Get(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return append([]byte(nil), v...), nil
}

func (s *memory) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, name)
	return nil
}

func (s *memory) List() (names []string, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.m {
		names = append(names, n)
	}
	return names, nil
}

type clock struct{}

func (clock) Now() (time.Time, bool) { return time.Now(), true }
func (clock) Raise(time.Time)        {}

type psk struct{}

func (psk) Name() string { return "file" }
func (psk) PSK1(context.Context) (*agent.PSK, error) {
	return &agent.PSK{Identity: "gw", Key: make(cpns.PSK1, 32)}, nil
}

// away is a CPNS Server that answers nobody, and says so when it is let.
type away chan struct{}

func (a away) Assign(ctx context.Context, _ []byte) ([]byte, time.Duration, error) {
	select {
	case <-a:
	case <-ctx.Done():
	}
	return nil, 0, &transport.UnreachableError{Reason: "it is away", Advice: "wait"}
}

// rig is a page on the loopback, over TLS, with an agent behind it.
type rig struct {
	*Page
	store  *memory
	server away
	client *http.Client
	token  string
	stop   func()
}

var (
	pin  = []byte("what Argon2id makes of the PIN..")
	salt = []byte("sixteen bytes of")
)

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{store: &memory{m: map[string][]byte{}}, server: make(away)}
	l, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	log := slog.New(slog.DiscardHandler)
	if r.Page, err = New(Config{Address: at, Store: r.store, Gateway: "gw-0001", Clock: clock{}, Log: log}); err != nil {
		t.Fatal(err)
	}
	if err := r.SetPIN(salt, pin); err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(agent.Config{Gateway: "gw-0001", PSK: psk{}, Server: r.server, Store: r.store, Clock: clock{}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	unasked := func(context.Context, step0.Question) (*step0.Answer, error) { return nil, errors.New("no network") }
	enroller, err := step0.New(step0.Config{Store: r.store, Exchange: unasked, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s := api.New(api.Config{Agent: a, Enroller: enroller, Version: "v1", Page: r.Page, Events: new(api.Events),
		Hooks: hooks.New(hooks.Config{Dir: t.TempDir(), Timeout: time.Minute, Log: log}), Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	running.Go(func() { r.Page.Run(ctx, s, a) })
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(r.stop)

	ca, err := x509.ParseCertificate(r.Page.Page().CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	r.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if resp, err := r.client.Get(r.url()); err == nil {
			resp.Body.Close()
			return r
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// request is one as the page makes it.
func (r *rig) request(method, path, body string) *http.Request {
	req, _ := http.NewRequest(method, r.url()+path, strings.NewReader(body))
	req.Header.Set("Origin", r.url())
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		req.Header.Set("X-Token", r.token)
	}
	return req
}

// do gives status, body as an object, and header of an answer.
func (r *rig) do(t *testing.T, req *http.Request) (int, map[string]any, http.Header) {
	t.Helper()
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	v := map[string]any{}
	json.NewDecoder(resp.Body).Decode(&v)
	return resp.StatusCode, v, resp.Header
}

// login keeps the cookie in the client.
func (r *rig) login(t *testing.T) {
	t.Helper()
	resp, err := r.client.Do(r.request("POST", "/login", `{"pin":"`+hex.EncodeToString(pin)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var st state
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil || st.Token == "" || len(resp.Cookies()) != 1 {
		t.Fatalf("%d, %v, %+v", resp.StatusCode, err, st)
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Name != "__Host-pngw" {
		t.Errorf("cookie %+v", c)
	}
	r.token = st.Token
	inner := r.client.Transport
	r.client.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		if req.Header.Get("Cookie") == "" {
			req.AddCookie(c)
		}
		return inner.RoundTrip(req)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whoever is not logged in gets the page and a place to log in, and nothing of the gateway.
func TestNotLoggedIn(t *testing.T) {
	r := newRig(t)
	for _, req := range []*http.Request{
		r.request("GET", "/v1/pnes", ""), r.request("GET", "/v1/watch", ""), r.request("POST", "/v1/jobs", "{}"), r.request("POST", "/v1/table", "{}"),
		r.request("POST", "/v1/device", `{"text":"x"}`), r.request("POST", "/v1/readmit", `{"entity_id":"x"}`), r.request("POST", "/logout", ""),
	} {
		req.Header.Set("Cookie", cookieName+"=") // of nobody
		if status, body, _ := r.do(t, req); status != 401 {
			t.Errorf("%s %s: %d %v", req.Method, req.URL.Path, status, body)
		}
	}
	for path, want := range map[string]int{"/v1/status": 404, "/v1/provision": 404, "/v1/page/pin": 404, "/v1/metrics": 404, "/dist/app.js.gz": 404, "/session": 200, "/": 200, "/ca.crt": 200} {
		if status, _, _ := r.do(t, r.request("GET", path, "")); status != want {
			t.Errorf("GET %s: %d, want %d", path, status, want)
		}
	}
	status, body, _ := r.do(t, r.request("POST", "/login", `{"pin":"`+hex.EncodeToString([]byte("another thing of 32 bytes, wrong"))+`"}`))
	if status != 403 || body["token"] != nil {
		t.Errorf("a wrong PIN: %d %v", status, body)
	}
}

// What is kept of the PIN opens nothing.
func TestKeptPIN(t *testing.T) {
	r := newRig(t)
	kept, _ := r.store.Get(recordName)
	sum := sha256.Sum256(pin)
	if !strings.Contains(string(kept), `"pin":`) || strings.Contains(string(kept), hex.EncodeToString(pin)) {
		t.Fatalf("the record: %s", kept)
	}
	if status, _, _ := r.do(t, r.request("POST", "/login", `{"pin":"`+hex.EncodeToString(sum[:])+`"}`)); status != 403 {
		t.Errorf("what is kept logs in: %d", status)
	}
}

// Another page gets a technician's browser to do nothing here.
func TestForgedRequests(t *testing.T) {
	r := newRig(t)
	r.login(t)
	for name, tt := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"as it is":            {func(*http.Request) {}, 422},
		"without the token":   {func(q *http.Request) { q.Header.Del("X-Token") }, 401},
		"with a wrong token":  {func(q *http.Request) { q.Header.Set("X-Token", r.token+"x") }, 401},
		"from another page":   {func(q *http.Request) { q.Header.Set("Origin", "https://evil.example") }, 403},
		"another site's":      {func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"the router's other":  {func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		"no origin":           {func(q *http.Request) { q.Header.Del("Origin"); q.Header.Del("Sec-Fetch-Site") }, 403},
		"null origin":         {func(q *http.Request) { q.Header.Set("Origin", "null") }, 403},
		"a form":              {func(q *http.Request) { q.Header.Set("Content-Type", "text/plain") }, 400},
		"another host's name": {func(q *http.Request) { q.Host = "router.evil.example" }, 421},
	} {
		req := r.request("POST", "/v1/device", `{"text":""}`)
		tt.change(req)
		if status, body, _ := r.do(t, req); status != tt.want {
			t.Errorf("%s: %d %v, want %d", name, status, body, tt.want)
		}
	}
	req := r.request("GET", "/v1/pnes", "")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if status, _, _ := r.do(t, req); status != 403 {
		t.Errorf("read from another page: %d", status)
	}
	req = r.request("GET", "/", "")
	req.Header.Del("Origin")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	if status, _, _ := r.do(t, req); status != 200 {
		t.Errorf("a link to the page: %d", status)
	}
}

// TestLoginIsShort: forty strangers at once, with a table's worth of bytes each, would take
// more than the router has to spare.
func TestLoginIsShort(t *testing.T) {
	r := newRig(t)
	if status, body, _ := r.do(t, r.request("POST", "/login", `{"pin":"`+strings.Repeat("0", maxLogin)+`"}`)); status != 413 {
		t.Errorf("a long login: %d %v", status, body)
	}
	if status, body, _ := r.do(t, r.request("POST", "/login", `{"pin":"00"}`)); status != 403 {
		t.Errorf("a short one: %d %v", status, body)
	}
}

// Every answer, good or bad, has what keeps the page to itself.
func TestHeaders(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/", "/app.js?1", "/session", "/nothing", "/v1/pnes", "/ca.crt"} {
		_, _, h := r.do(t, r.request("GET", path, ""))
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, h)
		}
		if keep := strings.Contains(h.Get("Cache-Control"), "immutable"); keep != (path == "/app.js?1") {
			t.Errorf("%s: Cache-Control: %s", path, h.Get("Cache-Control"))
		}
	}
}

// A page that is not gzip's gets it as it is; all of it is at most 60 kB.
func TestFiles(t *testing.T) {
	total := 0
	for path, f := range files {
		total += len(f.Text)
		r, _ := http.NewRequest("GET", path, nil)
		w := &recorder{header: http.Header{}}
		f.ServeHTTP(w, r)
		if len(w.text) <= len(f.Text) && len(f.Text) > 400 || w.header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d bytes, %v", path, len(w.text), w.header)
		}
		if strings.Contains(w.text, "http://") && !strings.Contains(w.text, "http://www.w3.org/2000/svg") {
			t.Errorf("%s has something from elsewhere", path)
		}
	}
	if total > 60_000 {
		t.Errorf("the page has %d bytes", total)
	}
}

type recorder struct {
	header http.Header
	text   string
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(int)     {}
func (r *recorder) Write(b []byte) (int, error) {
	r.text += string(b)
	return len(b), nil
}

func jobBody(id, entity string) string {
	return `{"id":"` + id + `","user":"alice","password_hash":"` + strings.Repeat("00", 32) + `","entity_ids":["` + entity + `"]}`
}

// Asked for twice it is one job; the device of a job is in no other; and what is under
// way is told to whoever connects, and ends when the agent does.
func TestJobs(t *testing.T) {
	r := newRig(t)
	r.login(t)
	const one, two = "0123456789abcdef", "fedcba9876543210"
	for range 3 {
		if status, body, _ := r.do(t, r.request("POST", "/v1/jobs", jobBody(one, "m-1"))); status != 200 || body["id"] != one {
			t.Fatalf("%d %v", status, body)
		}
	}
	if status, body, _ := r.do(t, r.request("POST", "/v1/jobs", jobBody(two, "m-1"))); status != 409 || body["code"] != "busy" {
		t.Errorf("the same device in another job: %d %v", status, body)
	}
	if status, body, _ := r.do(t, r.request("POST", "/v1/jobs", jobBody("short", "m-2"))); status != 400 {
		t.Errorf("without a name: %d %v", status, body)
	}
	r.mu.Lock()
	n := len(r.jobs)
	r.mu.Unlock()
	if n != 1 {
		t.Errorf("%d jobs", n)
	}
	events := r.watch(t)
	if v := events.next(t, "job"); v["id"] != one || v["ended"] != false || v["first"] != true {
		t.Errorf("told %v", v)
	}
	if v := events.next(t, "gateway"); v["gateway"] != "gw-0001" {
		t.Errorf("told %v", v)
	}
	close(r.server)
	for v := events.next(t, "job"); v["ended"] != true; v = events.next(t, "job") {
	}
	// Now it may be asked for again.
	if status, body, _ := r.do(t, r.request("POST", "/v1/jobs", jobBody(two, "m-1"))); status != 200 {
		t.Errorf("after the first has ended: %d %v", status, body)
	}
	r.stop()
	for id, j := range r.jobs {
		if j.ended.IsZero() || j.items[0].End == nil {
			t.Errorf("job %s has not ended with the agent", id)
		}
	}
}

// Jobs that run are never dropped, those that ended make room.
func TestJobsAreBounded(t *testing.T) {
	p := &Page{jobs: map[string]*job{}, changed: make(chan struct{})}
	for i := range maxJobs {
		if !p.enter(&job{id: string(rune('A' + i))}) {
			t.Fatal(i)
		}
	}
	if p.enter(&job{id: "more"}) {
		t.Error("one more than there may be")
	}
	p.jobs["B"].ended = time.Now()
	if !p.enter(&job{id: "more"}) || p.jobs["B"] != nil || len(p.jobs) != maxJobs {
		t.Error("the one that has ended did not make room")
	}
	p.jobs["C"].ended = time.Now().Add(-2 * jobKept)
	p.jobs["D"].ended = time.Now().Add(-2 * jobKept)
	if !p.enter(&job{id: "again"}) || len(p.jobs) != maxJobs-1 {
		t.Error("old ones stay")
	}
}

// A new PIN ends the stream of who is logged in.
func TestOver(t *testing.T) {
	r := newRig(t)
	r.login(t)
	events := r.watch(t)
	events.next(t, "gateway")
	if err := r.SetPIN(salt, []byte(strings.Repeat("x", 32))); err != nil {
		t.Fatal(err)
	}
	events.next(t, "over")
}

// The CA and the PIN are those of the record, for a page that is made anew.
func TestRecord(t *testing.T) {
	r := newRig(t)
	again, err := New(Config{Address: r.address, Store: r.store, Gateway: "renamed", Clock: clock{}, Log: r.log})
	if err != nil {
		t.Fatal(err)
	}
	one, _ := r.shown.certificate(nil)
	two, _ := again.shown.certificate(nil)
	if again.Page().Fingerprint != r.Page.Page().Fingerprint || !again.record.PIN.fits(pin) || string(one.Certificate[0]) != string(two.Certificate[0]) {
		t.Error("it is another")
	}
	r.store.Put(recordName, []byte("{"))
	if _, err := New(Config{Address: r.address, Store: r.store, Clock: clock{}, Log: r.log}); err == nil || strings.Contains(err.Error(), "{") {
		t.Errorf("a broken record: %v", err)
	}
}

// The certificate is made anew when its period is over, and when the clock is set.
func TestCertificateOfThePeriod(t *testing.T) {
	r := newRig(t)
	at := time.Unix(0, 0)
	s := shown{record: r.record, at: r.address.Addr(), now: func() time.Time { return at }}
	seen := map[string]bool{}
	for _, at = range []time.Time{time.Unix(0, 0), time.Unix(100, 0), time.Unix(1795600000, 0), time.Unix(1795600000, 0).Add(period)} {
		pair, err := s.certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil || c.NotBefore.After(at) || c.NotAfter.Before(at.Add(lifetime-period)) {
			t.Errorf("at %v: good from %v until %v, %v", at, c.NotBefore, c.NotAfter, err)
		}
		seen[string(pair.Certificate[0])] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d certificates", len(seen))
	}
}

// One source does not take all connections.
func TestFair(t *testing.T) {
	r := newRig(t)
	var mine []net.Conn
	for range maxOfSource + 5 {
		c, err := net.Dial("tcp", r.address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		mine = append(mine, c)
	}
	closed := 0
	for _, c := range mine {
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		if e := net.Error(nil); !errors.As(err, &e) || !e.Timeout() {
			closed++
		}
	}
	if closed < 5 || closed > 7 {
		t.Errorf("%d of %d connections were closed", closed, len(mine))
	}
}

type events struct{ r *bufio.Scanner }

func (r *rig) watch(t *testing.T) events {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	resp, err := r.client.Do(r.request("GET", "/v1/watch", "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return events{bufio.NewScanner(resp.Body)}
}

// next is the next event of a kind.
func (e events) next(t *testing.T, kind string) map[string]any {
	t.Helper()
	is := ""
	for e.r.Scan() {
		if k, ok := strings.CutPrefix(e.r.Text(), "event: "); ok {
			is = k
		}
		if data, ok := strings.CutPrefix(e.r.Text(), "data: "); ok && is == kind {
			v := map[string]any{}
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no event %s: %v", kind, e.r.Err())
	return nil
}
