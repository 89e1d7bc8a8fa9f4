package https

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cpns.example.net/pngw/transport"
)

// What is kept of a problem's text, in characters, and read of its body, in bytes.
const (
	maxTitle   = 100
	maxDetail  = 300
	maxProblem = 8 << 10
)

// maxRetryAfter bounds what a caller is told to wait.
const maxRetryAfter = 24 * time.Hour

// refused says what an answer other than 200 said: its problem details
// (RFC 9457) if it has them.
func (c *Client) refused(resp *http.Response) *transport.RefusedError {
	refused := &transport.RefusedError{
		Status:     resp.StatusCode,
		Title:      http.StatusText(resp.StatusCode),
		RetryAfter: c.retryAfter(resp.Header),
	}
	if 300 <= resp.StatusCode && resp.StatusCode < 400 {
		refused.Detail = "redirects are not followed; the server names " +
			strconv.Quote(clean(resp.Header.Get("Location"), maxDetail))
		return refused
	}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/problem+json" {
		return refused
	}
	var problem struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	// The status says enough where the text is cut off or is not JSON.
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil || json.Unmarshal(text, &problem) != nil {
		return refused
	}
	if title := clean(problem.Title, maxTitle); title != "" {
		refused.Title = title
	}
	refused.Detail = clean(problem.Detail, maxDetail)
	return refused
}

// clean makes foreign text fit for a terminal and a log: at most limit characters,
// all of them printable, none that moves a cursor or turns the writing round.
func clean(s string, limit int) string {
	var b strings.Builder
	kept := 0
	for _, r := range s {
		if unicode.IsSpace(r) {
			r = ' '
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			continue
		}
		if kept == limit {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
		kept++
	}
	return strings.TrimSpace(b.String())
}

// retryAfter reads a Retry-After of either form (RFC 9110, 10.2.3). A date is
// counted from the server's own Date: the router's clock may be wrong.
func (c *Client) retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = c.now()
	}
	return min(max(until.Sub(now), 0), maxRetryAfter)
}
