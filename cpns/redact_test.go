package cpns

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// traces are how a byte 0xab may look when it is printed.
var traces = []string{"ab", "AB", "171", "253", "10101011", "q6ur", "\xab", "«"}

// secrets are one of each kind, all bytes 0xab, alone and in what may hold them.
func secrets() map[string]any {
	fill := bytes.Repeat([]byte{0xab}, 32)
	key, hash, session, application := EUKey(fill), PasswordHash(fill), SessionKey(fill), ApplicationKey(fill)
	pair := X25519Pair{private: [32]byte(fill)}
	enrolment := EnrolmentSecret(fill[:16])
	tk, psk := TK(fill), PSK1(fill)
	return map[string]any{
		"EUKey": key, "*EUKey": &key, "[]EUKey": []EUKey{key}, "map": map[int]EUKey{1: key},
		"PasswordHash": hash, "*PasswordHash": &hash,
		"SessionKey": session, "*SessionKey": &session,
		"ApplicationKey": application, "*ApplicationKey": &application,
		"EnrolmentSecret": enrolment, "*EnrolmentSecret": &enrolment,
		"code":       &EnrolmentCode{Secret: &enrolment},
		"X25519Pair": pair, "*X25519Pair": &pair,
		"TK": tk, "*TK": &tk,
		"PSK1": psk, "*PSK1": &psk,
		"struct": struct {
			Key  EUKey
			TK   TK
			Deep []any
		}{key, tk, []any{&hash, session, psk}},
		"response": &EUKeyAssignmentResponse{TK: tk, EUKeys: []EUKey{key}},
	}
}

func checkRedacted(t *testing.T, how, printed string) {
	t.Helper()
	for _, trace := range traces {
		if strings.Contains(printed, trace) {
			t.Errorf("%s shows %q: %s", how, trace, printed)
			return
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	// Not %p and %w: package fmt does not hand them to a Formatter.
	verbs := strings.Fields("v +v #v s q +q #q x X #x d b o O c U #U t e f g T")
	for name, secret := range secrets() {
		for _, verb := range verbs {
			checkRedacted(t, name+" with %"+verb, fmt.Sprintf("%"+verb, secret))
		}
		checkRedacted(t, name+" printed", fmt.Sprint(secret))
		checkRedacted(t, name+" in an error", fmt.Errorf("wrapped: %v", secret).Error())
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	handlers := map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	}
	for kind, handler := range handlers {
		for name, secret := range secrets() {
			var out bytes.Buffer
			// Without a time, whose digits could look like a secret's.
			record := slog.NewRecord(time.Time{}, slog.LevelInfo, "message", 0)
			record.Add("secret", secret, slog.Group("group", "secret", secret))
			if err := handler(&out).Handle(t.Context(), record); err != nil || out.Len() == 0 {
				t.Fatalf("logged %q, error %v", out.String(), err)
			}
			checkRedacted(t, name+" in "+kind+" log", out.String())
		}
	}
}

func TestSecretsAreNotMarshaled(t *testing.T) {
	for name, secret := range secrets() {
		b, err := json.Marshal(secret)
		if !errors.Is(err, errSecret) {
			t.Errorf("%s: json.Marshal gives %s, %v, want errSecret", name, b, err)
		}
	}
}

func TestSecretsOwnMethods(t *testing.T) {
	type secretType interface {
		fmt.Stringer
		fmt.GoStringer
		slog.LogValuer
		MarshalText() ([]byte, error)
	}
	for _, name := range []string{"EUKey", "PasswordHash", "SessionKey", "ApplicationKey", "EnrolmentSecret", "X25519Pair", "TK", "PSK1"} {
		secret := secrets()[name].(secretType)
		text, err := secret.MarshalText()
		if len(text) != 0 || err == nil {
			t.Errorf("%s.MarshalText: got %q, %v, want an error", name, text, err)
		}
		for _, printed := range []string{secret.String(), secret.GoString(), secret.LogValue().String()} {
			if printed != redacted {
				t.Errorf("%s prints %q, want %q", name, printed, redacted)
			}
		}
	}
}
