package againstserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/internal/sleep"
)

// overHTTP is what a server does whoever asks.
var overHTTP = []testCase{
	{Name: "http-method", Clause: "3, HTTP 405", Says: "another method than POST gets HTTP 405",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			for _, method := range []string{"GET", "PUT", "DELETE", "PATCH"} {
				s.wantAnswer(ctx, t, 405, method, s.message(method, assignmentPath, s.anyBody()))
			}
		}},
	{Name: "http-type", Clause: "3, HTTP 415", Says: "another Content-Type than a COSE_Encrypt0's, or an encoding, gets HTTP 415",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			for _, kind := range []string{"", "text/plain", "application/cbor", "application/cose", `application/cose; cose-type="cose-sign1"`, "nonsense;;"} {
				s.wantAnswer(ctx, t, 415, "Content-Type "+strconv.Quote(kind), s.message("POST", assignmentPath, s.anyBody(), field{"Content-Type", kind}))
			}
			s.wantAnswer(ctx, t, 415, "Content-Encoding", s.message("POST", assignmentPath, s.anyBody(), field{"Content-Encoding", "gzip"}))
		}},
	{Name: "http-too-long", Clause: "3, HTTP 413", Says: "a body of more than 4096 bytes gets HTTP 413, with its length given or not, and is not waited for",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			long := make([]byte, maxRequest+1)
			s.wantAnswer(ctx, t, 413, "4097 bytes", s.message("POST", assignmentPath, long))
			s.wantAnswer(ctx, t, 413, "4097 bytes in chunks", s.message("POST", assignmentPath, chunked(long), field{"Content-Length", ""}, field{"Transfer-Encoding", "chunked"}))
			s.wantAnswer(ctx, t, 413, "1 TB that is only announced", s.message("POST", assignmentPath, nil, field{"Content-Length", "1000000000000"}))
		}},
	{Name: "http-longest", Clause: "3", Says: "a body of 4096 bytes is looked at",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.wantAnswer(ctx, t, 400, "4096 bytes", s.message("POST", assignmentPath, make([]byte, maxRequest)))
		}},
	{Name: "http-problem", Clause: "3, RFC 9457", Says: "what is refused before PSK1 has problem details in JSON, which repeat the HTTP status",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			for status, request := range map[int][]byte{
				405: s.message("GET", assignmentPath, nil),
				415: s.message("POST", assignmentPath, s.anyBody(), field{"Content-Type", "text/plain"}),
				413: s.message("POST", assignmentPath, make([]byte, maxRequest+1)),
				400: s.message("POST", assignmentPath, []byte{0}),
			} {
				a := s.answerTo(ctx, t, http.StatusText(status), request)
				var problem struct{ Status int }
				kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
				if err := json.Unmarshal(a.body, &problem); err != nil || kind != "application/problem+json" || problem.Status != a.status {
					t.Fail(`application/problem+json with "status" as in HTTP`, fmt.Sprintf("Content-Type %q, %.200q", a.header.Get("Content-Type"), a.body))
				}
			}
		}},
	{Name: "http-path", Clause: "3", Says: "a request elsewhere than at its path assigns nothing",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p := s.gateway(t)
			for _, path := range []string{"/", "/cpns/v2/eukey-assignments", assignmentPath + "/", assignmentPath + "/x", "/x/.." + assignmentPath} {
				body := s.seal(p, s.request())
				a := s.answerTo(ctx, t, path, s.message("POST", path, body))
				a.sent = body
				if _, err := a.open(p); err == nil {
					t.Fail("no EUKey Assignment Response at "+path, a.String())
				}
			}
		}},
	{Name: "http-keep-alive", Clause: "RFC 9112, 9.3", Says: "a connection whose end the server does not announce carries the next request, also behind one that was refused",
		Run: keepAlive},
	{Name: "http-framing", Clause: "RFC 9112, 5.1 and 6.3", Says: "a request whose length can be read in two ways is refused",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p := s.gateway(t)
			body := s.seal(p, s.request())
			for what, request := range map[string][]byte{
				"two lengths":          s.message("POST", assignmentPath, body, field{"X", "1\r\nContent-Length: 7"}),
				"a space before colon": bytes.Replace(s.message("POST", assignmentPath, body), []byte("Content-Length:"), []byte("Content-Length :"), 1),
				"a negative length":    s.message("POST", assignmentPath, body, field{"Content-Length", "-1"}),
			} {
				a, err := s.once(ctx, t, what, request)
				if err == nil && a.status < 400 {
					t.Fail("HTTP 400, or the connection closed: "+what, a.String())
				}
			}
		}},
	{Name: "http-header", Clause: "3", Says: "a header of 1 MiB is refused before it is read",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p := s.gateway(t)
			request := s.message("POST", assignmentPath, s.seal(p, s.request()), field{"X-Long", strings.Repeat("x", 1<<20)})
			a, err := s.once(ctx, t, "a long header", request)
			if err == nil && a.status < 400 {
				t.Fail("HTTP 431, or the connection closed", a.String())
			}
			if ctx.Err() != nil {
				t.Fail("an end of it", "the server goes on reading")
			}
		}},
	{Name: "tls-version", Clause: "3", Says: "TLS 1.2 is spoken, and nothing older",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			c, err := s.connect(ctx, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
			if err != nil {
				t.Fail("TLS 1.2", err.Error())
			}
			c.Close()
			c, err = s.connect(ctx, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
			if err == nil {
				version := tls.VersionName(c.ConnectionState().Version)
				c.Close()
				t.Fail("no handshake below TLS 1.2", version)
			}
		}},
	{Name: "tls-only", Clause: "3", Says: "nothing is answered without TLS",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p := s.gateway(t)
			body := s.seal(p, s.request())
			c, err := s.Dial(ctx, s.address)
			if err != nil {
				t.Undecided("no connection: %v", err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(exchangeTime))
			go c.Write(s.message("POST", assignmentPath, body))
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return
			}
			defer res.Body.Close()
			got, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
			if a := (&answer{res.StatusCode, res.Header, got, body, true}); a.status < 300 {
				t.Fail("no answer, or an error", a.String())
			}
		}},
	{Name: "http-slow", Clause: "3", Limit: 10 * time.Minute, Says: "connections that send nothing, or a byte now and then, are closed, and hold up nobody meanwhile",
		Run: slow},
	{Name: "http-flood", Clause: "3, HTTP 429", Limit: 2 * time.Minute, Says: "an address whose requests are all refused gets HTTP 429 with Retry-After in the end, and a gateway at the same address is answered all the same",
		Run: flood},
}

