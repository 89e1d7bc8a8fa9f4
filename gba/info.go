package gba

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxInfo is the largest answer of a BSF that is read, in bytes.
const maxInfo = 16 << 10

// info is the BSF's answer (TS 24.109 annex C): BootstrappingInfo with btid and
// lifetime.
type info struct {
	btid     string
	lifetime time.Time
}

func parseInfo(body []byte) (*info, error) {
	if len(body) > maxInfo {
		return nil, fmt.Errorf("%d bytes, at most %d", len(body), maxInfo)
	}
	texts, err := leaves(body, "BootstrappingInfo", "btid", "lifetime")
	if err != nil {
		return nil, err
	}
	btid, named := texts["btid"]
	lifetime, ends := texts["lifetime"]
	if !named || !ends {
		return nil, errors.New("btid or lifetime is missing")
	}
	return newInfo(btid, lifetime)
}

func newInfo(btid, lifetime string) (*info, error) {
	i := &info{btid: strings.TrimSpace(btid)}
	if len(i.btid) == 0 || len(i.btid) > 128 {
		return nil, fmt.Errorf("a B-TID of %d bytes, must be 1 to 128", len(i.btid))
	}
	for _, b := range []byte(i.btid) {
		if b < 0x21 || b > 0x7e {
			return nil, fmt.Errorf("a B-TID with a byte 0x%02x", b)
		}
	}
	var err error
	if i.lifetime, err = time.Parse(time.RFC3339, strings.TrimSpace(lifetime)); err != nil {
		return nil, fmt.Errorf("a lifetime of %q, must be like 2026-12-31T23:59:59Z", clip(lifetime))
	}
	return i, nil
}
