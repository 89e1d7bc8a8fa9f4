package againstserver

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

var matrix = flag.Bool("matrix", false, "try every case on every faulty server, and not only the case that is there for it")

// A fault is a server that only one case catches; or some more, which have their reason.
type fault struct {
	of   string // the case
	also []string
	why  string // also
	wrong
}

// TestFaults: for each case there is a server that it alone finds fault with.
func TestFaults(t *testing.T) {
	all := slices.Concat(faultyAnswers, faultyRefusals, faultyHTTP, faultyStep0)
	for _, c := range Suite.Cases {
		if !slices.ContainsFunc(all, func(f fault) bool { return f.of == c.Name }) {
			t.Errorf("no faulty server is there for case %s", c.Name)
		}
	}
	for _, f := range all {
		inPage(t, f.of, f.also, f.why)
		t.Run(f.of, func(t *testing.T) {
			serve(t, &f.wrong, func(t *testing.T, r *rig) {
				var args []string
				if !*matrix {
					args = []string{"--only", f.of}
					if !strings.HasPrefix(f.of, "psk1-") && !strings.HasPrefix(f.of, "enrol-") {
						r.config.Code = nil // spares an enrolment
					}
				}
				caught := false
				for _, c := range r.run(t, args...).Cases {
					switch {
					case c.Name == f.of:
						caught = c.Verdict == "fail"
						t.Logf("%s: %s; expected %s, seen %s%s", c.Name, c.Verdict, c.Expected, c.Seen, c.Reason)
					case c.Verdict != "pass" && !slices.Contains(f.also, c.Name):
						t.Errorf("is caught by %s too: %s; expected %s, seen %s%s", c.Name, c.Verdict, c.Expected, c.Seen, c.Reason)
					}
				}
				if !caught {
					t.Errorf("is not caught")
				}
				if (len(f.also) > 0) != (f.why != "") {
					t.Errorf("what else catches it has no reason")
				}
			})
		})
	}
}

// inPage wants the page to say that a fault is found by other cases too, and why.
func inPage(t *testing.T, of string, also []string, why string) {
	t.Helper()
	if len(also) == 0 {
		return
	}
	page, err := os.ReadFile("../../../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	if row := fmt.Sprintf("| `%s` | `%s` | %s |\n", of, strings.Join(also, "`, `"), why); !strings.Contains(string(page), row) {
		t.Errorf("docs/conformance.md has no row %s", row)
	}
}

// asked is a request as a fault sees it.
type asked struct {
	body      []byte
	psk       *PSK1 // that opened it, nil for none
	identity  string
	entity    string
	user      string
	rand      string
	time      uint64
	hello     []byte
	plaintext []byte
	is        *wire.Body // nil where it is none
	canonical bool
	http      *http.Request
}

// edit is a fault that changes what an assignment is answered.
func edit(change func(q *asked, a *edited)) wrong {
	return wrong{handler: func(r *rig, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != assignmentPath || req.Method != http.MethodPost {
				next.ServeHTTP(w, req)
				return
			}
			q := r.read(req)
			got := record(next, req)
			a := &edited{ResponseRecorder: got, q: q}
			if q.psk != nil && got.Code == 200 {
				opened, err := (&answer{status: 200, header: got.Header(), body: got.Body.Bytes(), sent: q.body}).open(q.psk)
				if err != nil {
					panic(err)
				}
				a.response = opened
				a.iv = random(12)
			}
			change(q, a)
			a.write(w)
		})
	}}
}

