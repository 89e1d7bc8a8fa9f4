package server

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"time"
)

// A session ticket lets a gateway that comes back go on with the keys of its last
// connection: no signature, and no certificate to verify. Each server makes keys for
// them that only it has, unless several share a secret: then a gateway that a balancer
// sends to another one is spared the handshake too.
//
// From the secret all servers derive the same keys, a new one for every half day. A
// ticket opens until the end of the next half day, and, since clocks differ, under the
// key of the one to come. A session on which a client certificate was shown has none
// that opens (see tlsConfig).
const (
	TicketSecretSize = 32
	ticketPeriod     = 12 * time.Hour
	ticketLook       = time.Minute // how often the secret and the time are looked at
)

// A TicketSecret is what servers derive their session ticket keys from.
type TicketSecret [TicketSecretSize]byte

// ticketKeys are the keys at a time, the first of them for new tickets.
func (s *TicketSecret) ticketKeys(now time.Time) ([][32]byte, error) {
	period := now.Unix() / int64(ticketPeriod/time.Second)
	var keys [][32]byte
	for _, p := range []int64{period, period - 1, period + 1} {
		info := binary.BigEndian.AppendUint64([]byte("CPNS session ticket\x00"), uint64(p))
		key, err := hkdf.Key(sha256.New, s[:], nil, string(info), 32)
		if err != nil {
			return nil, err
		}
		keys = append(keys, [32]byte(key))
	}
	return keys, nil
}

// rotateTickets keeps the session ticket keys of a configuration those of the time, and
// of the secret, which may be replaced: tickets under the one before open for another
// period then. A secret that cannot be read leaves the keys as they are.
func (s *Server) rotateTickets(ctx context.Context, c *tls.Config) {
	ticker := time.NewTicker(ticketLook)
	defer ticker.Stop()
	var last, before *TicketSecret
	var changed time.Time
	failed := false
	for {
		secret, err := s.ticketSecret()
		if err != nil && !failed {
			s.log.Error("reading the secret of session tickets: the keys stay", "error", err)
		}
		if failed = err != nil; !failed {
			now := s.now()
			if last == nil || *secret != *last {
				last, before, changed = secret, last, now
			}
			keys, err := secret.ticketKeys(now)
			if before != nil && err == nil {
				if now.Sub(changed) < ticketPeriod {
					var old [][32]byte
					old, err = before.ticketKeys(now)
					keys = append(keys, old...)
				} else {
					before = nil
				}
			}
			if err != nil {
				s.log.Error("deriving the keys of session tickets", "error", err)
			} else {
				c.SetSessionTicketKeys(keys)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
