package againstserver

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHostileServers: whatever a server does to the kit, a case ends, with a verdict.
func TestHostileServers(t *testing.T) {
	for name, how := range map[string]struct {
		begin string // what is written at once
		drip  string // and then every second, "" for nothing at all
		seen  string // in the report
	}{
		"silence":           {seen: "no HTTP answer"},
		"no HTTP":           {begin: "SSH-2.0-x\r\n\r\n", seen: "no HTTP answer"},
		"a slow header":     {begin: "HTTP/1.1 200 OK\r\n", drip: "X: y\r\n", seen: "no HTTP answer"},
		"an endless line":   {begin: "HTTP/1.1 200 " + strings.Repeat("x", 200<<10), drip: "x", seen: "no HTTP answer"},
		"an endless body":   {begin: "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 200<<10), drip: "x", seen: "more than 64 KiB"},
		"half a body":       {begin: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", seen: "breaks off"},
		"a slow body":       {begin: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", drip: "x", seen: "breaks off"},
		"a body of chunks":  {begin: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", drip: "x", seen: "breaks off"},
		"patience asked":    {begin: "HTTP/1.1 429 No\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n", seen: "HTTP 429"},
		"patience for ever": {begin: "HTTP/1.1 503 No\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n", seen: "HTTP 503"},
	} {
		t.Run(name, func(t *testing.T) {
			var s seen
			hostile := wrong{handler: func(_ *rig, next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if req.URL.Path != assignmentPath || s.add("", 1) < 2 { // what the kit asks before the first case
						next.ServeHTTP(w, req)
						return
					}
					c, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						panic(err)
					}
					defer c.Close()
					c.SetDeadline(time.Now().Add(10 * time.Minute))
					gone := make(chan struct{})
					go func() { defer close(gone); io.Copy(io.Discard, c) }()
					write(c, how.begin, how.drip, gone)
				})
			}}
			serve(t, &hostile, func(t *testing.T, r *rig) {
				r.config.Code = nil
				begun := time.Now()
				got := r.run(t, "--only", "assigned,psk1-given")
				if took := time.Since(begun); took > caseLimit {
					t.Errorf("it took %v", took)
				}
				if got.Cases[0].Verdict != "fail" || !strings.Contains(got.Cases[0].Seen, how.seen) {
					t.Errorf("%s: %s, seen %s", got.Cases[0].Name, got.Cases[0].Verdict, got.Cases[0].Seen)
				}
				if got.Cases[1].Verdict != "not applicable" {
					t.Errorf("the case behind it: %s", got.Cases[1].Verdict)
				}
			})
		})
	}
}

// write goes on until the other end has gone.
func write(c net.Conn, begin, drip string, gone <-chan struct{}) {
	if _, err := io.WriteString(c, begin); err != nil {
		return
	}
	for {
		select {
		case <-gone:
			return
		case <-time.After(time.Second):
			if _, err := io.WriteString(c, drip); err != nil {
				return
			}
		}
	}
}
