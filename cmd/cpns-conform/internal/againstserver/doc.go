// Package againstserver is the part of the conformance kit that plays a gateway against a
// CPNS Server: interface CPNS-2 and step 0 by TLS (docs/protocol.md, sections 2, 3 and 8).
//
// [Suite] has the cases. They speak through a [Server], which knows what the kit was
// given: an address, the PSK1 of a gateway or an enrolment code, a user who owns a PNE.
// Every request is made, and every answer opened, by package wire: nothing of package
// cpns vouches here for what our own server says.
//
// connection.go is HTTP byte for byte, request.go a request and what comes back, and
// enrol.go a gateway's key pair; the cases_*.go have the cases, in the order in which
// they run. What they cost the server is little: two failed passwords, a set of keys for
// each case that needs one, and an enrolment that waits for a person. The cases that lock
// the user and flood the server run only where they are asked for.
package againstserver
