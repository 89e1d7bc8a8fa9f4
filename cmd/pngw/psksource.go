package main

import (
	"context"
	"errors"
	"io/fs"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/step0"
)

// fileSource is PSK1 from a file as the agent asks for it.
type fileSource struct{ file *pskFile }

// Name is part of agent.PSKSource.
func (fileSource) Name() string { return "file" }

// PSK1 is part of agent.PSKSource. The key is read anew each time, and never over.
func (s fileSource) PSK1(ctx context.Context) (*agent.PSK, error) {
	identity, key, err := s.file.PSK1(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &agent.PSKWaitError{Reason: step0.NotEnrolled, Err: err}
	}
	if err != nil {
		return nil, err
	}
	return &agent.PSK{Identity: identity, Key: key}, nil
}

// simSource is PSK1 from a SIM: it looks at the SIM for as long as it runs.
type simSource interface {
	agent.PSKSource
	Run(ctx context.Context)
}
