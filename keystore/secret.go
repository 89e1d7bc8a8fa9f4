package keystore

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// A Secret is the device secret, 32 bytes, that all keys of a store are derived from. It does not let itself
// be printed, logged or serialised.
type Secret [32]byte

const redacted = "[device secret]"

// String gives nothing away.
func (Secret) String() string { return redacted }

// GoString gives nothing away.
func (Secret) GoString() string { return redacted }

// Format gives nothing away, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue gives nothing away.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText refuses: a secret that was written somewhere by mistake is worse than an error.
func (Secret) MarshalText() ([]byte, error) {
	return nil, errors.New("a device secret is not to be serialised")
}
