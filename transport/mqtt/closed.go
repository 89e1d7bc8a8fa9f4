package mqtt

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// A stage is how far a connection had come. MQTT 3.1.1 knows no way for a broker to say
// why it closes one; when it did is all that there is to go by.
type stage uint8

const (
	inTLS       stage = iota // before TLS stood
	connecting               // after CONNECT, before CONNACK
	subscribing              // after a SUBSCRIBE, before its SUBACK
	announcing               // after the status, before its PUBACK
	up                       // messages flow
)

// A closedError says that the broker closed the connection, and when.
type closedError struct {
	stage    stage
	topic    string // of what it has not acknowledged; empty for nothing
	clientID string
	status   bool // whether it has been given a last will
	again    bool // it was up, closed soon after, and not for the first time
	tls      bool
}

func (e *closedError) Error() string {
	switch e.stage {
	case inTLS:
		return "closed the connection instead of beginning TLS: is this its port for TLS? Correct the port, or use mqtt://"
	case connecting:
		var causes []string
		if !e.tls {
			causes = append(causes, "it may speak only TLS on this port (then use mqtts://)")
		}
		causes = append(causes, fmt.Sprintf("it may not take the client ID %s (then set client_id)", e.clientID))
		if e.status {
			causes = append(causes, "it may not take a retained status topic (then set status to 0)")
		}
		return "closed the connection instead of answering: " + strings.Join(causes, ", or ")
	case subscribing:
		return fmt.Sprintf("closed the connection when asked for %s: its access list may forbid that topic, or it takes no QoS 1", e.topic)
	case announcing:
		return fmt.Sprintf("closed the connection when given %s: its access list may forbid that topic, or it keeps no retained messages (then set status to 0)", e.topic)
	}
	switch {
	case e.topic != "":
		return fmt.Sprintf("closed the connection on a message to %s: its access list may forbid that topic, or it takes no QoS 1", e.topic)
	case e.again:
		return fmt.Sprintf("keeps closing the connection soon after it is up: it is started again and again, or another client seems to use the client ID %s (then give one of them another by client_id)", e.clientID)
	}
	return fmt.Sprintf("closed the connection: it was stopped, or another client came with the client ID %s", e.clientID)
}

// errLost stands for a reason that paho has not told.
var errLost = errors.New("connection lost")

// isClosed tells whether err is how an end looks that the broker made.
func isClosed(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed, errLost} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// closed says more about err where that is an end that the broker made.
func (s *session) closed(err error) error {
	if !isClosed(err) {
		return err
	}
	e := &closedError{stage: s.stage, topic: s.asked, clientID: s.link.clientID, status: s.status, tls: s.link.broker.tls}
	if s.stage == up {
		s.publisher.Wait() // the connection is over
		e.topic = s.unacknowledged
	}
	return e
}