// answerTo sends a request on a connection of its own; the case ends where there is no answer.
func (s *Server) answerTo(ctx context.Context, t *conform.T, what string, request []byte) *answer {
	for tries := 0; ; tries++ {
		a, err := s.once(ctx, t, what, request)
		if err != nil {
			t.Fail("an answer to this: "+what, err.Error())
		}
		wait, asked := a.retryAfter()
		if a.status != 429 || !asked || wait > patience || tries == 3 || sleep.For(ctx, wait) != nil {
			return a
		}
	}
}

func (s *Server) wantAnswer(ctx context.Context, t *conform.T, status int, what string, request []byte) {
	if a := s.answerTo(ctx, t, what, request); a.status != status {
		t.Fail(fmt.Sprintf("HTTP %d to this: %s", status, what), a.String())
	}
}

// anyBody is one that a gateway could send: a right one, where there is a PSK1.
func (s *Server) anyBody() []byte {
	p := s.psk
	if p == nil {
		p = &PSK1{stranger("gateway"), random(32)}
	}
	return s.seal(p, s.request())
}

func chunked(b []byte) []byte { return fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(b), b) }

func keepAlive(ctx context.Context, t *conform.T, s *Server) {
	p := s.gateway(t)
	c, err := s.connect(ctx, nil)
	if err != nil {
		t.Undecided("no connection: %v", err)
	}
	defer c.Close()
	for n := range 4 {
		body := s.seal(p, s.request())
		request := s.message("POST", assignmentPath, body)
		if n == 1 {
			request = s.message("GET", assignmentPath, nil)
		}
		a, err := c.exchange(ctx, t, fmt.Sprintf("request %d on one connection", n+1), request)
		if err != nil {
			t.Fail(fmt.Sprintf("an answer to request %d, since the connection was not said to end", n+1), err.Error())
		}
		a.sent = body
		if _, err := a.open(p); err != nil && n != 1 {
			t.Fail(fmt.Sprintf("the answer to request %d", n+1), err.Error())
		}
		if a.closed {
			return
		}
	}
}

