package cpns

import (
	"errors"
	"fmt"
)

// Message is a CPNS-1 message, between PN GW and PNE over any link: one CBOR
// array of at most 512 bytes whose first element is its type. *Identify, *Hello,
// *Notification, *Acknowledgement, *AuthChallenge, *AuthResponse and
// *EUKeyUpdate are the messages.
//
// The exported fields of each stand in the order of the array.
type Message interface {
	// Marshal encodes the message. It fails, wrapping ErrMalformed, on what
	// ParseMessage would refuse.
	Marshal() ([]byte, error)
	MessageType() MessageType
}

// MessageType is the first element of a CPNS-1 message.
type MessageType uint8

// The CPNS-1 messages.
const (
	TypeIdentify        MessageType = 0
	TypeHello           MessageType = 1
	TypeNotification    MessageType = 2
	TypeAcknowledgement MessageType = 3
	TypeAuthChallenge   MessageType = 4
	TypeAuthResponse    MessageType = 5
	TypeEUKeyUpdate     MessageType = 6
)

// String is the name that the protocol gives to messages of this type.
func (t MessageType) String() string {
	switch t {
	case TypeIdentify:
		return "identify"
	case TypeHello:
		return "hello"
	case TypeNotification:
		return "notification"
	case TypeAcknowledgement:
		return "acknowledgement"
	case TypeAuthChallenge:
		return "auth-challenge"
	case TypeAuthResponse:
		return "auth-response"
	case TypeEUKeyUpdate:
		return "eukey-update"
	}
	return fmt.Sprintf("message type %d", uint8(t))
}

// ParseMessage decodes a CPNS-1 message. It needs no key: what is sealed in the
// message is opened, and a MAC verified, by the message's own method. What is
// accepted re-encodes to the same bytes; errors wrap [ErrMalformed].
func ParseMessage(b []byte) (Message, error) {
	// Both the length of the array and the type are less than 24, so in
	// canonical encoding each takes one byte.
	if len(b) < 2 || b[0] < arrayOf(0) || b[0] > arrayOf(23) {
		return nil, malformed(errors.New("not an array that begins with a message type"))
	}
	messageType := MessageType(b[1])
	message, err := newMessage(messageType)
	if err == nil {
		err = decodeMessage(b, message)
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", messageType, err)
	}
	return message, nil
}

// arrayOf is the first byte of an array of n elements, at most 23.
func arrayOf(n byte) byte { return 0x80 | n }

func newMessage(t MessageType) (wireMessage, error) {
	switch t {
	case TypeIdentify:
		return new(Identify), nil
	case TypeHello:
		return new(Hello), nil
	case TypeNotification:
		return new(Notification), nil
	case TypeAcknowledgement:
		return new(Acknowledgement), nil
	case TypeAuthChallenge:
		return new(AuthChallenge), nil
	case TypeAuthResponse:
		return new(AuthResponse), nil
	case TypeEUKeyUpdate:
		return new(EUKeyUpdate), nil
	}
	return nil, malformed(errors.New("no such message"))
}

// wireMessage is a message as it is on the wire.
type wireMessage interface {
	Message
	coded
	// checkAll checks the range of every field, and what it is sealed with.
	checkAll() error
}

// decodeMessage decodes b into m, which makes sure of the structure, and checks the
// range of every field.
func decodeMessage(b []byte, m wireMessage) error {
	if err := decode(b, MaxLinkMessage, m); err != nil {
		return err
	}
	if err := m.checkAll(); err != nil {
		return malformed(err)
	}
	return nil
}

// encodeMessage is the inverse of decodeMessage.
func encodeMessage(m wireMessage) ([]byte, error) {
	if err := m.checkAll(); err != nil {
		return nil, fmt.Errorf("%v: %w", m.MessageType(), malformed(err))
	}
	b := encode(m)
	if len(b) > MaxLinkMessage {
		return nil, fmt.Errorf("%v: %w: %d bytes, at most %d", m.MessageType(), ErrMalformed, len(b), MaxLinkMessage)
	}
	return b, nil
}
