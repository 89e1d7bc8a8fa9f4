package keystore

import (
	"fmt"
	"runtime"
	"testing"
)

// fill10k makes a store with the records of ten thousand devices, as long as they are.
func fill10k(b *testing.B, steps int) string {
	s := newStore(b)
	for range steps {
		for from := 0; from < 10_000; from += 100 {
			var changes []*change
			for i := from; i < from+100; i++ {
				changes = append(changes, &change{name: fmt.Sprintf("meter-%06d", i), value: make([]byte, 93)})
			}
			s.writing.take()
			s.write(changes)
			s.writing.give()
			if changes[0].err != nil {
				b.Fatal(changes[0].err)
			}
		}
	}
	s.Close()
	return s.folder.path
}

// BenchmarkOpen opens a store with ten thousand records, and reads all of them, as the
// agent does at its start: from a log that was just compacted, and from one of twice as
// many entries, which is about as long as one gets. B/record is what of the heap the
// store has then.
func BenchmarkOpen(b *testing.B) {
	for steps := 1; steps <= 2; steps++ {
		b.Run(fmt.Sprintf("%d0000 entries", steps), func(b *testing.B) {
			dir := fill10k(b, steps)
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				s, err := Open(dir, &testSecret)
				if err != nil {
					b.Fatal(err)
				}
				names, err := s.List()
				if err != nil || len(names) != 10_000 {
					b.Fatalf("%d records, %v", len(names), err)
				}
				for _, name := range names {
					if _, err := s.Get(name); err != nil {
						b.Fatal(err)
					}
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				s.Close()
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10_000, "B/record")
		})
	}
}
