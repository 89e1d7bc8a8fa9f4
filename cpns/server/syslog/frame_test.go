package syslog

import (
	"io"
	"net"
	"testing"
)

// On a stream each message stands behind its length (RFC 6587, 3.4.1): rsyslog would take
// lines too, and others would not. A datagram is a message.
func TestFraming(t *testing.T) {
	for network, want := range map[string]string{"tcp": "6 a\nb€", "udp": "a\nb€"} {
		near, far := net.Pipe()
		var c conn
		c.begin(near, network)
		go func() {
			if err := c.write("a\nb€"); err != nil {
				t.Error(err)
			}
			near.Close()
		}()
		if got, err := io.ReadAll(far); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", network, got, err, want)
		}
		far.Close()
	}
}
