// Package step0 is the gateway's half of enrolment and of PSK1 by mutual TLS
// (docs/protocol.md, section 8): a key pair of the gateway's own, an
// enrolment code that makes it known to a CPNS Server, and after that a PSK1 from
// each connection that it asks for one.
//
// Command pngw makes an Enroller, which owns the one record that all of this is kept
// in, runs it, and hands it to the agent as where PSK1 comes from. How a request
// travels, and where records lie, is behind Exchange and Store.
//
// What is kept, sealed in the key store and nowhere else: the key pair, the code while
// it is not decided upon, and of the enrolment what the gateway is called, the server,
// and its pins. No PSK1 is kept.
//
//	        Begin                   200
//	(none) ------> pending -------------------> enrolled
//	                | ^ '- 202, 429, no answer: asks again later, also after a restart
//	            403 v | Begin
//	               refused
//
// An enrolled gateway that moves to another server is both, enrolled here and pending
// there, until that one takes it in.
package step0