// read reads a request, and opens it where it is under a PSK1 from a file.
func (r *rig) read(req *http.Request) *asked {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		body = nil
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	q := &asked{body: body, http: req}
	q.is, q.canonical, err = wire.ReadBody(body)
	if err != nil {
		return q
	}
	q.identity = string(q.is.Identity)
	for _, p := range []*PSK1{r.config.PSK1, r.config.Second} {
		if p.Identity != q.identity {
			continue
		}
		plaintext, ok := q.is.Open(wire.Key(p.Key, nil, wire.InfoRequest), q.is.Identity)
		if !ok {
			continue
		}
		q.psk, q.plaintext = p, plaintext
		item, _, _ := wire.Decode(plaintext)
		if fields, ok := item.([]any); ok && len(fields) >= 5 {
			q.entity, _ = fields[0].(string)
			q.user, _ = fields[1].(string)
			rand, _ := fields[2].([]byte)
			q.rand = string(rand)
			q.time, _ = fields[3].(uint64)
			if len(fields) == 6 {
				q.hello, _ = fields[5].([]byte)
			}
		}
	}
	return q
}

func record(next http.Handler, req *http.Request) *httptest.ResponseRecorder {
	got := httptest.NewRecorder()
	next.ServeHTTP(got, req)
	return got
}

// edited is an answer that a fault may change. Where it was a response, it is sealed anew.
type edited struct {
	*httptest.ResponseRecorder
	*response
	q        *asked
	longTime bool // encode server-time in nine bytes
	as       string
}

func (e *edited) write(w http.ResponseWriter) {
	body := e.Body.Bytes()
	if e.response != nil {
		number := wire.Uint(e.serverTime)
		if e.longTime {
			number = wire.LongUint(e.serverTime)
		}
		var keys [][]byte
		for _, k := range e.keys {
			keys = append(keys, wire.Bytes(k))
		}
		plaintext := wire.Array(wire.Uint(e.status), number, wire.Uint(e.epoch), wire.Bytes(e.tk), wire.Array(keys...))
		b := wire.SealBody(wire.Key(e.q.psk.Key, wire.Hash(e.q.body), wire.InfoResponse), []byte(e.q.psk.Identity), e.iv, plaintext)
		if e.as != "" {
			b.Identity = []byte(e.as)
		}
		body = b.Bytes()
		e.Header().Del("Content-Length")
	}
	for name, values := range e.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(e.Code)
	w.Write(body)
}

// succeed makes a response a Success, of keys that nobody has drawn.
func (e *edited) succeed() {
	e.Code = 200
	e.response.status, e.epoch, e.tk, e.keys = statusSuccess, 5_000_000, random(16), wire.Chain(random(32), 8)
}

// answered is a fault that answers some requests itself.
func answered(status int, whose func(r *rig, q *asked) bool) wrong {
	return wrong{handler: func(r *rig, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if q := r.read(req); req.URL.Path == assignmentPath && req.Method == http.MethodPost && whose(r, q) {
				refuse(w, status, "")
				return
			}
			next.ServeHTTP(w, req)
		})
	}}
}

func refuse(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"status": status, "title": "x", "type": kind})
}

// seen remembers what it was asked.
type seen struct {
	mu sync.Mutex
	m  map[string]int
}

func (s *seen) add(key string, n int) (before int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[string]int{}
	}
	before = s.m[key]
	s.m[key] += n
	return before
}

func drop(a *edited) {
	if a.response != nil && a.response.status == statusSuccess {
		a.keys = a.keys[:len(a.keys)-1]
	}
}

func onSuccess(change func(a *edited)) wrong {
	return edit(func(_ *asked, a *edited) {
		if a.response != nil && a.response.status == statusSuccess {
			change(a)
		}
	})
}

func onStatus(from uint64, change func(q *asked, a *edited)) wrong {
	return edit(func(q *asked, a *edited) {
		if a.response != nil && a.response.status == from {
			change(q, a)
		}
	})
}

func flip(b []byte) []byte {
	c := slices.Clone(b)
	c[0] ^= 1
	return c
}

