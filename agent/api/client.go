package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

// answerTimeout is how long the agent may take over an answer that is not a
// stream: it may have to wait for the flash.
const answerTimeout = 30 * time.Second

// maxAnswer bounds an answer that is not a stream, in bytes.
const maxAnswer = 4 << 20

// Client asks the agent that answers on one socket.
type Client struct {
	socket string
	http   http.Client
}

// NewClient makes a client; it connects when it is asked something.
func NewClient(socket string) *Client {
	return newClient(socket, func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	})
}

func newClient(socket string, dial func(context.Context, string, string) (net.Conn, error)) *Client {
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true, // a command asks once or twice
		DialContext:       dial,
	}
	return c
}

// A ConnectError says that nobody could be asked: the cause is fs.ErrNotExist
// where there is no socket, syscall.ECONNREFUSED where nobody listens on it,
// fs.ErrPermission where it may not be written.
type ConnectError struct {
	Socket string
	Err    error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("asking the agent on %s: %v", e.Socket, e.Err)
}

// Unwrap gives the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// An AnswerError is an answer that says no.
type AnswerError struct {
	Status int    // of HTTP
	Text   string // as the agent put it
}

func (e *AnswerError) Error() string { return e.Text }

// Status asks for the agent's account of itself.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status")
}

// Links asks for the links.
func (c *Client) Links(ctx context.Context) ([]Link, error) {
	return get[[]Link](ctx, c, "/v1/links")
}

// List asks for the PNEs that are served.
func (c *Client) List(ctx context.Context) ([]agent.PNE, error) {
	return get[[]agent.PNE](ctx, c, "/v1/pnes")
}

// Show asks for one PNE.
func (c *Client) Show(ctx context.Context, e cpns.EntityID) (agent.PNE, error) {
	return get[agent.PNE](ctx, c, pnePath(e))
}

// Discovered asks for the PNEs that said hello unasked.
func (c *Client) Discovered(ctx context.Context) ([]agent.Discovered, error) {
	return get[[]agent.Discovered](ctx, c, "/v1/discovered")
}

// Forget has a PNE's keys deleted.
func (c *Client) Forget(ctx context.Context, e cpns.EntityID) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := c.do(ctx, http.MethodDelete, pnePath(e), nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Provision has PNEs provisioned. It calls step for each step as it happens,
// then done for each outcome, and keeps none of them: there may be a thousand
// devices, and little memory. Its error is nil once all outcomes were told.
func (c *Client) Provision(ctx context.Context, r agent.ProvisionRequest, step func(agent.Step), done func(agent.Outcome)) error {
	body := provisionRequest{
		User:         string(r.User),
		PasswordHash: hex.EncodeToString(r.PasswordHash[:]),
		WaitMS:       r.Wait.Milliseconds(),
		Remember:     r.Remember,
		Reassign:     r.Reassign,
		Hold:         r.Hold,
	}
	for _, e := range r.Entities {
		body.Entities = append(body.Entities, string(e))
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/provision", text)
	clear(text)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	told := 0
	err = readStream(resp.Body, func(kind lineKind, line []byte) error {
		switch {
		case kind.Step != "":
			var v agent.Step
			if err := json.Unmarshal(line, &v); err != nil {
				return fmt.Errorf("reading a step: %w", err)
			}
			step(v)
		case kind.Result != "":
			var v agent.Outcome
			if err := json.Unmarshal(line, &v); err != nil {
				return fmt.Errorf("reading an outcome: %w", err)
			}
			told++
			done(v)
		}
		return nil
	})
	if err == nil && told != len(r.Entities) {
		err = fmt.Errorf("the agent told %d outcomes of %d", told, len(r.Entities))
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return err
}

// Authenticate has PNEs prove their keys: those given, all of them where none
// are. wait is the most for each, 0 for as long as the links take. It calls done for
// each as it is known.
func (c *Client) Authenticate(ctx context.Context, entities []cpns.EntityID, wait time.Duration, done func(agent.Proof)) error {
	body := authenticateRequest{All: len(entities) == 0, WaitMS: wait.Milliseconds()}
	for _, e := range entities {
		body.Entities = append(body.Entities, string(e))
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/authenticate", text)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	told := 0
	err = readStream(resp.Body, func(_ lineKind, line []byte) error {
		var p agent.Proof
		if err := json.Unmarshal(line, &p); err != nil {
			return fmt.Errorf("reading a result: %w", err)
		}
		told++
		done(p)
		return nil
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err == nil && len(entities) > 0 && told != len(entities):
		return fmt.Errorf("the agent told %d results of %d", told, len(entities))
	}
	return err
}

// Readmit ends a PNE's alarm.
func (c *Client) Readmit(ctx context.Context, e cpns.EntityID) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	text, err := json.Marshal(readmitRequest{string(e)})
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/readmit", text)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// readStream hands each line of a stream on, up to one that says that the stream
// ended early.
func readStream(r io.Reader, each func(kind lineKind, line []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		var kind lineKind
		if err := json.Unmarshal(s.Bytes(), &kind); err != nil {
			return fmt.Errorf("reading the agent's answer: %w", err)
		}
		if kind.Error != "" {
			return errors.New(kind.Error)
		}
		if err := each(kind, s.Bytes()); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("the agent went away: %w", err)
	}
	return nil
}

func get[T any](ctx context.Context, c *Client, path string) (v T, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&v); err != nil {
		return v, fmt.Errorf("reading the agent's answer: %w", err)
	}
	return v, nil
}

// do sends a request; an answer other than 2xx is an error.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://pngw"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, &ConnectError{c.socket, op.Err}
		}
		return nil, fmt.Errorf("asking the agent: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var p problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxLine)).Decode(&p); err != nil || p.Error == "" {
		p.Error = "the agent answered " + strings.TrimSpace(resp.Status)
	}
	return nil, &AnswerError{resp.StatusCode, p.Error}
}
