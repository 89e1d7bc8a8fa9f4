package life

// Served is a PNE as the agent serves it: what counts of it, and the step whose
// record is on its way to the store.
//
// There is one such step at most. What comes meanwhile waits for its end, outside:
// it is not stepped on a state that may yet turn out never to have been. So a record
// that cannot be written takes nothing with it but its own step, and an effect leaves
// in the order of the steps, once its record is durable.
type Served struct {
	PNE     // counts: its record is in the store, or never had to be
	writing *step
}

type step struct {
	next    PNE
	effects []Effect
}

// Serve begins to serve a PNE whose record is in the store, or has nothing in it.
func Serve(p PNE) Served { return Served{PNE: p} }

// Writing says that a step's record is on its way to the store.
func (s *Served) Writing() bool { return s.writing != nil }

// Step lets ev happen, unless a record is on its way. The effects can be had at once
// where the record stays as it is. Otherwise there are none yet: the PNE that Step
// returns is to be stored, its record removed where it is Empty, and Written ends the
// step.
func (s *Served) Step(ev Event, w World) (effects []Effect, store *PNE) {
	if s.Writing() {
		panic("life: a step on a record that is not stored yet")
	}
	next, effects := Apply(s.PNE, ev, w)
	if next.SameRecord(s.PNE) {
		s.PNE = next
		return effects, nil
	}
	s.writing = &step{next, effects}
	return nil, &s.writing.next
}

// Written ends the step whose record was on its way. It counts, and has its effects,
// where err is nil; otherwise all is as if its event had never come.
func (s *Served) Written(err error) []Effect {
	done := s.writing
	s.writing = nil
	if err != nil {
		for _, ef := range done.effects {
			if n, ok := ef.(News); ok && n.Key != nil {
				clear(n.Key[:])
			}
		}
		return nil
	}
	s.PNE = done.next
	return done.effects
}