var faultyAnswers = []fault{
	{of: "assigned", wrong: onSuccess(func(a *edited) { a.epoch += 1 << 32 })},
	{of: "assigned-length", wrong: onSuccess(func(a *edited) { a.keys = a.keys[:1] })},
	{of: "assigned-chain", wrong: onSuccess(func(a *edited) { a.keys[0] = flip(a.keys[0]) })},
	{of: "assigned-tk", wrong: onSuccess(func(a *edited) { a.tk = flip(a.tk) })},
	{of: "epoch-clock", wrong: onSuccess(func(a *edited) { a.epoch -= 3_000_000 })},
	{of: "epoch-grows", wrong: onSuccess(func(a *edited) { a.epoch = 1<<31 - a.epoch })},
	{of: "epoch-keys", wrong: func() wrong {
		var mu sync.Mutex
		var first [][]byte
		return onSuccess(func(a *edited) {
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = a.keys
			}
			a.keys = first
		})
	}()},
	{of: "repeat-bytes", wrong: func() wrong {
		var s seen
		return onSuccess(func(a *edited) {
			if s.add(string(a.q.body), 1) > 0 {
				drop(a)
			}
		})
	}()},
	{of: "repeat-contents", also: []string{"repeat-at-once"}, why: "that one sends the same contents, sealed anew, too", wrong: func() wrong {
		var s, bodies seen
		return onSuccess(func(a *edited) {
			other := s.add(a.q.rand, 1) > 0 && bodies.add(string(a.q.body), 1) == 0
			if other && a.q.hello == nil {
				drop(a)
			}
			bodies.add(string(a.q.body), 1)
		})
	}()},
	{of: "repeat-hello", wrong: func() wrong {
		var s seen
		return onSuccess(func(a *edited) {
			if s.add(a.q.rand, 1) > 0 && a.q.hello != nil {
				drop(a)
			}
		})
	}()},
	{of: "repeat-at-once", wrong: wrong{handler: func(r *rig, next http.Handler) http.Handler {
		var s seen
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != assignmentPath || req.ContentLength < 0 || req.ContentLength > 1000 {
				next.ServeHTTP(w, req)
				return
			}
			q := r.read(req)
			at := s.add(q.rand, 1)
			defer s.add(q.rand, -1)
			time.Sleep(50 * time.Millisecond) // so that those sent at once are here at once
			if q.rand != "" && at > 0 {
				refuse(w, 409, "")
				return
			}
			next.ServeHTTP(w, req)
		})
	}}},
	{of: "response-canonical", wrong: onSuccess(func(a *edited) { a.longTime = true })},
	{of: "response-identity", wrong: onSuccess(func(a *edited) { a.as = "gw-9" })},
	{of: "response-iv", wrong: onSuccess(func(a *edited) { a.iv = wire.Hash(a.q.body)[:12] })},
	{of: "response-type", wrong: onSuccess(func(a *edited) { a.Header().Set("Content-Type", "application/octet-stream") })},
	{of: "response-time", wrong: onSuccess(func(a *edited) { a.serverTime += 3600 })},

	{of: "user-password", wrong: func() wrong {
		var s seen
		return onStatus(statusUser, func(q *asked, a *edited) {
			if q.user == "alice" && s.add("", 1) == 0 {
				a.response.status = statusUnknownPNE
			}
		})
	}()},
	{of: "user-unknown", wrong: onStatus(statusUser, func(q *asked, a *edited) {
		if q.user != "alice" && q.entity == "pne-1" {
			a.response.status = statusUnknownPNE
		}
	})},
	{of: "user-alike", wrong: onStatus(statusUser, func(q *asked, a *edited) {
		if q.user != "alice" {
			a.Header().Set("X-User", "none")
		}
	})},
	{of: "user-first", wrong: onStatus(statusUser, func(q *asked, a *edited) {
		if q.entity != "pne-1" {
			a.response.status = statusUnknownPNE
		}
	})},
	{of: "time-window", wrong: onStatus(statusTime, func(q *asked, a *edited) {
		if d := int64(q.time) - time.Now().Unix(); q.time < 1<<40 && d > -600 && d < 600 {
			a.succeed()
		}
	})},
	{of: "time-far", wrong: onStatus(statusTime, func(q *asked, a *edited) {
		if q.time > 1<<40 {
			a.succeed()
		}
	})},
	{of: "time-corrected", wrong: onStatus(statusTime, func(q *asked, a *edited) {
		if q.time > 0 && q.time < 1<<40 {
			a.serverTime += 3600
		}
	})},
	{of: "pne-unknown", wrong: onStatus(statusUnknownPNE, func(_ *asked, a *edited) { a.response.status = statusUser })},
	{of: "pne-owned", wrong: onStatus(statusOwned, func(_ *asked, a *edited) { a.response.status = statusUnknownPNE })},
	{of: "random-reused", wrong: onStatus(statusReused, func(q *asked, a *edited) {
		if q.identity == "gw-1" {
			a.succeed()
		}
	})},
	{of: "random-other-gateway", wrong: onStatus(statusReused, func(q *asked, a *edited) {
		if q.identity == "gw-2" {
			a.succeed()
		}
	})},
	{of: "refused-empty", wrong: onStatus(statusUnknownPNE, func(_ *asked, a *edited) { a.tk = random(16) })},
	{of: "user-locked", wrong: onStatus(statusLocked, func(_ *asked, a *edited) { a.Header().Del("Retry-After") })},
}

