// Package gba is the UE's side of 3GPP GBA_ME (TS 33.220): it authenticates a
// SIM to the operator's BSF and derives keys that a NAF can ask the BSF for. It
// knows nothing of what the keys are for.
//
//	kdf.go     Ks_NAF (TS 33.220 annex B)
//	ub.go      reference point Ub: GET, challenge, answer (TS 24.109, clause 5)
//	digest.go  HTTP Digest with AKAv1-MD5 (RFC 3310)
//	info.go    the BSF's answer: B-TID and lifetime
//	xml.go     the little XML that it is written in
//	card.go    what a SIM has to do, and how it says no
//	usim.go    the same in APDUs (TS 31.102)
//	modem.go   a SIM in a modem that takes AT commands (TS 27.007)
//	dialogue.go, channel.go    these commands: lines, and AT+CCHO, CGLA, CCHC or AT+CSIM
//	exec.go    a SIM that a program asks: QMI, MBIM, PC/SC
//
// Ks never leaves memory, and is overwritten by [Bootstrapped.Wipe].
package gba
