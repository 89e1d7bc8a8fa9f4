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
//   - machine.go: the state of one PNE, and the pure function that moves it
//   - hello.go, notify.go, authenticate.go: steps 7 and 8 and what follows,
//     a procedure each
//   - agent.go: the one goroutine that owns every PNE's state
//   - port.go: a link's way into that goroutine and out of it
//   - record.go: what of a state lies in the store
//
// # The state of one PNE
//
// As [PNE].State shows it, forward only:
//
//	            request sent         set sealed            valid acknowledgement
//	(unknown) ──────────────▶ requested ──────▶ assigned ──────────────▶ delivered ◀─┐
//	                              ▲                │ ▲                       │  │    │ each proof
//	                              │                │ └── a set of a newer ◀──┤  └────┘ of a later key
//	                              │                │     epoch is sealed     │
//	                              │                │                         ▼ last key proved
//	                              └────────────────┴─────────────────── used_up
//
// alarm lies over delivered and used_up: a PNE that proved a key older than one
// that it had proved before has been rolled back or cloned, and gets no key
// until a person says so.
//
// # Every state by every event
//
// A cell says what is sent, and behind > the state after it; delivered > delivered
// is with a later key. A - sends nothing and stays. TestTable holds it.
//
//	                                 requested   assigned                  delivered                 used_up         alarm
//	hello, holds nothing             -           notification              notification              -               -
//	hello, older epoch               -           notification              notification              -               -
//	hello, this epoch                -           auth-challenge            auth-challenge            auth-challenge  -
//	hello, newer epoch               -           -                         -                         -               -
//	acknowledgement of the next key  -           > delivered               > delivered               -               -
//	response, the key proved last    -           -                         eukey-update              eukey-update    -
//	response, a later key            -           eukey-update > delivered  eukey-update > delivered  -               -
//	response, an older key           -           -                         > alarm                   > alarm         -
//	authenticate                     -           -                         auth-challenge            auth-challenge  -
//	timeout                          -           -                         -                         -               -
//	set of a newer epoch             > assigned  -                         > assigned                > assigned      -
//	set of a newer epoch, reassign   > assigned  -                         > assigned                > assigned      > assigned
//	readmit                                                                                                          identify > delivered
//
// A timeout repeats what waits for an answer, five times. A response that a hello
// led to brings an eukey-update at most once a day. A key that proves the last of
// a set leads to used_up where delivered stands.
package agent