// takes is a fault that answers what is malformed as if it were not.
func takes(which func(q *asked, item any, rest []byte, err error) bool) wrong {
	return answered(200, func(_ *rig, q *asked) bool {
		item, rest, err := wire.Decode(q.body)
		return which(q, item, rest, err)
	})
}

var faultyRefusals = []fault{
	{of: "body-cut", wrong: takes(func(q *asked, _ any, _ []byte, err error) bool {
		return err != nil && strings.Contains(err.Error(), "in the middle") && q.http.ContentLength == int64(len(q.body))
	})},
	{of: "body-trailing", wrong: takes(func(q *asked, item any, rest []byte, err error) bool {
		_, array := item.([]any)
		return array && len(rest) > 0
	})},
	{of: "body-indefinite", wrong: takes(func(q *asked, _ any, _ []byte, err error) bool {
		return len(q.body) > 12 && (q.body[0] == 0x9f || bytes.IndexByte(q.body[:12], 0xbf) == 6 || err != nil && strings.Contains(err.Error(), "no CBOR"))
	})},
	{of: "body-long-form", wrong: takes(func(q *asked, _ any, _ []byte, _ error) bool {
		return len(q.body) > 12 && (q.body[0] == 0x98 || q.body[1] == 0x59 || bytes.Equal(q.body[6:9], []byte{0xa2, 0x18, 4}))
	})},
	{of: "body-map-order", wrong: takes(func(q *asked, item any, _ []byte, _ error) bool {
		labels := labelsOf(item)
		return slices.Equal(labels, []uint64{5, 4}) || slices.Equal(labels, []uint64{4, 4, 5})
	})},
	{of: "body-tagged", wrong: takes(func(q *asked, _ any, _ []byte, _ error) bool { return len(q.body) > 0 && q.body[0] == 0xd0 })},
	{of: "body-headers", wrong: takes(func(q *asked, item any, rest []byte, _ error) bool {
		labels := labelsOf(item)
		return q.is != nil && len(rest) == 0 && (!bytes.Equal(q.is.Protected, wire.ProtectedEncrypt0) || slices.Equal(labels, []uint64{4, 5, 6}) || slices.Equal(labels, []uint64{5}))
	})},
	{of: "body-sizes", wrong: takes(func(q *asked, _ any, _ []byte, _ error) bool {
		return q.canonical && (len(q.is.IV) != 12 || len(q.is.Ciphertext) < 16 || len(q.identity) == 0 || len(q.identity) > 128 || strings.ContainsAny(q.identity, " \x00"))
	})},
	{of: "sealed-malformed", wrong: edit(func(q *asked, a *edited) {
		if q.psk != nil && q.canonical && a.Code == 400 && q.hello == nil {
			a.Code = 200
		}
	})},
	{of: "hello-foreign", wrong: edit(func(q *asked, a *edited) {
		if q.psk != nil && a.Code == 400 && q.hello != nil {
			a.Code = 200
		}
	})},
	{of: "hello-taken", wrong: answered(400, func(_ *rig, q *asked) bool { return len(q.hello) > 0 && q.hello[0] == 0x89 })},
	{of: "sender-unknown", wrong: answered(404, func(r *rig, q *asked) bool {
		if q.is == nil || q.identity == "gw-1" {
			return false
		}
		_, ok := q.is.Open(wire.Key(r.config.PSK1.Key, nil, wire.InfoRequest), q.is.Identity)
		return ok
	})},
	{of: "sender-tampered", wrong: answered(200, func(r *rig, q *asked) bool {
		if q.is == nil || q.psk != nil || len(q.is.Ciphertext) < 16 {
			return false
		}
		q.is.Ciphertext = flip(q.is.Ciphertext)
		_, ok := q.is.Open(wire.Key(r.config.PSK1.Key, nil, wire.InfoRequest), q.is.Identity)
		return ok
	})},
	{of: "sender-aad", wrong: answered(200, func(r *rig, q *asked) bool {
		if q.is == nil {
			return false
		}
		_, ok := q.is.Open(wire.Key(r.config.PSK1.Key, nil, wire.InfoRequest), nil)
		return ok
	})},
	{of: "sender-key", wrong: answered(200, func(r *rig, q *asked) bool {
		if q.is == nil {
			return false
		}
		_, ok := q.is.Open(wire.Key(r.config.PSK1.Key, nil, wire.InfoResponse), q.is.Identity)
		return ok
	})},
	{of: "sender-alike", wrong: edit(func(q *asked, a *edited) {
		if a.Code == 401 && q.identity == "gw-1" {
			a.Header().Set("X-Identity", "known")
		}
	})},
}

