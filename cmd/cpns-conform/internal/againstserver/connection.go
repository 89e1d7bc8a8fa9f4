package againstserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
)

// What one exchange may take: a party under test is as hostile as any other.
const (
	exchangeTime = 12 * time.Second
	maxAnswer    = 64<<10 + 1 // one more than any answer may have
)

// A connection carries requests byte for byte.
type connection struct {
	*tls.Conn
	r *bufio.Reader
	s *Server
}

// connect opens one; change may be nil.
func (s *Server) connect(ctx context.Context, change func(*tls.Config)) (*connection, error) {
	config := s.tlsConfig()
	if change != nil {
		change(config)
	}
	raw, err := s.Dial(ctx, s.address)
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(exchangeTime))
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return &connection{secure, bufio.NewReader(secure), s}, nil
}

// An answer is an HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte
	sent   []byte // the body that it answers
	closed bool   // the server ended the connection with it
}

// exchange writes a request, all of it, and reads the answer. What is there before the
// request is whole is read too: a server may refuse early.
func (c *connection) exchange(ctx context.Context, t *conform.T, what string, request []byte) (*answer, error) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	c.SetDeadline(time.Now().Add(exchangeTime))
	t.Sent(what, request)
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(request)
		written <- err
	}()
	a, err := c.read(t)
	if err != nil {
		c.Close()
		if werr := <-written; werr != nil && !errors.Is(werr, net.ErrClosed) {
			return nil, werr
		}
		return nil, err
	}
	if a.closed {
		c.Close()
	}
	<-written
	return a, nil
}

func (c *connection) read(t *conform.T) (*answer, error) {
	var heard bytes.Buffer
	r := bufio.NewReader(io.TeeReader(io.LimitReader(c.r, maxAnswer+64<<10), &heard))
	defer func() { t.Heard("answer", heard.Bytes()) }()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, fmt.Errorf("no HTTP answer: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer breaks off: %w", err)
	}
	if len(body) == maxAnswer {
		return nil, errors.New("an answer of more than 64 KiB")
	}
	return &answer{status: res.StatusCode, header: res.Header, body: body, closed: res.Close}, nil
}

// A field is one line of a header.
type field struct{ name, value string }

// message is an HTTP/1.1 request with the header fields that a gateway sends, each of
// which may be replaced; one whose value is "" is left out.
func (s *Server) message(method, path string, body []byte, fields ...field) []byte {
	all := []field{
		{"Host", s.host}, {"User-Agent", "cpns-conform"},
		{"Content-Type", contentType}, {"Content-Length", strconv.Itoa(len(body))},
	}
	for _, f := range fields {
		if n := slices.IndexFunc(all, func(g field) bool { return strings.EqualFold(f.name, g.name) }); n >= 0 {
			all[n].value = f.value
		} else {
			all = append(all, f)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\n", method, s.prefix, path)
	for _, f := range all {
		if f.value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
		}
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// once sends one request on a connection of its own.
func (s *Server) once(ctx context.Context, t *conform.T, what string, request []byte) (*answer, error) {
	c, err := s.connect(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.exchange(ctx, t, what, request)
}

// String says what an answer is, for a report.
func (a *answer) String() string {
	text := fmt.Sprintf("HTTP %d", a.status)
	if kind := a.header.Get("Content-Type"); strings.Contains(kind, "json") {
		text += " " + strings.TrimSpace(string(a.body[:min(len(a.body), 300)]))
	} else if len(a.body) > 0 {
		text += fmt.Sprintf(" with %d bytes of %q", len(a.body), kind)
	}
	return text
}

// retryAfter is how long the answer asks to wait; ok is false where it does not say.
func (a *answer) retryAfter() (d time.Duration, ok bool) {
	n, err := strconv.ParseUint(a.header.Get("Retry-After"), 10, 24)
	return time.Duration(n) * time.Second, err == nil
}
