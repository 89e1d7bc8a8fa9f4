package https

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ExchangeConfig is how step 0 speaks with the server: one TLS 1.3 connection for
// each request, with a certificate of the gateway's own, never resumed.
type ExchangeConfig struct {
	Server      string // as Config.Server
	Pins        []Pin  // at least one: what the server is known by
	Certificate tls.Certificate
	Proxy       string // as Config.Proxy
	// ProxyIgnored is as Config.ProxyIgnored.
	ProxyIgnored bool
	Timeout      time.Duration // of one exchange, 0: 30 s
	Now          func() time.Time
}

// Exporter exports keying material of the connection that an exchange runs on
// (RFC 8446 section 7.5).
type Exporter func(label string, context []byte, length int) ([]byte, error)

// Exchanged is an answer of step 0, whatever its status.
type Exchanged struct {
	Status     int
	Type       string // media type of the body
	Body       []byte // at most 64 KiB
	RetryAfter time.Duration
	Export     Exporter // of the connection that carried it
}

// Exchange POSTs to path what body makes of the connection's exporter; a nil body is
// empty. Errors are *transport.UnreachableError, or wrap the context's. It does not
// try again: what comes of a try is the caller's to know.
func Exchange(ctx context.Context, cfg ExchangeConfig, path string, body func(Exporter) ([]byte, error)) (*Exchanged, error) {
	server, err := parseServer(cfg.Server)
	if err != nil {
		return nil, err
	}
	if len(cfg.Pins) == 0 {
		return nil, errors.New("no pin to know the server by")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	proxy, err := parseProxy(cfg.Proxy)
	if err != nil {
		return nil, err
	}
	c := &Client{host: server.Host, now: cfg.Now, proxy: proxy, proxyIgnored: cfg.ProxyIgnored && proxy == nil}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(cfg.Timeout, defaultTimeout))
	defer cancel()
	conn, err := c.dialExchange(ctx, cfg, server)
	if err != nil {
		return nil, c.exchangeFailed(ctx, err)
	}
	defer conn.Close()
	state := conn.ConnectionState()
	var content []byte
	if body != nil {
		if content, err = body(state.ExportKeyingMaterial); err != nil {
			return nil, err
		}
	}
	got, err := c.roundTrip(ctx, conn, server.String()+path, content)
	if err != nil {
		return nil, c.exchangeFailed(ctx, err)
	}
	got.Export = state.ExportKeyingMaterial
	return got, nil
}

func (c *Client) dialExchange(ctx context.Context, cfg ExchangeConfig, server *url.URL) (*tls.Conn, error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, Time: cfg.Now, ServerName: server.Hostname(),
		Certificates: []tls.Certificate{cfg.Certificate}, SessionTicketsDisabled: true,
	}
	pinned(config, cfg.Pins, server.Hostname(), cfg.Now)
	tcp, err := c.dialServer(ctx, net.JoinHostPort(server.Hostname(), cmp.Or(server.Port(), "443")))
	if err != nil {
		return nil, err
	}
	conn := tls.Client(tcp, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		tcp.Close()
		return nil, err
	}
	return conn, nil
}

// roundTrip sends one request on the connection, and nothing after it.
func (c *Client) roundTrip(ctx context.Context, conn *tls.Conn, target string, content []byte) (*Exchanged, error) {
	given := false
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	t := &http.Transport{
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
			if given { // net/http would try again where the connection breaks
				return nil, errors.New("the connection has ended")
			}
			given = true
			return conn, nil
		},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxResponseHeader, Protocols: protocols,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.GetBody = nil
	req.Header.Set("User-Agent", "")
	if len(content) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, defaultMaxResponse+1))
	if err != nil {
		return nil, err
	}
	if len(answer) > defaultMaxResponse {
		return nil, fmt.Errorf("an answer of more than %d bytes", defaultMaxResponse)
	}
	return &Exchanged{Status: resp.StatusCode, Type: resp.Header.Get("Content-Type"), Body: answer, RetryAfter: c.retryAfter(resp.Header)}, nil
}

func (c *Client) exchangeFailed(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("asking %s: %w", c.host, ctx.Err())
	}
	explained, _ := c.explain(err)
	return explained
}
