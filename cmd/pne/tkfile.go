package main

import (
	"fmt"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/secretfile"
)

// readTK reads a TK in hex. No error tells what the file holds.
func readTK(path string) (cpns.TK, error) {
	raw, err := secretfile.Key(path, cpns.MaxTKSize)
	if err != nil {
		return nil, fmt.Errorf("reading the TK: %w", err)
	}
	defer clear(raw)
	tk, err := cpns.ParseTK(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tk, nil
}
