package https

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// parseProxy accepts the address of an HTTP proxy, http://host:port, "" for none. TLS
// goes through it to the server (CONNECT), so that the proxy learns the server's name
// and nothing else.
func parseProxy(s string) (*url.URL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("not a URL: want http://HOST:PORT") // it may hold a password
	case u.User != nil:
		return nil, errors.New("a user name or password in the URL: a proxy that wants one cannot be used")
	case u.Scheme != "http":
		return nil, fmt.Errorf("%q: want http://HOST:PORT", s)
	case u.Hostname() == "" || u.Port() == "":
		return nil, fmt.Errorf("%q: want a host and a port, http://HOST:PORT", s)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q: want nothing behind the port", s)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// useProxy has a transport ask through the proxy, and through none where there is none.
func (c *Client) useProxy(t *http.Transport) {
	if c.proxy == nil {
		return
	}
	t.Proxy = http.ProxyURL(c.proxy)
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
		if res.StatusCode != http.StatusOK {
			return &proxyError{res.StatusCode}
		}
		return nil
	}
}

// dialServer connects to a server, through the proxy where there is one, as
// http.Transport does it for requests that need nothing of their connection.
func (c *Client) dialServer(ctx context.Context, server string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if c.proxy == nil {
		return dialer.DialContext(ctx, "tcp", server)
	}
	conn, err := dialer.DialContext(ctx, "tcp", c.proxy.Host)
	if err != nil {
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
	}
	if err := connect(ctx, conn, server); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// connect has the proxy at the other end of conn connect it to a server.
func connect(ctx context.Context, conn net.Conn, server string) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", server); err != nil {
		return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
	}
	r := bufio.NewReader(io.LimitReader(conn, maxResponseHeader))
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
	}
	switch {
	case res.StatusCode != http.StatusOK:
		return &proxyError{res.StatusCode}
	case r.Buffered() > 0: // in TLS the client speaks first
		return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("the proxy sent more than its answer")}
	case !stop():
		return ctx.Err()
	}
	return nil
}

// A proxyError is a proxy that does not let the connection through.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answered HTTP %d to CONNECT", e.status)
}

// explainProxy says what a proxy did instead of connecting.
func (c *Client) explainProxy(err error) (reason, advice string, again bool) {
	refused, ok := errors.AsType[*proxyError](err)
	if !ok {
		return "", "", false
	}
	proxy := "the proxy " + c.proxy.Host
	switch refused.status {
	case http.StatusProxyAuthRequired:
		return proxy + " wants a user name and a password", "have it let this router to " + c.host + " without", false
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusUnauthorized:
		return proxy + " does not allow a connection to " + c.host, "have it allow CONNECT to that host and port", false
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return proxy + " does not reach " + c.host, "check the server address, and the proxy's own way to it", true
	}
	return fmt.Sprintf("%s answered HTTP %d instead of connecting", proxy, refused.status), "check that an HTTP proxy listens there, by option proxy", false
}

// toProxy reports whether it was the connection to the proxy that failed.
func toProxy(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "proxyconnect"
}