func labelsOf(item any) (labels []uint64) {
	parts, _ := item.([]any)
	if len(parts) != 3 {
		return nil
	}
	header, _ := parts[1].(wire.MapItem)
	for n := 0; n+1 < len(header); n += 2 {
		label, _ := header[n].(uint64)
		labels = append(labels, label)
	}
	return labels
}

// by is a fault that looks at the request's head.
func by(change func(w http.ResponseWriter, req *http.Request, next http.Handler)) wrong {
	return wrong{handler: func(_ *rig, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { change(w, req, next) })
	}}
}

// A rewriter changes what is read, up to the first match.
type rewriter struct {
	net.Conn
	from, to string
	rest     []byte
	done     bool
}

func (r *rewriter) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		buf := make([]byte, 16<<10)
		n, err := r.Conn.Read(buf)
		if n == 0 {
			return 0, err
		}
		r.rest = buf[:n]
		if !r.done && bytes.Contains(r.rest, []byte(r.from)) {
			r.rest, r.done = bytes.Replace(r.rest, []byte(r.from), []byte(r.to), 1), true
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

var faultyHTTP = []fault{
	{of: "http-method", wrong: by(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.Method == "PATCH" {
			req.Method = "POST"
		}
		next.ServeHTTP(w, req)
	})},
	{of: "http-type", wrong: by(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.Header.Get("Content-Type") == "application/cbor" {
			req.Header.Set("Content-Type", contentType)
		}
		next.ServeHTTP(w, req)
	})},
	{of: "http-too-long", wrong: by(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.ContentLength < 0 {
			body, _ := io.ReadAll(req.Body)
			if len(body) > maxRequest {
				refuse(w, 400, "")
				return
			}
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
		next.ServeHTTP(w, req)
	})},
	{of: "http-longest", wrong: by(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.ContentLength == maxRequest {
			refuse(w, 413, "")
			return
		}
		next.ServeHTTP(w, req)
	})},
	{of: "http-problem", wrong: by(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.Method == "GET" {
			http.Error(w, "no", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, req)
	})},
	{of: "http-path", wrong: by(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		req.URL.Path = strings.TrimSuffix(req.URL.Path, "/")
		next.ServeHTTP(w, req)
	})},
	{of: "http-keep-alive", wrong: by(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.Method != "GET" {
			next.ServeHTTP(w, req)
			return
		}
		got := record(next, req)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		res := got.Result()
		res.Body, res.ContentLength = io.NopCloser(got.Body), int64(got.Body.Len())
		res.Write(conn)
		conn.Close()
	})},
	{of: "http-framing", wrong: wrong{front: func(c net.Conn) net.Conn {
		return &rewriter{Conn: c, from: "Content-Length :", to: "Content-Length:"}
	}}},
	{of: "http-header", wrong: wrong{web: func(s *http.Server) { s.MaxHeaderBytes = 8 << 20 }}},
	{of: "tls-version", wrong: wrong{web: func(s *http.Server) { s.TLSConfig.MinVersion = tls.VersionTLS10 }}},
	{of: "tls-only", wrong: wrong{front: func(c net.Conn) net.Conn { return c }, plain: true}},
	{of: "http-slow", wrong: wrong{web: func(s *http.Server) { s.ReadTimeout, s.ReadHeaderTimeout, s.IdleTimeout = 0, 0, 0 }}},
	{of: "http-flood", wrong: wrong{handler: func(r *rig, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if q := r.read(req); strings.HasPrefix(q.identity, "conform-gateway-") {
				got := record(next, req)
				if got.Code == 429 {
					refuse(w, 401, "")
					return
				}
				(&edited{ResponseRecorder: got}).write(w)
				return
			}
			next.ServeHTTP(w, req)
		})
	}}},
}

