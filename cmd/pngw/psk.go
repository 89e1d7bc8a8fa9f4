package main

import (
	"context"
	"fmt"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/secretfile"
)

// pskFile is PSK1 in a file: step 0 was done at the factory, or by the person who
// brought the file. It is read each time that PSK1 is needed, so that a
// file that was replaced is used from the next request on, and PSK1 does
// not stay in memory between requests.
type pskFile struct {
	path     string
	identity cpns.PSKIdentity
}

// PSK1 reads the file: PSK1 in hex on one line, for the owner's eyes and at
// most its group's.
func (f *pskFile) PSK1(context.Context) (cpns.PSKIdentity, cpns.PSK1, error) {
	key, err := secretfile.Key(f.path, cpns.MaxPSK1Size)
	if err != nil {
		return "", nil, err
	}
	defer clear(key)
	psk, err := cpns.ParsePSK1(key)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return f.identity, psk, nil
}

// howToGetPSK1 is advice for a gateway that has none yet.
func howToGetPSK1(id cpns.GatewayID, path string) string {
	if id == "" {
		id = "ID"
	}
	return fmt.Sprintf("by a file: on the CPNS Server: cpns-server gateway add --data DIR %s --psk-out FILE; bring FILE here as %s, mode 0600", id, path)
}
