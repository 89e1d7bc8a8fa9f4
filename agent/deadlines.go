package agent

import (
	"container/heap"
	"time"
)

// deadlines orders the PNEs that wait for something by when they do.
type deadlines struct{ queue queue }

type waiting struct {
	at time.Time
	e  *entry
}

// set moves a PNE to a deadline, the zero time for none.
func (d *deadlines) set(e *entry, at time.Time) {
	switch {
	case at.IsZero() && e.place >= 0:
		heap.Remove(&d.queue, e.place)
	case at.IsZero():
	case e.place >= 0:
		d.queue[e.place].at = at
		heap.Fix(&d.queue, e.place)
	default:
		heap.Push(&d.queue, waiting{at, e})
	}
}

// none takes a PNE out.
func (d *deadlines) none(e *entry) { d.set(e, time.Time{}) }

// pop takes out a PNE whose deadline has passed, nil where there is none.
func (d *deadlines) pop(now time.Time) *entry {
	if len(d.queue) == 0 || now.Before(d.queue[0].at) {
		return nil
	}
	return heap.Pop(&d.queue).(waiting).e
}

// wait is how long until the first deadline, an hour where there is none.
func (d *deadlines) wait(now time.Time) time.Duration {
	if len(d.queue) == 0 {
		return time.Hour
	}
	return max(0, d.queue[0].at.Sub(now))
}

// queue is the heap's view; each entry knows its place.
type queue []waiting

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].e.place, q[j].e.place = i, j
}

func (q *queue) Push(x any) {
	w := x.(waiting)
	w.e.place = len(*q)
	*q = append(*q, w)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = waiting{}
	*q = (*q)[:last]
	w.e.place = -1
	return w
}
