// Package agent is the PN GW's side of key assignment: it takes a CPNS User's
// request to an EUKey that a headless PNE holds and has proved that it holds.
//
// cmd/pngw puts it together with a store, a way to the CPNS Server and links,
// and calls it from the local API. The package follows clause 7.4.2.2.1 of the
// change request "EUKey Assignment" (request, response, notification) and the
// mutual authentication that the clause mentions and docs/protocol.md defines.
// It leaves the encodings to cpns, the media to transport, and durability to
// whatever satisfies Store.
//
// # Where to read on
//
//   - provision.go: steps 1 to 6, from the user's request to the sealed set
//   - package life: steps 7 and 8 and what follows, as a pure function of what
//     is known of one PNE and what happens to it
//   - agent.go: the one goroutine that owns every PNE's state
//   - write.go: a record's way into the store beside it, and what waits for that
//   - port.go: a link's way into that goroutine and out of it
package agent
