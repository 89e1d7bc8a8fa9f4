// Package websocket stands in the place of gorilla's, which paho links for MQTT
// over WebSocket. Links are mqtt:// and mqtts:// only, and on a router the real one
// costs 196,608 bytes that nothing calls (docs/decisions/0006). It has the names that
// paho, and the broker of the demo, are compiled against; a connection it refuses.
package websocket

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ErrLeftOut is what every call returns.
var ErrLeftOut = errors.New("MQTT over WebSocket is left out of this program")

// BinaryMessage is the type of a message of bytes.
const BinaryMessage = 2

// A Dialer would open connections.
type Dialer struct {
	Proxy                           func(*http.Request) (*url.URL, error)
	TLSClientConfig                 *tls.Config
	HandshakeTimeout                time.Duration
	ReadBufferSize, WriteBufferSize int
	Subprotocols                    []string
	EnableCompression               bool
}

// Dial returns ErrLeftOut.
func (*Dialer) Dial(string, http.Header) (*Conn, *http.Response, error) {
	return nil, nil, ErrLeftOut
}

// An Upgrader would make an HTTP connection a WebSocket's.
type Upgrader struct {
	Subprotocols []string
	CheckOrigin  func(*http.Request) bool
}

// Upgrade returns ErrLeftOut.
func (*Upgrader) Upgrade(http.ResponseWriter, *http.Request, http.Header) (*Conn, error) {
	return nil, ErrLeftOut
}

// A Conn would be a connection. There is none: see [Dialer.Dial].
type Conn struct{ net.Conn }

// NextReader returns ErrLeftOut.
func (*Conn) NextReader() (int, io.Reader, error) { return 0, nil, ErrLeftOut }

// WriteMessage returns ErrLeftOut.
func (*Conn) WriteMessage(int, []byte) error { return ErrLeftOut }

// UnderlyingConn is what there is below.
func (c *Conn) UnderlyingConn() net.Conn { return c.Conn }
