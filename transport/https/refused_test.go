package https

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestPostDoesNotRepeatRefusals(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405, 408, 413, 415, 421, 500, 501, 201, 204} {
		var n atomic.Int32
		c := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			w.WriteHeader(status)
		})
		_, err := c.Post(t.Context(), nil)
		r := asRefused(t, err)
		if r.Status != status || r.Title != http.StatusText(status) || r.Detail != "" {
			t.Errorf("status %d: got %+v", status, r)
		}
		if n.Load() != 1 {
			t.Errorf("status %d: got %d requests, want 1", status, n.Load())
		}
	}
}

func TestPostTellsProblemDetails(t *testing.T) {
	const problem = "application/problem+json"
	tests := []struct {
		name, contentType, body string
		title, detail           string
	}{
		{"both", problem, `{"type":"about:blank","title":"Unknown key","status":401,"detail":"no such PSK1 identity"}`,
			"Unknown key", "no such PSK1 identity"},
		{"with a charset", problem + "; charset=utf-8", `{"title":"Unknown key"}`, "Unknown key", ""},
		{"without title", problem, `{"detail":"no such identity"}`, "Unauthorized", "no such identity"},
		{"control characters", problem, `{"title":"a\u001b[2Jb\u0007\u009b","detail":"1\n2\t3\u202e4\u0000\ufffd"}`,
			"a[2Jb", "1 2 34"},
		{"only control characters", problem, `{"title":"\u001b\u0007"}`, "Unauthorized", ""},
		{"long", problem, `{"title":"` + strings.Repeat("ä", 101) + `","detail":"` + strings.Repeat("x", 400) + `"}`,
			strings.Repeat("ä", 100) + "…", strings.Repeat("x", 300) + "…"},
		{"longer than is read", problem, `{"title":"` + strings.Repeat("x", maxProblem) + `"}`, "Unauthorized", ""},
		{"of another type", problem, `{"title":5}`, "Unauthorized", ""},
		{"no object", problem, `null`, "Unauthorized", ""},
		{"no JSON", problem, `<html>`, "Unauthorized", ""},
		{"not called a problem", "application/json", `{"title":"x"}`, "Unauthorized", ""},
		{"HTML", "text/html", `<title>x</title>`, "Unauthorized", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.contentType)
				w.WriteHeader(http.StatusUnauthorized)
				io.WriteString(w, tt.body)
			})
			_, err := c.Post(t.Context(), nil)
			if r := asRefused(t, err); r.Title != tt.title || r.Detail != tt.detail {
				t.Errorf("got title %q, detail %q, want %q, %q", r.Title, r.Detail, tt.title, tt.detail)
			}
		})
	}
}

// A refusal whose text never ends is told by its status.
func TestPostBoundsProblemDetails(t *testing.T) {
	c := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"title":"Unknown key","detail":"`)
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	})
	_, err := c.Post(t.Context(), nil)
	if r := asRefused(t, err); r.Status != 401 || r.Title != "Unauthorized" {
		t.Errorf("got %+v", r)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2025, 11, 22, 17, 0, 0, 0, time.UTC)
	c := &Client{now: func() time.Time { return now }}
	const date = "Thu, 01 Jan 2026 00:00:00 GMT"
	for _, tt := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{"120", "", 2 * time.Minute},
		{"86401", "", 24 * time.Hour},
		{"4294967295", "", 24 * time.Hour},
		{"4294967296", "", 0},
		{"-5", "", 0},
		{"1.5", "", 0},
		{"+5", "", 0},
		{"soon", "", 0},
		{"Thu, 01 Jan 2026 00:00:30 GMT", date, 30 * time.Second}, // whatever the router's clock says
		{"Wed, 31 Dec 2025 23:59:59 GMT", date, 0},
		{"Thu, 01 Jan 2099 00:00:00 GMT", date, 24 * time.Hour},
		{"Sat, 22 Nov 2025 17:00:10 GMT", "", 10 * time.Second},
		{"Saturday, 22-Nov-25 17:00:10 GMT", "no date", 10 * time.Second},
	} {
		h := http.Header{}
		h.Set("Retry-After", tt.value)
		h.Set("Date", tt.date)
		if got := c.retryAfter(h); got != tt.want {
			t.Errorf("Retry-After %q at %q: got %v, want %v", tt.value, tt.date, got, tt.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("Thu, 01 Jan 2026 00:00:30 GMT", "Thu, 01 Jan 2026 00:00:00 GMT")
	c := &Client{now: time.Now}
	f.Fuzz(func(t *testing.T, value, date string) {
		got := c.retryAfter(http.Header{"Retry-After": {value}, "Date": {date}})
		if got < 0 || got > maxRetryAfter {
			t.Errorf("got %v", got)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("no such PSK1 identity", 10)
	f.Add("a\x1b[2J\xff\u202eb\r\nc", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = limit&0xff + 1
		got := clean(s, limit)
		if n := utf8.RuneCountInString(got); !utf8.ValidString(got) || n > limit+1 {
			t.Errorf("got %d runes of at most %d: %q", n, limit+1, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("got %s in %q", strconv.QuoteRune(r), got)
			}
		}
	})
}
