package cpns

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// errSecret keeps a secret out of JSON and every other text encoding. It is an
// error, not a mark in the secret's place: a state file that says "redacted"
// where a key should be would be noticed only when the key is needed.
var errSecret = errors.New("a secret is not marshaled as text")

const redacted = "[redacted]"

// redact serves every verb, so that neither %x nor %#v shows a byte. Package fmt
// calls it wherever it may: in values, pointers, slices, maps and exported
// fields. It has no hook for an unexported field, so a struct that keeps a secret
// in one must not be printed; nor for %p and %w, which mean nothing here.
func redact(s fmt.State) { io.WriteString(s, redacted) }

func (EUKey) Format(s fmt.State, _ rune)   { redact(s) }
func (EUKey) String() string               { return redacted }
func (EUKey) GoString() string             { return redacted }
func (EUKey) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (EUKey) MarshalText() ([]byte, error) { return nil, errSecret }

func (PasswordHash) Format(s fmt.State, _ rune)   { redact(s) }
func (PasswordHash) String() string               { return redacted }
func (PasswordHash) GoString() string             { return redacted }
func (PasswordHash) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (PasswordHash) MarshalText() ([]byte, error) { return nil, errSecret }

func (SessionKey) Format(s fmt.State, _ rune)   { redact(s) }
func (SessionKey) String() string               { return redacted }
func (SessionKey) GoString() string             { return redacted }
func (SessionKey) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (SessionKey) MarshalText() ([]byte, error) { return nil, errSecret }

func (EnrolmentSecret) Format(s fmt.State, _ rune)   { redact(s) }
func (EnrolmentSecret) String() string               { return redacted }
func (EnrolmentSecret) GoString() string             { return redacted }
func (EnrolmentSecret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (EnrolmentSecret) MarshalText() ([]byte, error) { return nil, errSecret }

func (ApplicationKey) Format(s fmt.State, _ rune)   { redact(s) }
func (ApplicationKey) String() string               { return redacted }
func (ApplicationKey) GoString() string             { return redacted }
func (ApplicationKey) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (ApplicationKey) MarshalText() ([]byte, error) { return nil, errSecret }

// An X25519Pair keeps its private key in an unexported field, which package fmt
// shows unless the whole is redacted.
func (X25519Pair) Format(s fmt.State, _ rune)   { redact(s) }
func (X25519Pair) String() string               { return redacted }
func (X25519Pair) GoString() string             { return redacted }
func (X25519Pair) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (X25519Pair) MarshalText() ([]byte, error) { return nil, errSecret }

func (TK) Format(s fmt.State, _ rune)   { redact(s) }
func (TK) String() string               { return redacted }
func (TK) GoString() string             { return redacted }
func (TK) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (TK) MarshalText() ([]byte, error) { return nil, errSecret }

func (PSK1) Format(s fmt.State, _ rune)   { redact(s) }
func (PSK1) String() string               { return redacted }
func (PSK1) GoString() string             { return redacted }
func (PSK1) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (PSK1) MarshalText() ([]byte, error) { return nil, errSecret }
