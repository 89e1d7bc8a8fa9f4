package device

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// plugged is a link that goes with the device's power, as a USB device's does.
type plugged struct {
	Carrier
	out     atomic.Bool
	refused atomic.Int64 // messages that came meanwhile
}

func (p *plugged) Send(ctx context.Context, everybody bool, msg []byte) error {
	if p.out.Load() {
		p.refused.Add(1)
		return errors.New("link is down")
	}
	return p.Carrier.Send(ctx, everybody, msg)
}

func (p *plugged) Up() (bool, string) {
	if p.out.Load() {
		return false, "no USB device"
	}
	return p.Carrier.Up()
}

// A case that speaks while the power is away is about what the device holds afterwards, not
// about the link.
func TestLinkGoesWithThePower(t *testing.T) {
	var link *plugged
	r := tryOver(t, &sloppy{}, func(c Carrier) (Carrier, func(on bool)) {
		link = &plugged{Carrier: c}
		return link, func(on bool) { link.out.Store(!on) }
	}, "--only", "power-*")
	if r.Failed+r.Undecided != 0 || r.Passed < 8 {
		t.Errorf("%d passed; failed %q, undecided %q", r.Passed, r.names("fail"), r.names("undecided"))
	}
	if link.refused.Load() == 0 {
		t.Error("nothing was said while the link was down")
	}
}
