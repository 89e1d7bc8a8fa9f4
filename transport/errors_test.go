package transport

import (
	"errors"
	"io/fs"
	"testing"
)

func TestErrorTexts(t *testing.T) {
	cause := fs.ErrPermission
	tests := []struct {
		err  error
		want string
	}{
		{&UnreachableError{Reason: "server does not answer", Advice: "wait"}, "server does not answer"},
		{&UnreachableError{Reason: "cannot read ca", Err: cause}, "cannot read ca: permission denied"},
		{&RefusedError{Status: 401}, "server answered HTTP 401"},
		{&RefusedError{Status: 429, Title: "Too Many Requests", Detail: "slow down"}, "server answered HTTP 429: Too Many Requests: slow down"},
		{&TooLongError{513}, "message of 513 bytes is longer than the 512 that a link carries"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if !errors.Is(&UnreachableError{Reason: "x", Err: cause}, cause) {
		t.Error("an UnreachableError hides its cause")
	}
}