// at is a fault in the answer to a path of step 0.
func at(path string, change func(req *http.Request, got *httptest.ResponseRecorder, out map[string]any)) wrong {
	return wrong{handler: func(_ *rig, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != path {
				next.ServeHTTP(w, req)
				return
			}
			got := record(next, req)
			out := map[string]any{}
			json.Unmarshal(got.Body.Bytes(), &out)
			change(req, got, out)
			got.Header().Del("Content-Length")
			for name, values := range got.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(got.Code)
			json.NewEncoder(w).Encode(out)
		})
	}}
}

func onPSK1(change func(out map[string]any)) wrong {
	return at(psk1Path, func(_ *http.Request, got *httptest.ResponseRecorder, out map[string]any) {
		if got.Code == 200 {
			change(out)
		}
	})
}

// gives is a fault that gives a PSK1 to whom it should not.
func gives(whom func(*http.Request) bool) wrong {
	return at(psk1Path, func(req *http.Request, got *httptest.ResponseRecorder, out map[string]any) {
		if got.Code != 200 && whom(req) {
			got.Code = 200
		}
	})
}

// identities has those that were given, in their order.
type identities struct {
	mu   sync.Mutex
	list []string
}

// with tells change of each assignment under a PSK1 of step 0.
func (i *identities) with(change func(q *asked, given []string, got *httptest.ResponseRecorder)) wrong {
	return wrong{handler: func(r *rig, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != psk1Path && req.URL.Path != assignmentPath || req.Method != "POST" || req.ContentLength < 0 || req.ContentLength > 1000 {
				next.ServeHTTP(w, req)
				return
			}
			q := r.read(req)
			got := record(next, req)
			i.mu.Lock()
			defer i.mu.Unlock()
			if req.URL.Path == psk1Path && got.Code == 200 {
				var out struct{ Identity string }
				json.Unmarshal(got.Body.Bytes(), &out)
				i.list = append(i.list, out.Identity)
			} else if slices.Contains(i.list, q.identity) {
				change(q, i.list, got)
			}
			(&edited{ResponseRecorder: got}).write(w)
		})
	}}
}

