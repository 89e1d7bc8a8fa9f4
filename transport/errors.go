package transport

import (
	"fmt"
	"time"
)

// An UnreachableError says that the CPNS Server could not be asked, or gave no
// usable answer. Nothing is known about what it would have said; the same
// request may be made again.
type UnreachableError struct {
	Reason string // what failed, for people: "certificate of cpns.example.net has expired"
	Advice string // what to do about it; empty where there is nothing to advise
	Err    error  // the cause; may be nil
}

func (e *UnreachableError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// A RefusedError is an HTTP answer of the CPNS Server other than 200, with what
// its problem details (RFC 9457) say. The texts come from the server, or from a
// proxy before it: they are shown to people, never acted on.
type RefusedError struct {
	Status     int           // HTTP status code
	Title      string        // problem details' title; may be empty
	Detail     string        // problem details' detail; may be empty
	RetryAfter time.Duration // 0 where the answer names none
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("server answered HTTP %d", e.Status)
	if e.Title != "" {
		s += ": " + e.Title
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}
