// Package cpns is the key assignment protocol for a PNE without UI
// capabilities (CPNS change requests "EUKey Assignment" 6.3.2.2, 7.4.2.2 and
// 2011-0010R01 7.4.2.5): its messages, its formulas, and the COSE objects that
// protect them. All three parties use it: the gateway's agent, the CPNS Server
// and the PNE.
//
// The package is pure. It does no I/O, reads no clock, draws no random number
// and logs nothing: initialisation vectors, nonces and times are arguments, and
// what to do with a message, when, and how often, is decided by its callers.
//
// Read it in the order of the procedure:
//
//	formulas.go         Hash(Password), AuthData, SeedPNE, the chain of EUKeys
//	request.go          EUKey Assignment Request        PN GW -> CPNS Server
//	response.go         EUKey Assignment Response       CPNS Server -> PN GW
//	identify.go         who is there?                   PN GW -> PNE
//	hello.go            I am, with a fresh nonce        PNE -> PN GW
//	notification.go     EUKey Assignment Notification   PN GW -> PNE
//	acknowledgement.go  I hold it                       PNE -> PN GW
//	authchallenge.go    mutual authentication           PN GW -> PNE
//	authresponse.go     I hold EUKey_index              PNE -> PN GW
//	eukeyupdate.go      the next EUKey                  PN GW -> PNE
//	sessionkey.go       what both hold afterwards
//	application.go      what an application gets of it
//	x25519.go           what keeps a notification from who learns TK later
//	pnerandom.go        random numbers of a PNE that has a counter instead
//
// Beneath them lie ids.go and keys.go (the terms), spec.go (the protocol's
// constants) and limits.go (ours), message.go and sealedbody.go (what the messages
// of CPNS-1, and of CPNS-2, share), cose.go (COSE_Encrypt0 and COSE_Mac0, RFC 9052) and codec.go (CBOR, RFC 8949).
//
// A decoder looks at the size first, then accepts exactly one encoding of a
// message: what it accepts re-encodes to the same bytes. It refuses with
// [ErrMalformed] what is not a message at all, and opening or verifying refuses
// with [ErrNotAuthentic] what is one, but not made by who holds the key. Neither
// ever panics on what came over a wire.
package cpns
