// Package proxy stands in the place of golang.org/x/net/proxy, through which paho
// would dial brokers. Links dial for themselves and give paho the connection, so on a
// router the real one's SOCKS client is code that nothing calls
// (docs/decisions/0006). It has the names that paho is compiled against, and dials
// directly, as the real one does where the environment names no proxy.
package proxy

import "net"

// A Dialer opens connections.
type Dialer interface {
	Dial(network, address string) (net.Conn, error)
}

// FromEnvironment is a Dialer that dials directly.
func FromEnvironment() Dialer { return &net.Dialer{} }

// FromEnvironmentUsing is forward.
func FromEnvironmentUsing(forward Dialer) Dialer { return forward }
