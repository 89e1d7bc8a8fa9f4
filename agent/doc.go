// Package agent is the PN GW's side of key assignment. On a CPNS User's request it
// gets a set of EUKeys from the CPNS Server, delivers one to a headless PNE, and
// reports success when the PNE has proved that it holds it.
//
// cmd/pngw gives it a store, a client of the CPNS Server and links; the local API
// (package agent/api) calls it. The package follows clause 7.4.2.2.1 of the
// change request "EUKey Assignment" (request, response, notification) and the
// mutual authentication that the clause mentions and docs/protocol.md defines.
// The encoding of messages is left to package cpns, the media to package transport,
// and durability to the implementation of Store.
//
// # Where to read on
//
//   - provision.go: steps 1 to 6, from the user's request to the sealed set
//   - package life: steps 7 and 8 and what follows, as a pure function of the state
//     of one PNE and an event
//   - agent.go: the one goroutine that owns every PNE's state
//   - write.go: how that goroutine has records stored by others without waiting
//   - port.go: how messages get from a link to that goroutine, and back
package agent
