package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"cpns.example.net/pngw/cpns"
)

// pskFile gives PSK1 from a file: step 0 done at the factory, or by whoever
// carried the file over. It is read each time that it is needed, so that a
// file that is replaced counts from the next request on, and so that PSK1 does
// not stay in memory between requests.
type pskFile struct {
	path     string
	identity cpns.PSKIdentity
}

// maxPSKFile is 64 bytes in hex, and room for a line end.
const maxPSKFile = 2*64 + 2

// PSK1 reads the file: PSK1 in hex on one line, for the owner's eyes and at
// most its group's.
func (f *pskFile) PSK1(context.Context) (cpns.PSKIdentity, cpns.PSK1, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", nil, err
	}
	if info.Mode()&0o027 != 0 {
		return "", nil, fmt.Errorf("%s has mode %04o: others may read it or its group may change it; chmod 600 it, and think about whether it is still a secret", f.path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxPSKFile+1))
	defer clear(text)
	if err != nil {
		return "", nil, err
	}
	if len(text) > maxPSKFile {
		return "", nil, fmt.Errorf("%s: longer than a PSK1 in hex", f.path)
	}
	digits := bytes.TrimRight(text, "\r\n")
	key := make([]byte, hex.DecodedLen(len(digits)))
	defer clear(key)
	if _, err := hex.Decode(key, digits); err != nil {
		// Which character it was would tell a part of the secret.
		return "", nil, fmt.Errorf("%s: not hex digits on one line", f.path)
	}
	psk, err := cpns.ParsePSK1(key)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return f.identity, psk, nil
}

// howToGetPSK1 is advice for a gateway that has none yet.
func howToGetPSK1(id cpns.GatewayID, path string) string {
	return fmt.Sprintf("on the CPNS Server: cpns-server gateway add --data DIR %s --psk-out FILE; bring FILE here as %s, mode 0600", id, path)
}

// explainPSK1 adds that advice to an error of the file's absence.
func explainPSK1(err error, id cpns.GatewayID, path string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; %s", err, howToGetPSK1(id, path))
	}
	return err
}
