package main

import (
	"encoding/json"
	"io"

	"cpns.example.net/pngw/cpns"
)

// event is one line on standard output. It holds no key.
type event struct {
	Event   string         `json:"event"` // hello, stored, authenticated, stayed, refused
	Entity  cpns.EntityID  `json:"entity_id"`
	Gateway cpns.GatewayID `json:"gateway_id,omitempty"` // not in hello and refused

	// What is held; in refused what was offered, 0 where that cannot be told.
	Epoch cpns.Epoch `json:"epoch"`
	Index cpns.Index `json:"index"`

	Reason string `json:"reason,omitempty"` // why refused
}

// eventWriter writes events of one device.
type eventWriter struct {
	w      io.Writer
	entity cpns.EntityID
}

func (w *eventWriter) write(e event) error {
	e.Entity = w.entity
	encoder := json.NewEncoder(w.w)
	encoder.SetEscapeHTML(false) // an Entity ID may hold < and &
	return encoder.Encode(e)
}
