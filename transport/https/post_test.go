package https

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPostSendsExactly(t *testing.T) {
	body := []byte{0x83, 0x00, 0xff, '\n'}
	c := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("body: got %x, %v, want %x", got, err, body)
		}
		if r.Method != "POST" || r.RequestURI != testPath || r.Proto != "HTTP/1.1" {
			t.Errorf("got %s %s %s", r.Method, r.RequestURI, r.Proto)
		}
		if got := r.Header.Get("Content-Type"); got != testContentType {
			t.Errorf("content type: got %s, want %s", got, testContentType)
		}
		if r.TLS.Version < tls.VersionTLS12 {
			t.Errorf("TLS version %x", r.TLS.Version)
		}
		names := slices.Sorted(maps.Keys(r.Header))
		if want := []string{"Content-Length", "Content-Type"}; !slices.Equal(names, want) {
			t.Errorf("headers: got %q, want %q", names, want)
		}
		w.Header().Set("Set-Cookie", "id=1; Path=/")
		w.Header().Set("Retry-After", "900")
		answer(w, "sealed")
	})
	for range 2 { // no cookie, and the same again on the same connection
		resp, err := c.Post(t.Context(), body)
		if err != nil {
			t.Fatal(err)
		}
		if string(resp.Body) != "sealed" || resp.RetryAfter != 15*time.Minute {
			t.Errorf("got %q, %v", resp.Body, resp.RetryAfter)
		}
	}
}

func TestPostTakesContentTypeByMeaning(t *testing.T) {
	for contentType, accepted := range map[string]bool{
		testContentType: true,
		`Application/COSE;cose-type=cose-encrypt0`:       true,
		`application/cose`:                               false,
		`application/cose; cose-type="cose-encrypt"`:     false,
		`application/cose; cose-type=cose-encrypt0; x=1`: false,
		`text/html`: false,
		"\"":        false,
		"":          false,
	} {
		c := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			io.WriteString(w, "x")
		})
		_, err := c.Post(t.Context(), nil)
		if accepted != (err == nil) {
			t.Errorf("content type %q: got error %v, want accepted %v", contentType, err, accepted)
		}
		if err != nil {
			asUnreachable(t, err)
		}
	}
}

// The other side breaks off, and has recovered when the same bytes come again.
func TestPostRepeatsAfterBreaks(t *testing.T) {
	const full = "HTTP/1.1 200 OK\r\nContent-Type: " + testContentType + "\r\nContent-Length: 6\r\n\r\nsealed"
	for _, tt := range []struct{ name, first string }{
		{"before the answer", ""},
		{"after the status", full[:12]},
		{"in a header", full[:40]},
		{"before the body", full[:len(full)-6]},
		{"in the body", full[:len(full)-1]},
		{"in a chunk", strings.Replace(full, "Content-Length: 6\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n9\r\n", 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int32
			c := startRawTLS(t, func(ctx context.Context, conn *tls.Conn) {
				if n.Add(1) == 1 {
					io.WriteString(conn, tt.first)
					conn.NetConn().Close() // without TLS's own goodbye
					return
				}
				io.WriteString(conn, full)
			})
			resp, err := c.Post(t.Context(), []byte("request"))
			if err != nil {
				t.Fatal(err)
			}
			if string(resp.Body) != "sealed" || n.Load() != 2 {
				t.Errorf("got %q after %d tries, want %q after 2", resp.Body, n.Load(), "sealed")
			}
		})
	}
}

func TestPostGivesUpAfterFourTries(t *testing.T) {
	tests := []struct {
		name  string
		serve func(ctx context.Context, conn *tls.Conn)
		want  string
	}{
		{"closes in mid-answer", func(_ context.Context, conn *tls.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: "+testContentType+"\r\nContent-Length: 9\r\n\r\nseal")
		}, "closed the connection"},
		{"never answers", func(ctx context.Context, _ *tls.Conn) {
			<-ctx.Done()
		}, "did not answer in time"},
		{"drips", func(ctx context.Context, conn *tls.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: "+testContentType+"\r\nContent-Length: 60000\r\n\r\n")
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if _, err := conn.Write([]byte{0}); err != nil {
					return
				}
			}
		}, "did not answer in time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int32
			c := startRawTLS(t, func(ctx context.Context, conn *tls.Conn) {
				n.Add(1)
				tt.serve(ctx, conn)
			}, withTimeout(600*time.Millisecond))
			_, err := c.Post(t.Context(), []byte("request"))
			if u := asUnreachable(t, err); !strings.Contains(u.Reason, tt.want) {
				t.Errorf("got reason %q, want one with %q", u.Reason, tt.want)
			}
			if n.Load() != maxTries {
				t.Errorf("got %d tries, want %d", n.Load(), maxTries)
			}
		})
	}
}

