package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// TestExplain has the errors that are hard to have in earnest.
func TestExplain(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	tests := []struct {
		err  error
		want string
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "refuses connections: is the broker running?"},
		{dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), "no route to broker.example.net:1883"},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "no route to"},
		{dial(os.NewSyscallError("connect", syscall.ETIMEDOUT)), "does not answer"},
		{dial(&net.DNSError{Err: "no such host", Name: "broker.example.net", IsNotFound: true}), "no such host broker.example.net: correct the url"},
		{dial(&net.DNSError{Err: "server misbehaving", Name: "broker.example.net"}), "is there a network and a name server?"},
		{dial(&net.DNSError{Err: "i/o timeout", Name: "broker.example.net", IsTimeout: true}), "is there a network and a name server?"},
		{context.DeadlineExceeded, "does not answer"},
		{fmt.Errorf("%w : %w", packets.ErrorNetworkError, os.ErrDeadlineExceeded), "does not answer"},
		{fmt.Errorf("%w : %w", packets.ErrorNetworkError, io.EOF), "closed the connection"},
		{&closedError{stage: inTLS, tls: true}, "broker.example.net:1883 closed the connection instead of beginning TLS"},
		{&closedError{stage: connecting, clientID: "c", status: true}, "retained status topic (then set status to 0)"},
		{&closedError{stage: announcing, topic: "s"}, "closed the connection when given s"},
		{&closedError{stage: up, clientID: "c"}, "it was stopped, or another client came with the client ID c"},
		{speaksTLS{}, "broker.example.net:1883 speaks TLS: use mqtts://"},
		{dial(os.NewSyscallError("read", syscall.ECONNRESET)), "closed the connection"},
		{packets.ErrorRefusedBadUsernameOrPassword, "correct username and password_file"},
		{packets.ErrorRefusedNotAuthorised, "have it allow the client ID pngw-1"},
		{packets.ErrorRefusedIDRejected, "client ID"},
		{packets.ErrorRefusedServerUnavailable, "not available now"},
		{packets.ErrorRefusedBadProtocolVersion, "does not speak MQTT 3.1.1"},
		{refusedTopic("cpns/+/up"), "not authorised to subscribe to cpns/+/up"},
		{errors.New("pingresp not received, disconnecting"), "broker.example.net:1883: pingresp not received"},
		{fmt.Errorf("reading ca: %w", &os.PathError{Op: "open", Path: "/etc/ca.pem", Err: syscall.ENOENT}), "reading ca: open /etc/ca.pem: no such file"},
	}
	b := broker{host: "broker.example.net", addr: "broker.example.net:1883", clientID: "pngw-1"}
	for _, tt := range tests {
		if got := b.explain(tt.err); !strings.Contains(got, tt.want) {
			t.Errorf("explain(%v) = %q, want %q in it", tt.err, got, tt.want)
		}
	}
}
