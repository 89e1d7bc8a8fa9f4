package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/internal/sleep"
)

// ClientConfig says where an admin API is, and who asks.
type ClientConfig struct {
	URL   string // https://HOST:PORT
	Token string // "" where a client certificate does it
	TLS   *tls.Config
	Told  func(waiting error, next time.Duration) // of each wait; nil where nobody listens
}

// A Client asks an admin API. It has the methods of server.Operator, and its errors.
//
// What is asked for carries an idempotency key, so that a request whose answer was lost
// is sent once more: for a minute, once the server has answered at all.
type Client struct {
	base     string
	token    string
	http     *http.Client
	told     func(error, time.Duration)
	answered bool // the server has, at least once
}

// What a request may take, its repeats included, and an answer.
const (
	requestTime = 90 * time.Second
	retryTime   = time.Minute
	firstWait   = 500 * time.Millisecond
	longestWait = 10 * time.Second
	answerBytes = 16 << 20
)

// NewClient makes a Client. It asks for nothing yet.
func NewClient(c ClientConfig) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		// It is not repeated: there may be a password in it.
		text := "this is not an admin API's address: write https://HOST:PORT"
		if strings.Contains(c.URL, "@") {
			text += ", without a user or a password: a token (--token-file) or a client certificate says who asks"
		}
		return nil, errors.New(text)
	}
	told := c.Told
	if told == nil {
		told = func(error, time.Duration) {}
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       c.TLS,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: requestTime,
		MaxIdleConns:          1,
		IdleConnTimeout:       30 * time.Second,
	}
	return &Client{base: "https://" + u.Host + Prefix, token: c.Token, told: told, http: &http.Client{
		Transport:     transport,
		Timeout:       requestTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close ends the connection.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// An AnswerError is an answer that says why not, and that server.Operator has no error
// of its own for.
type AnswerError struct {
	Status int
	Detail string
}

func (e *AnswerError) Error() string { return e.Detail }

var errAnswer = errors.New("the server's answer is none of the admin API: check the address, and that the port is that of run --admin-listen")

// A request is one thing to ask for.
type request struct {
	method, path string // below Prefix
	query        url.Values
	body         any  // nil for none
	once         bool // carries an idempotency key
	never        bool // is not sent again where it may have been done
}

// ask sends a request, again where it may be, and reads the answer into out, which may
// be nil.
func (c *Client) ask(ctx context.Context, r request, out any) error {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return err
		}
		defer clear(body)
	}
	key := ""
	if r.once {
		key = rand.Text()
	}
	begin := time.Now()
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		pause, err := c.try(ctx, r, body, key, out)
		if err == nil || pause < 0 || ctx.Err() != nil {
			return err
		}
		if pause = max(pause, wait); time.Since(begin)+pause > retryTime {
			return err
		}
		c.told(err, pause)
		if err := sleep.For(ctx, pause); err != nil {
			return err
		}
	}
}

// try sends a request once. Where it fails, pause says how long to wait at least before
// it may be sent again; it is negative where that would not help.
func (c *Client) try(ctx context.Context, r request, body []byte, key string, out any) (pause time.Duration, err error) {
	const no = -1
	at := c.base + r.path
	if len(r.query) > 0 {
		at += "?" + r.query.Encode()
	}
	var sent io.Reader
	if body != nil {
		sent = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, at, sent)
	if err != nil {
		return no, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if key != "" {
		req.Header.Set(idempotencyKey, key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the address, which has an ID in it
		}
		if !c.answered || r.never {
			return no, err
		}
		return 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, answerBytes+1))
	switch {
	case len(answer) > answerBytes:
		return no, errAnswer
	case err != nil && r.never:
		return no, err
	case err != nil:
		return 0, err
	}
	if res.StatusCode >= 300 {
		return c.refused(r, res, answer)
	}
	c.answered = true
	if out == nil {
		return 0, nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return no, errAnswer
	}
	return 0, nil
}

// refused makes an error of a problem.
func (c *Client) refused(r request, res *http.Response, answer []byte) (pause time.Duration, err error) {
	const no = -1
	var p problemBody
	if json.Unmarshal(answer, &p) != nil || !strings.HasPrefix(p.Type, kindPrefix) || p.Status != res.StatusCode {
		return no, errAnswer
	}
	c.answered = true
	if err := p.errorOf(); err != nil {
		return no, err
	}
	err = &AnswerError{p.Status, p.Detail}
	again := p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable && !r.never
	if !again {
		return no, err
	}
	after, _ := strconv.Atoi(res.Header.Get("Retry-After"))
	return time.Duration(min(max(after, 0), 60)) * time.Second, err
}

// pathOf is a path with IDs in it.
func pathOf(parts ...string) string {
	var b strings.Builder
	for n, p := range parts {
		if n%2 == 0 {
			b.WriteString(p)
		} else {
			b.WriteString(pathEscape(p))
		}
	}
	return b.String()
}

// pathEscape is an ID as a segment of a path. One of dots only would be taken for a way
// up.
func pathEscape(id string) string {
	return strings.ReplaceAll(url.PathEscape(id), ".", "%2E")
}

// eachOf calls f with every item of a listing, a page at a time.
func eachOf[T any](ctx context.Context, c *Client, path string, query url.Values, f func(*T) error) error {
	if query == nil {
		query = make(url.Values)
	}
	query.Set("limit", strconv.Itoa(pageMost))
	for {
		var page list[T]
		if err := c.ask(ctx, request{method: http.MethodGet, path: path, query: query}, &page); err != nil {
			return err
		}
		for n := range page.Items {
			if err := f(&page.Items[n]); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		query.Set("after", page.Next)
	}
}

// filled are the parameters that are not empty.
func filled(pairs ...string) url.Values {
	q := make(url.Values)
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n+1] != "" {
			q.Set(pairs[n], pairs[n+1])
		}
	}
	return q
}

// change asks for a change that has no answer.
func (c *Client) change(ctx context.Context, method, path string, body any) error {
	return c.ask(ctx, request{method: method, path: path, body: body, once: true}, nil)
}

// whether asks for a change that may be none.
func (c *Client) whether(ctx context.Context, method, path string, body any) (bool, error) {
	var out changed
	err := c.ask(ctx, request{method: method, path: path, body: body, once: true}, &out)
	return out.Changed, err
}