func slow(ctx context.Context, t *conform.T, s *Server) {
	if s.Slow == 0 {
		t.NotApplicable("it takes as long as --slow says that a connection may live")
	}
	ctx, cancel := context.WithTimeout(ctx, s.Slow)
	defer cancel()
	beginnings := map[string][]byte{
		"nothing behind the handshake": nil,
		"half a header":                s.message("POST", assignmentPath, nil)[:20],
		"half a body":                  s.message("POST", assignmentPath, []byte{0x83}, field{"Content-Length", "200"}),
	}
	closed := make(chan string, 2*len(beginnings))
	for what, begin := range beginnings {
		for _, drip := range []bool{false, true} {
			c, err := s.connect(ctx, nil)
			if err != nil {
				t.Undecided("no connection: %v", err)
			}
			defer c.Close()
			c.SetDeadline(time.Time{})
			go func() {
				c.Write(begin)
				if drip {
					for sleep.For(ctx, time.Second) == nil {
						if _, err := c.Write([]byte("x")); err != nil {
							break
						}
					}
				}
			}()
			go func() {
				io.Copy(io.Discard, io.LimitReader(c, maxAnswer))
				if ctx.Err() == nil {
					closed <- what
				}
			}()
		}
	}
	s.want(ctx, t, statusSuccess, s.request())
	for n := range 2 * len(beginnings) {
		select {
		case what := <-closed:
			t.Note("closed: %s", what)
		case <-ctx.Done():
			t.Fail(fmt.Sprintf("%d connections closed within %v", 2*len(beginnings), s.Slow), fmt.Sprintf("%d that are still open", 2*len(beginnings)-n))
		}
	}
}

func flood(ctx context.Context, t *conform.T, s *Server) {
	s.gateway(t)
	if !s.Flood {
		t.NotApplicable("it uses up this address's good name for a while: ask for it by --flood")
	}
	const most = 3000
	var c *connection
	for n := 0; ; n++ {
		if n == most {
			t.Fail("HTTP 429", fmt.Sprintf("%d requests of an unknown identity, all looked at", most))
		}
		if c == nil {
			var err error
			if c, err = s.connect(ctx, nil); err != nil {
				t.Undecided("no connection: %v", err)
			}
		}
		nobody := &PSK1{stranger("gateway"), random(32)}
		a, err := c.exchange(ctx, t, "a stranger's request", s.message("POST", assignmentPath, s.seal(nobody, s.request())))
		if err != nil {
			t.Fail("an answer to each request", err.Error())
		}
		if a.closed {
			c = nil
		}
		if a.status == 429 {
			if c != nil {
				c.Close()
			}
			if _, ok := a.retryAfter(); !ok {
				t.Fail("Retry-After in seconds", fmt.Sprintf("%q", a.header.Get("Retry-After")))
			}
			t.Note("HTTP 429 after %d requests", n)
			break
		}
	}
	s.want(ctx, t, statusSuccess, s.request())
}
