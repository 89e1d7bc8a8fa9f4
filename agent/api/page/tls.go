package page

import (
	"crypto/tls"
	"net/netip"
	"sync"
	"time"

	"cpns.example.net/pngw/agent/certificate"
)

// A certificate of the page counts from the first day of its period, so that the one
// that a restart makes is the one that a phone has seen: 200 days of 390, which no
// phone finds too long (Apple's limit is 825).
const (
	period   = 200 * 24 * time.Hour
	lifetime = 390 * 24 * time.Hour
)

// shown makes the page's certificate, and a new one when its period is over, or the
// router's clock was set.
type shown struct {
	record *record
	at     netip.Addr
	now    func() time.Time

	mu   sync.Mutex
	from time.Time
	pair *tls.Certificate
}

func (s *shown) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	from := s.now().UTC().Truncate(period)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair != nil && s.from.Equal(from) {
		return s.pair, nil
	}
	ca, err := parseKey(s.record.CAKey)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(s.record.Key)
	if err != nil {
		return nil, err
	}
	leaf, err := certificate.Leaf(ca, s.record.Gateway, key, s.at, from, from.Add(lifetime))
	if err != nil {
		return nil, err
	}
	s.from, s.pair = from, &tls.Certificate{Certificate: [][]byte{leaf, s.record.CA}, PrivateKey: key}
	return s.pair, nil
}
