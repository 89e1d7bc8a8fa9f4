package server

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"cpns.example.net/pngw/cpns"
)

// DefaultPort is where gateways reach a server that has never run.
const DefaultPort = "8443"

// A CodeRequest says what an enrolment code is to be for.
type CodeRequest struct {
	Gateway   cpns.GatewayID // what the gateway will be called, "" for nothing
	Uses      int
	Valid     time.Duration
	Introduce bool   // no secret, so that Uses and Valid do not count: a person approves each gateway
	Server    string // HOST:PORT by which gateways reach the server; where it is "", what init and run have left
}

// A Code is an enrolment code and what is known of it.
type Code struct {
	Code      string
	Server    string
	Pin       string // of the server's key, base64url
	Gateway   cpns.GatewayID
	Introduce bool
	Uses      int       // 0 for any number
	Until     time.Time // zero for ever
	Notes     []string  // that the operator should know
}

// ErrNoHost says that nobody has said by which name gateways reach the server.
var ErrNoHost = errors.New("init was given no --host: say --server HOST:PORT, by which gateways reach this server")

// MakeCode makes an enrolment code for the server whose certificate is leaf, and an
// invitation where the code has a secret.
func (o *Operator) MakeCode(ctx context.Context, leaf *x509.Certificate, r CodeRequest) (*Code, error) {
	code := cpns.EnrolmentCode{Pin: cpns.PinOf(leaf.RawSubjectPublicKeyInfo), ID: r.Gateway}
	var err error
	if code.Server, err = o.reachedAt(ctx, r.Server); err != nil {
		return nil, err
	}
	if _, err := code.Text(); err != nil { // before anything is made
		return nil, refused("%v: give another --server HOST:PORT", err)
	}
	made := &Code{Server: code.Server, Pin: cpns.Base64.EncodeToString(code.Pin[:]), Gateway: code.ID, Introduce: r.Introduce}
	made.Notes = notesOn(leaf, code.Server)
	if code.ID != "" {
		known, err := o.IsKnown(ctx, code.ID)
		if err != nil {
			return nil, err
		}
		if known {
			made.Notes = append(made.Notes, fmt.Sprintf("Gateway %s is known: who comes with this code waits until gateway approve --replace lets it take that place.", code.ID))
		}
	}
	if !r.Introduce {
		secret, until, err := o.Invite(ctx, code.ID, r.Uses, r.Valid)
		if err != nil {
			return nil, err
		}
		code.Secret, made.Uses, made.Until = secret, r.Uses, until
	}
	made.Code, err = code.Text()
	return made, err
}

// reachedAt is the server as a code names it.
func (o *Operator) reachedAt(ctx context.Context, given string) (string, error) {
	if given != "" {
		if _, _, err := net.SplitHostPort(given); err != nil {
			return "", refused("--server %q is not HOST:PORT, such as cpns.example.net:8443", given)
		}
		return given, nil
	}
	host, port, err := o.Remembered(ctx)
	if err != nil {
		return "", err
	}
	if host == "" {
		return "", ErrNoHost
	}
	return net.JoinHostPort(host, cmp.Or(port, DefaultPort)), nil
}

// notesOn says where the server's certificate is not for the host of a code.
func notesOn(leaf *x509.Certificate, address string) []string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || leaf.VerifyHostname(host) == nil {
		return nil
	}
	return []string{fmt.Sprintf("The server's certificate is not for %s: gateways know the server by its key, and are locked out when that changes. init --renew-cert --host %[1]s puts the name in.", host)}
}
