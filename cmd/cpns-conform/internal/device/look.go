package device

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

// lookLimit is how long the first look waits for a hello.
const lookLimit = 6 * time.Second

// Look asks the device for a hello before the first case: a mistake in what the kit was
// given, or a device that is off, would make every case fail. It refuses only what no
// case could be tried on. A device whose hello is wrong is for the cases, and so is one
// that says no hello but something else.
//
// warning is for the user, "" for none: the tag is not one under TK. That is a fault of
// the device's, or the TK of another.
func (b *Bench) Look(ctx context.Context) (warning string, err error) {
	var t conform.T // nobody reads it
	var (
		other       string // whose hello was heard
		echo, words bool   // what was sent came back; something else that is no hello came
		stray       int
	)
	// Whoever has another name than the kit thinks answers only what is for everybody.
	for _, e := range []string{b.Entity, b.Entity, ""} {
		identify := wire.Identify(e)
		if err := b.Carrier.Send(ctx, e == "", identify); err != nil {
			return "", fmt.Errorf("asking the device for a hello: %w", err)
		}
		for over := time.Now().Add(lookLimit / 3); time.Now().Before(over); { // also in a flood
			h := b.hear(ctx, &t, time.Until(over))
			if h == nil {
				break
			}
			switch {
			case isHello(h) && h.E == b.Entity:
				return b.doubt(h), nil
			case isHello(h) && isEntity(h.E):
				other = h.E
			case bytes.Equal(h.raw, identify):
				echo = true
			default:
				words = true
			}
		}
		if b.stream != nil {
			stray = max(stray, b.stream.Stray())
		}
	}
	if l, ok := b.Carrier.(*link); ok && other == "" && isEntity(l.heardOther()) {
		other = l.heardOther()
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case words:
		return "", nil
	case other != "":
		return "", fmt.Errorf("heard a hello of %s, not of %s: which of them is it, and is it on?", other, b.Entity)
	case echo:
		return "", fmt.Errorf("no hello from %s within %.0f s, only what was sent to it: is the adapter's echo off, and is the device on?", b.Entity, lookLimit.Seconds())
	case stray > 0:
		return "", fmt.Errorf("no hello from %s within %.0f s, but %d bytes that are no frame: is --baud right?", b.Entity, lookLimit.Seconds(), stray)
	}
	return "", fmt.Errorf("no hello from %s within %.0f s: %s", b.Entity, lookLimit.Seconds(), b.Ask)
}

// doubt says what is wrong with a hello's tag, "" for nothing.
func (b *Bench) doubt(h *heard) string {
	said := b.understood(h)
	if bytes.Equal(h.Tag, said.TagUnder(b.TK)) {
		return ""
	}
	return "its hello is not under the key of --tk-file: is that its TK?"
}

// isEntity reports whether e may be an Entity ID, 1 to 64 bytes of printable ASCII: what is not,
// is said by a device that has its own wrong.
func isEntity(e string) bool {
	return len(e) >= 1 && len(e) <= 64 && !strings.ContainsFunc(e, func(r rune) bool { return r <= ' ' || r > '~' })
}
