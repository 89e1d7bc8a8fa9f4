package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/internal/durable"
)

// A server renews its certificate by itself where the folder's own CA has signed it: for
// the same names and the same key, so that gateways notice nothing, whether they trust
// the CA or pin a key. One of the operator's own is the operator's to renew.
const (
	renewEvery = 10 * time.Minute // how often the server looks whether it is time
	// A certificate that still holds is renewed when it has been time for so many looks
	// in a row: a clock that jumps ahead and back renews nothing.
	renewLooks = 6
)

// renewal decides when to renew.
type renewal struct {
	due int // looks in a row at which it was time
}

// look renews the certificate if it is time. first is the look when the server starts: a
// certificate that has ended is of no use to anybody, and is renewed at once.
func (r *renewal) look(c *certificate, first bool) {
	now, leaf := c.now(), c.current.Load().Leaf
	if checkClock(now) != nil || checkValidity(leaf, now) == nil && !nearExpiry(leaf, now) {
		r.due = 0
		return
	}
	r.due++
	ended := now.After(leaf.NotAfter)
	if r.due < renewLooks && !(first && ended) {
		return
	}
	r.due = 0
	switch err := c.renew(); {
	case errors.Is(err, errNotOurs): // the log asks for it
	case err != nil:
		c.log.Error("the certificate cannot be renewed", "error", err)
	}
}

// renew makes a new certificate in the folder and takes it.
func (c *certificate) renew() error {
	now := c.now()
	pair, ca, err := reissue(c.folder, &initOptions{}, now)
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return err
	}
	// No certificate ends after its CA. One whose time has not begun was made by a clock
	// that was ahead: any other is better.
	old := c.current.Load().Leaf
	if !cert.Leaf.NotAfter.After(now) || checkValidity(old, now) == nil && !cert.Leaf.NotAfter.After(old.NotAfter) {
		return fmt.Errorf("the CA itself ends on %s: make another folder, and have gateways trust its ca.pem", day(cert.Leaf.NotAfter))
	}
	if err := writeCert(c.folder, pair, ca, durable.Replace); err != nil {
		return err
	}
	c.log.Info("the certificate was renewed by the folder's CA", "ends", cert.Leaf.NotAfter)
	return c.reload()
}