func TestPostRefusesGiants(t *testing.T) {
	endless := func(conn net.Conn, text string) {
		for {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
	header := "HTTP/1.1 200 OK\r\nContent-Type: " + testContentType + "\r\n"
	tests := []struct {
		name  string
		serve func(conn net.Conn)
		want  string
	}{
		{"endless body", func(conn net.Conn) {
			io.WriteString(conn, header+"\r\n")
			endless(conn, strings.Repeat("x", 4096))
		}, "too long"},
		{"announced", func(conn net.Conn) {
			fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n", header, int64(1)<<40)
			endless(conn, strings.Repeat("x", 4096))
		}, "too long"},
		{"one byte", func(conn net.Conn) {
			fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", header, defaultMaxResponse+1, strings.Repeat("x", defaultMaxResponse+1))
		}, "too long"},
		{"endless header", func(conn net.Conn) {
			io.WriteString(conn, header)
			endless(conn, "X: "+strings.Repeat("x", 1000)+"\r\n")
		}, "could not be asked"},
		{"17 KiB of header", func(conn net.Conn) {
			fmt.Fprintf(conn, "%sX: %s\r\nContent-Length: 6\r\n\r\nsealed", header, strings.Repeat("x", 17<<10))
		}, "could not be asked"},
		{"endless status line", func(conn net.Conn) {
			endless(conn, "HTTP/1.1 200 OK "+strings.Repeat("x", 4096))
		}, "could not be asked"},
		{"endless interim answers", func(conn net.Conn) {
			endless(conn, "HTTP/1.1 103 Early Hints\r\n\r\n")
		}, "could not be asked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int32
			c := startRawTLS(t, func(_ context.Context, conn *tls.Conn) {
				n.Add(1)
				tt.serve(conn)
			})
			_, err := c.Post(t.Context(), nil)
			if u := asUnreachable(t, err); !strings.Contains(u.Reason, tt.want) {
				t.Errorf("got %v, want a reason with %q", err, tt.want)
			}
			if n.Load() != 1 {
				t.Errorf("got %d tries, want 1", n.Load())
			}
		})
	}
}

// Its end cannot be told from a connection that somebody cut.
func TestPostRefusesAnswerWithoutLength(t *testing.T) {
	c := startRawTLS(t, func(_ context.Context, conn *tls.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: "+testContentType+"\r\n\r\nsealed")
		conn.NetConn().Close()
	})
	_, err := c.Post(t.Context(), nil)
	if u := asUnreachable(t, err); !strings.Contains(u.Reason, "cut off") {
		t.Errorf("got error %v", err)
	}
}

func TestPostTakesTheLargestAnswer(t *testing.T) {
	c := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
		answer(w, strings.Repeat("x", 1000))
	}, func(c *Config) { c.MaxResponse = 1000 })
	resp, err := c.Post(t.Context(), nil)
	if err != nil || len(resp.Body) != 1000 {
		t.Errorf("got %d bytes, %v, want 1000", len(resp.Body), err)
	}
}

func TestPostFollowsNoRedirect(t *testing.T) {
	var n atomic.Int32
	c := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		http.Redirect(w, r, "https://127.0.0.1:1/else", http.StatusTemporaryRedirect)
	})
	_, err := c.Post(t.Context(), nil)
	r := asRefused(t, err)
	if r.Status != 307 || !strings.Contains(r.Detail, "https://127.0.0.1:1/else") || n.Load() != 1 {
		t.Errorf("got %+v after %d requests, want the redirect told and not followed", r, n.Load())
	}
}

func TestPostEndsWithContext(t *testing.T) {
	c := startRaw(t, func(ctx context.Context, _ net.Conn) { <-ctx.Done() })

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Post(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Post(ctx, nil)
	if u := asUnreachable(t, err); !strings.Contains(u.Reason, "in time") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: got error %v", err)
	}
}
