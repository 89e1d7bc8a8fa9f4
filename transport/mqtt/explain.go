package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"cpns.example.net/pngw/internal/tlsfault"
)

// A refusedTopic says that the broker does not let us subscribe.
type refusedTopic string

func (e refusedTopic) Error() string { return "broker refuses the subscription to " + string(e) }

// explain says in a line for people why there is no connection, and what to do.
func (b *broker) explain(err error) string {
	var closed *closedError
	if errors.As(err, &closed) {
		return b.addr + " " + closed.Error()
	}
	for _, f := range []func(error) string{b.explainMQTT, b.explainTLS, b.explainNet} {
		if s := f(err); s != "" {
			return s
		}
	}
	return fmt.Sprintf("%s: %v", b.addr, err)
}

func (b *broker) explainMQTT(err error) string {
	var topic refusedTopic
	var alert speaksTLS
	var broken protocolError
	switch {
	case errors.As(err, &topic):
		return fmt.Sprintf("not authorised to subscribe to %s: allow it in the broker's access list", string(topic))
	case errors.As(err, &alert):
		return fmt.Sprintf("%s speaks TLS: use mqtts://", b.addr)
	case errors.As(err, &broken):
		return broken.Error()
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword):
		return "broker refuses user name or password: correct username and password_file"
	case errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return fmt.Sprintf("broker does not authorise this client: correct username and password_file, or have it allow the client ID %s", b.clientID)
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return fmt.Sprintf("broker refuses the client ID %s: set client_id to one that it accepts", b.clientID)
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return "broker says that it is not available now"
	case errors.Is(err, packets.ErrorRefusedBadProtocolVersion):
		return "broker does not speak MQTT 3.1.1"
	}
	return ""
}

func (b *broker) explainTLS(err error) string {
	f, ok := tlsfault.Explain(err, tlsfault.Peer{Addr: b.addr, Role: "broker"}, time.Now())
	if !ok {
		return ""
	}
	switch f.Kind {
	case tlsfault.NotTLS:
		f.Advice = "use mqtt:// or the broker's TLS port"
	case tlsfault.Refused:
		f.Advice = "check cert and key"
	}
	return f.Reason + ": " + f.Advice
}

func (b *broker) explainNet(err error) string {
	var dns *net.DNSError
	var file *fs.PathError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no such host %s: correct the url", b.host)
	case errors.As(err, &dns):
		return fmt.Sprintf("cannot look up %s: is there a network and a name server?", b.host)
	case errors.As(err, &file):
		return err.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("%s refuses connections: is the broker running?", b.addr)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return fmt.Sprintf("no route to %s: is there a network?", b.addr)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("%s does not answer", b.addr)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		return fmt.Sprintf("%s closed the connection", b.addr)
	}
	return ""
}
