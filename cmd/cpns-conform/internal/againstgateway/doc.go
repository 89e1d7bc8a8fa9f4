// Package againstgateway is the part of the conformance kit that plays the CPNS Server
// and the PNEs of somebody's gateway: both of its interfaces at once (docs/protocol.md,
// sections 3, 4 and 5).
//
// [Suite] has the cases. They speak through a [Bench]: its server, of which each device
// has a script of answers, good ones or not (server.go, set.go), its devices, each with a
// TK and an Entity ID that were never used before (device.go), and what asks the gateway
// to take one in, which is a command of the user's or the user (bench.go). The
// cases_*.go have the cases, in the order in which they run.
//
// Messages are made and read by package wire, and by nothing of package cpns.
package againstgateway
