package agent

import (
	"sync"

	"cpns.example.net/pngw/agent/life"
)

// maxWriting is how many records may be being written while the agent still accepts
// messages from links; with that many, links have to wait. It bounds the memory that
// records take, and how many can share one sync. Commands are not held back: a person
// waits for the result of each anyway.
const maxWriting = 128

// maxWaits is how many messages of one PNE may wait until its record is written.
// Further ones are dropped, and the PNE repeats them.
const maxWaits = 4

// backlog is what waits for a PNE's record to be written: commands, which go first,
// and its messages in their order.
type backlog struct {
	commands []func()
	messages []inbound
}

// writers writes records to the store, each in a goroutine of its own, because calls
// that reach the store at the same time share one sync. Its fields and methods are for
// the agent's goroutine only.
type writers struct {
	running sync.WaitGroup
	count   int         // writes that have not finished
	done    chan func() // what is to be called, in the agent's goroutine, when one has
}

func (w *writers) full() bool { return w.count >= maxWriting }

// begin calls write in a goroutine of its own, and then end, with write's error, in
// the agent's goroutine.
func (w *writers) begin(write func() error, end func(error)) {
	w.count++
	w.running.Go(func() {
		err := write()
		w.done <- func() { w.count--; end(err) }
	})
}

// wait returns when all writes have finished.
func (w *writers) wait() {
	for w.count > 0 {
		(<-w.done)()
	}
	w.running.Wait()
}

// keep makes a record durable. A record with nothing in it is removed.
func (a *Agent) keep(p *life.PNE) error {
	name := string(p.Entity())
	if p.Empty() {
		return a.cfg.Store.Delete(name)
	}
	value, err := p.Marshal()
	if err != nil {
		return err
	}
	defer clear(value)
	return a.cfg.Store.Put(name, value)
}

// step lets one event happen to a PNE that is not held. Where its record stays as it
// is, end is called at once with what is to be sent. Otherwise the PNE is held until
// the record is written: then what has come of the event is told, and end called; with
// the error where it could not be, and then the PNE is as it was, and no more is told
// than that. Nothing leaves this function before its record is durable.
func (a *Agent) step(e *entry, ev life.Event, link string, end func([]life.Outgoing, error)) {
	usedUp := e.UsedUp()
	effects, record := e.Step(ev, a.world(e.Entity(), link))
	if record == nil {
		a.due.set(e, e.Due())
		a.count(e)
		end(a.have(e, effects, link, usedUp), nil)
		return
	}
	a.hold(e)
	a.writers.begin(func() error { return a.keep(record) }, func(err error) {
		effects := e.Written(err)
		a.count(e)
		a.written(e.Entity(), err)
		if err != nil {
			e.tell(news{entity: e.Entity(), unstored: err})
		}
		end(a.have(e, effects, link, usedUp), err)
		a.release(e)
	})
}

// hold has what concerns a PNE wait until release.
func (a *Agent) hold(e *entry) {
	e.backlog = &backlog{}
	a.due.none(e)
}

func (a *Agent) release(e *entry) {
	b := e.backlog
	e.backlog = nil
	if a.pnes[e.Entity()] == e {
		a.due.set(e, e.Due())
	}
	for _, call := range b.commands {
		call()
	}
	for _, m := range b.messages { // which wait again where one of them is another step
		a.receive(m)
	}
}

func (e *entry) held() bool { return e.backlog != nil }
