package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/admin"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/secretfile"
	"cpns.example.net/pngw/internal/tlsfault"
)

// An operator does what commands ask for: on the database of a data folder, or by the
// admin API of a server that is elsewhere.
type operator interface {
	Now() time.Time

	AddUser(context.Context, cpns.UserID, *server.PasswordHashes) error
	SetPassword(context.Context, cpns.UserID, *server.PasswordHashes) error
	Unlock(context.Context, cpns.UserID) (changed bool, err error)
	User(context.Context, cpns.UserID) (server.UserStatus, error)
	SetDisabled(context.Context, cpns.UserID, bool) (changed bool, err error)
	RemoveUser(context.Context, cpns.UserID) error
	Users(context.Context, server.UserFilter, func(server.UserStatus) error) error

	AddGateway(context.Context, cpns.GatewayID, cpns.PSKIdentity, cpns.PSK1) error
	AddGatewayIMPI(context.Context, cpns.GatewayID, string) error
	SetIMPI(context.Context, cpns.GatewayID, string) error
	RekeyGateway(context.Context, cpns.GatewayID, cpns.PSK1, time.Duration) (voided bool, err error)
	RemoveGateway(context.Context, cpns.GatewayID) error
	Gateways(context.Context, func(server.Gateway, []server.PSK1) error) error

	Pending(context.Context, func(server.Enrolment, []server.Conflict) error) error
	Approve(context.Context, server.Approval) (server.Approved, error)
	Refuse(context.Context, string) error
	MakeCode(context.Context, server.CodeRequest) (*server.Code, error)
	Invitations(context.Context, func(server.Invitation) error) error
	Revoke(context.Context, string) error

	ImportPNEs(context.Context, io.Reader, server.ImportOptions) (server.ImportResult, error)
	PNE(context.Context, cpns.EntityID) (server.PNE, error)
	PNEs(context.Context, server.PNEFilter, func(server.PNE) error) error
	GiveTo(context.Context, cpns.EntityID, cpns.UserID) (changed bool, err error)
	Release(context.Context, cpns.EntityID) (changed bool, err error)
	SetTK(context.Context, cpns.EntityID, cpns.TK) error
	RemovePNE(context.Context, cpns.EntityID) error

	Audit(context.Context, time.Time, func(server.Event) error) error
	Follow(context.Context, time.Time, func(server.Event) error, func(error)) error

	AddToken(context.Context, string, server.Role, time.Duration) (string, server.Credential, error)
	AddCertificate(context.Context, string, server.Role, time.Duration) (server.Credential, error)
	RemoveCredential(context.Context, string) error
	Credentials(context.Context, func(server.Credential) error) error
}

// A localOperator works on the database of a data folder.
type localOperator struct {
	*server.Operator
	folder dataFolder
}

// MakeCode makes a code for the server whose certificate is in the folder.
func (l localOperator) MakeCode(ctx context.Context, r server.CodeRequest) (*server.Code, error) {
	leaf, err := readLeaf(l.folder.serverCert())
	if err != nil {
		return nil, err
	}
	return l.Operator.MakeCode(ctx, leaf, r)
}

// remoteOptions say which admin API to ask, and how to show who asks.
type remoteOptions struct {
	url, tokenFile, cert, key, ca string
}

// What options are called in the environment.
const (
	remoteEnv    = "CPNS_REMOTE"
	tokenFileEnv = "CPNS_TOKEN_FILE"
	remoteCAEnv  = "CPNS_REMOTE_CA"
)

// remoteFlags are the options of all commands.
func remoteFlags(fs *flag.FlagSet) {
	envFlag(fs, new(string), "remote", remoteEnv, "do it by the admin API at `URL`, https://HOST:PORT, in place of a data folder")
	envFlag(fs, new(string), "token-file", tokenFileEnv, "with --remote: the token is in `FILE`")
	fs.String("client-cert", "", "with --remote: a client certificate, a PEM `FILE`, in place of a token")
	fs.String("client-key", "", "the key of --client-cert, a PEM `FILE`")
	envFlag(fs, new(string), "ca", remoteCAEnv, "with --remote: believe the CA in a PEM `FILE`, such as the server's ca.pem, in place of this machine's")
}

// envFlag declares an option that the environment may give. What is there is not shown in
// the help: it may have a password in it.
func envFlag(fs *flag.FlagSet, value *string, name, env, usage string) {
	fs.StringVar(value, name, "", usage+"; or in the environment as "+env)
	*value = os.Getenv(env)
}

