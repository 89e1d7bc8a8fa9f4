package https

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"time"

	"cpns.example.net/pngw/internal/sleep"
	"cpns.example.net/pngw/transport"
)

const (
	maxTries = 4
	// No try begins later than maxElapsed after the first. The last one then
	// still arrives within the 300 s for which the server takes the time in the
	// request to be the present.
	maxElapsed = 2 * time.Minute
	minBackoff = time.Second
	maxBackoff = 8 * time.Second
)

// Post sends body and returns the answer. Where the server cannot be reached, or
// says that it is busy, it tries again with the same bytes: at most four times
// within two minutes, and not beyond ctx. How long a busy server asks to wait is
// heeded; where that is longer than the time left, Post returns at once.
//
// The error is a *transport.RefusedError where the server answered with anything
// but 200, a *transport.UnreachableError where there was no usable answer, and
// wraps context.Canceled where ctx was cancelled.
func (c *Client) Post(ctx context.Context, body []byte) (Response, error) {
	end := time.Now().Add(maxElapsed)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	backoff := c.backoff
	for n := 1; ; n++ {
		resp, again, err := c.try(ctx, body)
		if err == nil || !again || n == maxTries {
			return resp, err
		}
		wait := backoff.Next()
		var refused *transport.RefusedError
		if errors.As(err, &refused) {
			// On top, so that those whom it sent away do not come back in step.
			wait += refused.RetryAfter
		}
		if time.Now().Add(wait).After(end) {
			return Response{}, err
		}
		c.log.Info("asking the server again", "server", c.host, "tries", n, "wait", wait, "err", err)
		if err := sleep.For(ctx, wait); err != nil {
			return Response{}, fmt.Errorf("asking %s: %w", c.host, err)
		}
	}
}

// try sends body once. again reports whether another try may do better.
func (c *Client) try(ctx context.Context, body []byte) (_ Response, again bool, _ error) {
	tryCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(tryCtx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return Response{}, false, fmt.Errorf("asking %s: %w", c.host, err)
	}
	req.Header.Set("Content-Type", c.contentType)
	req.Header.Set("User-Agent", "") // net/http would name itself
	// Not sent; it says that the request may be sent again where the server has just
	// closed the connection that was kept open: that is no failed try.
	req.Header["Idempotency-Key"] = nil

	// RoundTrip, not http.Client: it follows no redirect and knows no cookie.
	connection, err := c.trusting()
	if err != nil {
		// Another try may come after the rest of the file has.
		return Response{}, true, &transport.UnreachableError{
			Reason: "the CA certificate that the server is known by cannot be used",
			Advice: "bring the server's CA certificate, PEM, to where option ca says",
			Err:    err,
		}
	}
	resp, err := connection.RoundTrip(req)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Response{}, busy(resp.StatusCode), c.refused(resp)
	}
	if got := resp.Header.Get("Content-Type"); !c.wants(got) {
		return Response{}, false, &transport.UnreachableError{
			Reason: c.host + " gave an answer that is not a CPNS Server's",
			Advice: "check the server address: a captive portal or another web server may answer there",
			Err:    fmt.Errorf("content type %q", clean(got, maxTitle)),
		}
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, c.maxResponse+1))
	if err != nil {
		return c.failed(ctx, err)
	}
	if int64(len(answer)) > c.maxResponse {
		return Response{}, false, &transport.UnreachableError{
			Reason: c.host + " gave an answer that is too long",
			Advice: "check the server address, and ask the server's operator",
			Err:    fmt.Errorf("more than %d bytes", c.maxResponse),
		}
	}
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 {
		// crypto/tls takes a bare end of the connection for the end of the data.
		return Response{}, false, &transport.UnreachableError{
			Reason: c.host + " gave an answer that may have been cut off",
			Advice: "a proxy in between must keep Content-Length or chunked encoding",
			Err:    errors.New("answer ends with the connection"),
		}
	}
	return Response{Body: answer, RetryAfter: c.retryAfter(resp.Header)}, false, nil
}

// failed turns a failure below HTTP into what the caller of Post sees.
func (c *Client) failed(ctx context.Context, err error) (Response, bool, error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return Response{}, false, fmt.Errorf("asking %s: %w", c.host, ctx.Err())
	}
	unreachable, again := c.explain(err)
	return Response{}, again, unreachable
}

// wants compares by meaning: quotes and spaces may differ.
func (c *Client) wants(contentType string) bool {
	mediaType, params, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == c.mediaType && maps.Equal(params, c.mediaParams)
}

// busy reports whether an HTTP status says "later". 502 and 504 come from a
// proxy whose server is being restarted.
func busy(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
