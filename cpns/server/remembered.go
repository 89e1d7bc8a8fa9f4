package server

import (
	"sync"

	"cpns.example.net/pngw/cpns"
)

// A server remembers the PSK1s of gateways that send requests, sealed as they are in the
// store, so that it can open a request without asking the store. A remembered PSK1 alone
// authorises nothing: an assignment is made only if the store, in the transaction of the
// request, still has that PSK1. If a body does not open, or its time is wrong, the
// PSK1 in the store decides, after the same steps whether the identity is remembered or
// not, so that the time tells nothing about it.
const psk1sRemembered = 8192

type psk1Memory struct {
	mu   sync.Mutex
	rows map[cpns.PSKIdentity]PSK1
}

// add remembers one that a request has opened under. Before its first use is
// recorded it is not worth it.
func (m *psk1Memory) add(p PSK1) {
	if p.Used.IsZero() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows == nil {
		m.rows = make(map[cpns.PSKIdentity]PSK1)
	}
	for id := range m.rows {
		if len(m.rows) < psk1sRemembered {
			break
		}
		delete(m.rows, id) // any: it is asked for again
	}
	m.rows[p.Identity] = p
}

func (m *psk1Memory) drop(id cpns.PSKIdentity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rows, id)
}

func (m *psk1Memory) get(id cpns.PSKIdentity) (PSK1, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.rows[id]
	return p, ok
}

// rememberedPSK1 is the PSK1 of an identity, or one that nobody has and whose identity
// is "".
func (s *Server) rememberedPSK1(id cpns.PSKIdentity) (PSK1, cpns.PSK1, error) {
	p, ok := s.remembered.get(id)
	if ok && len(s.vault.state.Load().forOpening(p.Key)) == 0 { // the master key has been changed
		s.remembered.drop(id)
		ok = false
	}
	if !ok || !p.good(s.now()) {
		in, err := s.standIns()
		if err != nil {
			return PSK1{}, nil, err
		}
		p = in.nowhere
	}
	psk, err := s.vault.open(columnPSK1, psk1Row(p.Gateway, p.Identity), p.Key)
	return p, psk, err
}
