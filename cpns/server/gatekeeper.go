package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"sync"
	"time"
)

// What telling tokens apart may cost. A token is checked by Argon2id once; for a while
// after that it is known by a digest under a key that never leaves this process, and a
// request costs no hash. That, and the bound on hashes under way, keep whoever sends
// tokens fast from taking the processor away from gateways.
const (
	tokenKnown   = 10 * time.Minute
	tokensKnown  = 1024
	hashesAtOnce = 2
	hashTime     = 5 * time.Second // that a request waits for its turn
)

// ErrBusy says that too many tokens are being checked.
var ErrBusy = errors.New("too many tokens are being checked at the moment")

// A Gatekeeper says who holds a credential. It remembers which tokens it has checked,
// but looks at the credential itself each time: one that was removed, or has ended, is
// refused at once.
type Gatekeeper struct {
	store  Store
	vault  *vault
	now    func() time.Time
	turn   chan struct{}
	key    [32]byte
	hashed func() // told of every Argon2id; nil outside of tests

	mu    sync.Mutex
	known map[[sha256.Size]byte]knownToken
}

// A knownToken was right for a sealed hash.
type knownToken struct {
	hash  string
	until time.Time
}

// Gatekeeper is that of the operator's store.
func (o *Operator) Gatekeeper() *Gatekeeper {
	g := &Gatekeeper{store: o.store, vault: o.vault, now: o.now, turn: make(chan struct{}, hashesAtOnce), known: make(map[[sha256.Size]byte]knownToken)}
	rand.Read(g.key[:])
	return g
}

// IsKnown reports whether the token was right lately: looking at it once more costs little.
func (g *Gatekeeper) IsKnown(token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, ok := g.known[g.digest(token)]
	return ok && g.now().Before(k.until)
}

// Token is the credential that a token is for. It fails with ErrNotFound where that is
// none that holds now, and with ErrBusy.
func (g *Gatekeeper) Token(ctx context.Context, token string) (Credential, error) {
	id, secret, err := parseToken(token)
	if err != nil {
		return Credential{}, ErrNotFound
	}
	defer clear(secret)
	c, plain, err := g.open(ctx, KindToken, func(tx Tx) (Credential, error) { return tx.Credential(id) })
	if err != nil {
		return Credential{}, err
	}
	digest := g.digest(token)
	if !g.isKnownFor(digest, c.Hash) {
		if len(plain) != credentialPlainSize || plain[0] != hashVersion {
			return Credential{}, ErrNotFound
		}
		right, err := g.compare(ctx, secret, plain[1:1+credentialSaltSize], plain[1+credentialSaltSize:])
		if err != nil {
			return Credential{}, err
		}
		if !right {
			return Credential{}, ErrNotFound
		}
		g.remember(digest, c.Hash)
	}
	return c, g.touch(ctx, c)
}

// Certificate is the credential of a client certificate's common name. The certificate
// has been verified by now. It fails with ErrNotFound where there is none that holds.
func (g *Gatekeeper) Certificate(ctx context.Context, name string) (Credential, error) {
	if CheckCredentialName(name) != nil {
		return Credential{}, ErrNotFound
	}
	c, _, err := g.open(ctx, KindCertificate, func(tx Tx) (Credential, error) { return tx.CredentialByName(name) })
	if err != nil {
		return Credential{}, err
	}
	return c, g.touch(ctx, c)
}

// open finds a credential of a kind that holds now, and opens what lies sealed in it.
func (g *Gatekeeper) open(ctx context.Context, kind CredentialKind, find func(Tx) (Credential, error)) (c Credential, plain []byte, err error) {
	err = g.store.View(ctx, func(tx Tx) (err error) {
		c, err = find(tx)
		return err
	})
	if err != nil {
		return c, nil, err
	}
	if plain, err = g.vault.open(columnCredential, c.row(), c.Hash); err != nil {
		return c, nil, err
	}
	if c.Kind != kind || !g.now().Before(c.Ends) {
		return c, nil, ErrNotFound
	}
	return c, plain, nil
}

// compare hashes a secret when it is its turn.
func (g *Gatekeeper) compare(ctx context.Context, secret, salt, hash []byte) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, hashTime)
	defer cancel()
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return false, ErrBusy
	}
	if g.hashed != nil {
		g.hashed()
	}
	return subtle.ConstantTimeCompare(hashOfToken(secret, salt), hash) == 1, nil
}

// touch records that a credential was used, once a minute. Where that cannot be written
// the credential holds all the same: a full disk must not keep operators out.
func (g *Gatekeeper) touch(ctx context.Context, c Credential) error {
	now := g.now().Truncate(time.Minute)
	if !c.Used.Before(now) {
		return nil
	}
	err := g.store.Update(ctx, func(tx Tx) error { return tx.SetCredentialUsed(c.ID, now) })
	if errors.Is(err, ErrNotFound) { // removed meanwhile
		return err
	}
	return nil
}

func (g *Gatekeeper) digest(token string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, g.key[:])
	mac.Write([]byte(token))
	return [sha256.Size]byte(mac.Sum(nil))
}

func (g *Gatekeeper) isKnownFor(digest [sha256.Size]byte, hash Sealed) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, ok := g.known[digest]
	return ok && g.now().Before(k.until) && k.hash == string(hash)
}

func (g *Gatekeeper) remember(digest [sha256.Size]byte, hash Sealed) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= tokensKnown {
		clear(g.known) // which costs each of them one hash
	}
	g.known[digest] = knownToken{string(hash), g.now().Add(tokenKnown)}
}
