package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"cpns.example.net/pngw/cpns"
)

// maxKeyFile bounds what is read of a TK or state file, in bytes.
const maxKeyFile = 4096

// readTK reads a TK in hex, spaces and line ends around it ignored. No error
// tells what the file holds.
func readTK(path string, log *slog.Logger) (cpns.TK, error) {
	text, err := readSmall(path, log)
	if err != nil {
		return nil, fmt.Errorf("reading the TK: %w", err)
	}
	defer clear(text)
	text = bytes.TrimSpace(text)
	raw := make([]byte, hex.DecodedLen(len(text)))
	defer clear(raw)
	if _, err := hex.Decode(raw, text); err != nil {
		return nil, fmt.Errorf("%s is not one TK in hex", path)
	}
	tk, err := cpns.ParseTK(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tk, nil
}

// readSmall reads a file that holds a secret, and warns where others can too.
func readSmall(path string, log *slog.Logger) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		log.Warn("others can read this file, which holds a secret: chmod 600", "file", path, "mode", info.Mode().String())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = errors.New(path + ": too long")
	}
	return b, err
}
