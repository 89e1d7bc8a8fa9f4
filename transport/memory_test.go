package transport_test

import (
	"testing"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/linktest"
)

func TestMemory(t *testing.T) {
	linktest.Run(t, func(t *testing.T) linktest.Rig {
		gw, pne := transport.NewPair("gateway", "pne")
		return linktest.Rig{Gateway: gw, PNE: pne, Entity: "pne-0001", Cut: gw.Cut, Restore: pne.Restore}
	})
}
