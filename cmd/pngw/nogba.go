//go:build nogba

package main

import (
	"errors"
	"log/slog"

	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/board"
)

const hasGBA = false

func newSIM(*config.GBA, string, *board.Clock, *slog.Logger) (_ simSource, option string, err error) {
	return nil, "psk_source", errors.New("this pngw is built without gba (tag nogba): pngw version")
}