var faultyStep0 = []fault{
	{of: "psk1-given", wrong: onPSK1(func(out map[string]any) { out["lifetime"] = 30 })},
	{of: "psk1-confirmed", wrong: onPSK1(func(out map[string]any) { out["confirmation"] = base64url.EncodeToString(random(32)) })},
	{of: "psk1-pins", wrong: onPSK1(func(out map[string]any) { out["pins"] = []string{base64url.EncodeToString(random(16))} })},
	{of: "psk1-used", also: []string{"psk1-another"}, why: "a PSK1 has to be used before it is the one before", wrong: new(identities).with(func(_ *asked, _ []string, got *httptest.ResponseRecorder) { got.Code = 401 })},
	{of: "psk1-bound", wrong: new(identities).with(func(_ *asked, _ []string, got *httptest.ResponseRecorder) {
		if got.Code == 401 {
			got.Code = 200
		}
	})},
	{of: "psk1-another", wrong: new(identities).with(func(q *asked, given []string, got *httptest.ResponseRecorder) {
		if q.identity != given[len(given)-1] {
			got.Code = 401
		}
	})},
	{of: "psk1-unknown", wrong: at(psk1Path, func(_ *http.Request, got *httptest.ResponseRecorder, out map[string]any) {
		if out["type"] == "urn:cpns:gateway-unknown" {
			out["type"] = "urn:cpns:gateway-removed"
		}
	})},
	{of: "psk1-certificate", wrong: gives(func(req *http.Request) bool { return len(req.TLS.PeerCertificates) == 0 })},
	{of: "psk1-tls13", wrong: gives(func(req *http.Request) bool { return req.TLS.Version < tls.VersionTLS13 })},
	{of: "psk1-resumed", wrong: gives(func(req *http.Request) bool { return req.TLS.DidResume })},
	{of: "psk1-body", wrong: gives(func(req *http.Request) bool { return req.ContentLength == 2 })},
	{of: "psk1-method", wrong: gives(func(req *http.Request) bool { return req.Method != "POST" })},
	{of: "enrol-again", wrong: at(enrolmentPath, func(_ *http.Request, got *httptest.ResponseRecorder, out map[string]any) { delete(out, "ca") })},
	{of: "enrol-pending", wrong: at(enrolmentPath, func(_ *http.Request, got *httptest.ResponseRecorder, _ map[string]any) {
		if got.Code == 202 {
			got.Header().Del("Retry-After")
		}
	})},
	{of: "enrol-proof", also: []string{"enrol-bound"}, why: "to the server a proof of another connection is a proof of no secret", wrong: at(enrolmentPath, func(_ *http.Request, got *httptest.ResponseRecorder, out map[string]any) {
		if out["type"] == "urn:cpns:enrolment-refused" {
			got.Code = 202
		}
	})},
	{of: "enrol-bound", wrong: func() wrong {
		var s seen
		return at(enrolmentPath, func(req *http.Request, got *httptest.ResponseRecorder, out map[string]any) {
			if s.add(string(req.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo), 1) > 0 && out["type"] == "urn:cpns:enrolment-refused" {
				got.Code = 202
			}
		})
	}()},
	{of: "enrol-used", wrong: at(enrolmentPath, func(_ *http.Request, got *httptest.ResponseRecorder, out map[string]any) {
		if out["type"] == "urn:cpns:code-used" {
			got.Code = 202
		}
	})},
	{of: "enrol-malformed", wrong: at(enrolmentPath, func(_ *http.Request, got *httptest.ResponseRecorder, _ map[string]any) {
		if got.Code == 413 {
			got.Code = 400
		}
	})},
}
