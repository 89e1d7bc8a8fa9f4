// Package life is the life of one PNE at the gateway: what is known of it, and
// what each message, command and deadline makes of that (docs/protocol.md,
// section 4, "What a gateway does", and the waits of section 5).
//
// [Apply] is a pure function, (PNE, Event, World) to (PNE, effects): it has no
// goroutine, link, store, clock or randomness of its own. Package agent calls it
// from the one goroutine that owns all PNEs, through [Served], stores what it returns
// and does what it asks for.
//
//   - pne.go: what is known of a PNE, and Apply
//   - served.go: a step whose record is on its way to the store
//   - event.go: what can happen, and what Apply can ask for
//   - hello.go, notify.go, authenticate.go: steps 7 and 8 and what follows, a
//     procedure each
//   - record.go, wire.go: what of it lies in the store
//   - view.go: what people and scripts are shown
//
// # The state of one PNE
//
// As [View].State shows it, forward only:
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
// A hello is one whose tag verifies: another gets nothing, whatever the state. A
// timeout sends again what waits for an answer, until it has been sent five times;
// where a key waits for the PNE an identify follows at doubling intervals. An
// eukey-update carries the next key where a person or a command began the
// authentication, or the schedule is due; else none, and the PNE stays on its own.
// A readmitted PNE gets a notification where it says that it holds an index not
// above the last proved. A key that proves the last of a set leads to used_up
// where delivered stands.
package life