// given reports whether somebody has typed an option.
func given(fs *flag.FlagSet, name string) (is bool) {
	fs.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// remote is which admin API to ask, nil for none: a data folder that is named counts
// more than the environment.
func (p place) remote() (*remoteOptions, error) {
	if p.flags == nil {
		return nil, nil
	}
	value := func(name string) string { return p.flags.Lookup(name).Value.String() }
	r := &remoteOptions{value("remote"), value("token-file"), value("client-cert"), value("client-key"), value("ca")}
	typed := given(p.flags, "remote")
	switch {
	case typed && p.folder != "":
		return nil, command.Misused("--remote and --data are two servers: give one of them")
	case r.url != "" && p.folder == "" && (given(p.flags, "store") || given(p.flags, "store-password-file")):
		return nil, command.Misused("--store goes with --data: a server that is asked by --remote (or %s) has its own database", remoteEnv)
	case r.url == "" || p.folder != "":
		for _, name := range []string{"token-file", "client-cert", "client-key", "ca"} {
			if given(p.flags, name) {
				return nil, command.Misused("--%s goes with --remote", name)
			}
		}
		return nil, nil
	case (r.cert == "") != (r.key == ""):
		return nil, command.Misused("--client-cert and --client-key go together")
	case r.cert != "" && given(p.flags, "token-file"):
		return nil, command.Misused("--client-cert is in place of --token-file")
	case r.cert == "" && r.tokenFile == "":
		return nil, command.Misused("--remote needs --token-file FILE, or --client-cert and --client-key")
	}
	if r.cert != "" {
		r.tokenFile = ""
	}
	return r, nil
}

// onTheFolder refuses another server to a command that works on the data folder itself.
const onTheFolder = "this works on the data folder itself: give the command on the server's machine, with --data in place of --remote"

// asOperator runs f as the operator of the folder that --data names, with the rights of
// the folder's owner, or of the server that --remote names: a file of who gives the
// command is opened before.
func asOperator(ctx context.Context, c *command.Console, p place, f func(operator) error) error {
	r, err := p.remote()
	if err != nil {
		return err
	}
	if r == nil {
		return inOperatorsFolder(ctx, p, func(d dataFolder, op *server.Operator) error { return f(localOperator{op, d}) })
	}
	client, err := r.client(c)
	if err != nil {
		return err
	}
	defer client.Close()
	return r.explain(f(client))
}

// client reads the files of who asks.
func (r *remoteOptions) client(c *command.Console) (*admin.Client, error) {
	config := admin.ClientConfig{URL: r.url, TLS: &tls.Config{MinVersion: tls.VersionTLS13}, Told: func(err error, next time.Duration) {
		fmt.Fprintf(c.Stderr, "waiting %v for %s: %v\n", next, r.host(), r.explain(err))
	}}
	if r.tokenFile != "" {
		const longest = 256
		token, err := secretfile.Read(r.tokenFile, longest)
		if err != nil {
			return nil, fmt.Errorf("reading the token: %w", err)
		}
		config.Token = string(token)
		clear(token)
	}
	if r.cert != "" {
		f, err := secretfile.Open(r.key) // for its mode
		if err != nil {
			return nil, err
		}
		f.Close()
		_, cert, err := readKeyPair(r.cert, r.key)
		if err != nil {
			return nil, err
		}
		config.TLS.Certificates = []tls.Certificate{cert}
	}
	if r.ca != "" {
		text, err := os.ReadFile(r.ca)
		if err != nil {
			return nil, err
		}
		config.TLS.RootCAs = x509.NewCertPool()
		if !config.TLS.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in it: --ca takes PEM", r.ca)
		}
	}
	client, err := admin.NewClient(config)
	if err != nil {
		return nil, command.Misused("--remote: %v", err)
	}
	return client, nil
}

// explainCertificate says what is wrong with the server's certificate.
func (r *remoteOptions) explainCertificate(err error, fault tlsfault.Fault) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if r.ca != "" {
			return fmt.Errorf("%s shows a certificate of another CA than the one in %s (--ca): copy ca.pem from the data folder of that server anew, or ask the server that this one is of", r.host(), r.ca)
		}
		return fmt.Errorf("%s shows a certificate of a CA that is not believed here: give the server's ca.pem by --ca", r.host())
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("%s shows a certificate for other names, %s: use one of these (there, init --renew-cert --host puts a name in)", r.host(), strings.Join(hostsOf(name.Certificate), ", "))
	}
	return fmt.Errorf("%s: %s", r.host(), fault.Reason)
}

// host is the server's name as it was given, with its port.
func (r *remoteOptions) host() string {
	if u, err := url.Parse(r.url); err == nil && u.Host != "" {
		return u.Host
	}
	return r.url
}

// explain says what people can do about an error on the way.
func (r *remoteOptions) explain(err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[*admin.AnswerError](err); ok {
		switch answer.Status {
		case 401:
			what := "the token in " + r.tokenFile
			if r.cert != "" {
				what = "the certificate " + r.cert
			}
			return fmt.Errorf("%s lets nobody in by %s: it has ended, or was removed, or is another server's: cpns-server token list there shows which hold", r.host(), what)
		case 403, 429, 500, 503:
			return fmt.Errorf("%s: %s", r.host(), answer.Detail)
		}
		return err
	}
	if fault, ok := tlsfault.Explain(err, tlsfault.Peer{Addr: r.host(), Role: "server"}, time.Now()); ok {
		here := strings.NewReplacer("this router", "this machine")
		fault.Reason, fault.Advice = here.Replace(fault.Reason), here.Replace(fault.Advice)
		if fault.Kind == tlsfault.Certificate {
			return r.explainCertificate(err, fault)
		}
		return fmt.Errorf("%s: %s", fault.Reason, fault.Advice)
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s cannot be reached: %w: is that the address of run --admin-listen?", r.host(), failed.Err)
	}
	return err
}
