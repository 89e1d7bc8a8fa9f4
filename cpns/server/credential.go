package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// A Role is what the holder of a credential may do.
type Role string

// The roles. Each may do what the one before it may.
const (
	RoleAuditor  Role = "auditor"  // see everything but secrets
	RoleOperator Role = "operator" // and change users, gateways and PNEs
	RoleAdmin    Role = "admin"    // and give and take credentials
)

var roles = []Role{RoleAuditor, RoleOperator, RoleAdmin}

// ParseRole reads a role by its name.
func ParseRole(s string) (Role, error) {
	for _, r := range roles {
		if string(r) == s {
			return r, nil
		}
	}
	return "", fmt.Errorf("role %q: there are %s, %s and %s", s, RoleAuditor, RoleOperator, RoleAdmin)
}

// Includes reports whether r may do what other may. A role that is none includes none.
func (r Role) Includes(other Role) bool {
	rank := func(r Role) int {
		for n, each := range roles {
			if each == r {
				return n
			}
		}
		return len(roles)
	}
	own, others := rank(r), rank(other)
	return own < len(roles) && others <= own
}

// What a credential may be.
const (
	maxCredentials      = 1000
	maxCredentialName   = 64
	MaxCredentialValid  = 10 * 365 * 24 * time.Hour
	credentialSecret    = 32 // bytes
	credentialSaltSize  = 16
	credentialPlainSize = 1 + credentialSaltSize + 32
)

// tokenPrefix lets programs that look for secrets in the wrong place find a token.
const tokenPrefix = "cpns_"

// A RefusalError says why the server refuses to do something, though it could.
type RefusalError struct{ Reason string }

func (e *RefusalError) Error() string { return e.Reason }

func refused(format string, args ...any) error {
	return &RefusalError{fmt.Sprintf(format, args...)}
}

// CheckCredentialName refuses names that the audit log could not show on one line.
func CheckCredentialName(s string) error {
	if s == "" || len(s) > maxCredentialName || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return refused("name %q: 1 to %d printable ASCII characters, without a space in front or behind", s, maxCredentialName)
	}
	return nil
}

// AddToken makes a token and returns it; only its hash is stored. It fails with
// ErrExists if there is a credential of that name.
func (o *Operator) AddToken(ctx context.Context, name string, role Role, valid time.Duration) (string, Credential, error) {
	secret := make([]byte, credentialSecret)
	rand.Read(secret)
	defer clear(secret)
	plain := make([]byte, 1, credentialPlainSize)
	plain[0] = hashVersion
	salt := make([]byte, credentialSaltSize)
	rand.Read(salt)
	plain = append(append(plain, salt...), hashOfToken(secret, salt)...)
	c, err := o.addCredential(ctx, Credential{Name: name, Kind: KindToken, Role: role}, valid, plain)
	if err != nil {
		return "", c, err
	}
	return tokenPrefix + c.ID + "_" + base64.RawURLEncoding.EncodeToString(secret), c, nil
}

// AddCertificate lets whoever has a client certificate of a CA that the server trusts,
// with name as its common name, do what a role may. It fails with ErrExists where a
// credential has that name.
func (o *Operator) AddCertificate(ctx context.Context, name string, role Role, valid time.Duration) (Credential, error) {
	return o.addCredential(ctx, Credential{Name: name, Kind: KindCertificate, Role: role}, valid, nil)
}

func (o *Operator) addCredential(ctx context.Context, c Credential, valid time.Duration, plain []byte) (Credential, error) {
	if err := CheckCredentialName(c.Name); err != nil {
		return c, err
	}
	if _, err := ParseRole(string(c.Role)); err != nil {
		return c, refused("%v", err)
	}
	if valid < time.Minute || valid > MaxCredentialValid {
		return c, refused("a token is valid for 1 minute to 3650 days")
	}
	var id [8]byte
	rand.Read(id[:])
	c.ID, c.Created = hex.EncodeToString(id[:]), o.now().Truncate(time.Millisecond)
	c.Ends = c.Created.Add(valid).Truncate(time.Millisecond)
	var err error
	if c.Hash, err = o.vault.seal(columnCredential, c.row(), plain); err != nil {
		return c, err
	}
	err = o.updateWith(ctx, c.Hash, func(tx Tx) error {
		if n, err := tx.CountCredentials(); err != nil {
			return err
		} else if n >= maxCredentials {
			return refused("there are %d tokens: remove those that nobody needs", n)
		}
		if err := tx.AddCredential(c); err != nil {
			return err
		}
		detail := fmt.Sprintf("%s %q, role %s, until %s", c.Kind, c.Name, c.Role, c.Ends.UTC().Format(time.RFC3339))
		return tx.AddEvent(o.event(Event{Kind: EventTokenAdded, Detail: detail}))
	})
	return c, err
}

// RemoveCredential ends a credential, by its name: its next request is refused. It
// fails with ErrNotFound where there is none.
func (o *Operator) RemoveCredential(ctx context.Context, name string) error {
	return o.store.Update(ctx, func(tx Tx) error {
		c, err := tx.CredentialByName(name)
		if err != nil {
			return err
		}
		if err := tx.RemoveCredential(c.ID); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventTokenRemoved, Detail: fmt.Sprintf("%s %q, role %s", c.Kind, c.Name, c.Role)}))
	})
}

// Credentials calls f with every credential, in the order of their names, until f fails.
func (o *Operator) Credentials(ctx context.Context, f func(Credential) error) error {
	return each(ctx, o.store, Tx.CredentialsAfter, func(c Credential) string { return c.Name }, f)
}

// row is the associated data to which the sealed part of a credential is bound, so that
// somebody who can write to the database can neither make a credential nor change the
// role or the validity of one.
func (c *Credential) row() string {
	return credentialRow(c.ID, c.Name, c.Kind, c.Role, c.Ends.UnixMilli())
}

func credentialRow(id, name string, kind CredentialKind, role Role, ends int64) string {
	return string(appendFields(nil, id, name, string(kind), string(role), strconv.FormatInt(ends, 10)))
}

// hashVersion is the first byte of a sealed hash: it names the parameters.
const hashVersion = 1

// hashOfToken is Argon2id of version 1, with the parameters that users' passwords have.
// A token's secret is random and long: the hash is there for whoever reads the database
// and has the master key, and cannot use the tokens for that.
func hashOfToken(secret, salt []byte) []byte { return argon2.IDKey(secret, salt, 5, 7168, 1, 32) }

// TokenID is the ID in a token, by which logs may name it and token list shows it; "" for
// what is no token.
func TokenID(token string) string {
	id, secret, err := parseToken(token)
	clear(secret)
	if _, notHex := hex.DecodeString(id); err != nil || notHex != nil {
		return ""
	}
	return id
}

// parseToken takes a token apart.
func parseToken(token string) (id string, secret []byte, err error) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	id, text, cut := strings.Cut(rest, "_")
	secret, err = base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || !cut || err != nil || len(id) != 16 || len(secret) != credentialSecret {
		return "", nil, errNoToken
	}
	return id, secret, nil
}

var errNoToken = errors.New("not a token of this server")
