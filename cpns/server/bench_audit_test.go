package server_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// BenchmarkSealing measures what chaining the audit log takes from assignments: 64
// clients at one server on SQLite and at three on PostgreSQL. In turns, half a second
// each, nothing is sealed, and all servers seal again and again what has come, that of the
// half second before too: a hundred times as often as they do, and twice as much. It reports
// the median rate of both, and the one divided by the other.
//
//	go test -run '^$' -bench Sealing -benchtime 10000x ./cpns/server
func BenchmarkSealing(b *testing.B) {
	for _, store := range []struct {
		name    string
		servers int
		open    func(b *testing.B) func() server.Store
	}{{"SQLite", 1, onSQLite}, {"PostgreSQL", 3, onPostgres}} {
		b.Run(store.name, func(b *testing.B) {
			var rates [2][]float64 // without, and with
			benchAssignments(b, store.open(b), store.servers, 64, func(servers []*server.Server, requests *atomic.Int64) func() {
				done, stop := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(done)
					for turn := 0; ; turn++ {
						const length = 500 * time.Millisecond
						begin, before := time.Now(), requests.Load()
						for time.Since(begin) < length {
							select {
							case <-stop:
								return
							case <-time.After(length / 10):
							}
							for _, s := range servers {
								if turn%2 == 1 {
									if err := s.Seal(b.Context()); err != nil && b.Context().Err() == nil {
										b.Error(err)
									}
								}
							}
						}
						if n := requests.Load() - before; before > 0 && n > 0 {
							rates[turn%2] = append(rates[turn%2], float64(n)/time.Since(begin).Seconds())
						}
					}
				}()
				return func() { close(stop); <-done }
			})
			if len(rates[0]) == 0 || len(rates[1]) == 0 {
				return // the first rounds are too short
			}
			slices.Sort(rates[0])
			slices.Sort(rates[1])
			without, with := rates[0][len(rates[0])/2], rates[1][len(rates[1])/2]
			b.ReportMetric(without, "unsealed/s")
			b.ReportMetric(with, "sealed/s")
			b.ReportMetric(with/without, "of-unsealed")
		})
	}
}

// BenchmarkVerifyAudit measures verifying a log of 50,000 events on SQLite, beside reading
// them alone.
func BenchmarkVerifyAudit(b *testing.B) {
	const events = 50_000
	r := newRig(b)
	for range events / 500 {
		must(b, r.store.Update(b.Context(), func(tx server.Tx) error {
			for range 500 {
				if err := tx.AddEvent(server.Event{Time: r.clock.Now(), Kind: server.EventAssigned, User: "alice", Entity: "urn:dev:meter-000001", Gateway: "gw-1", Epoch: 7, Source: "192.0.2.1"}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	begin := time.Now()
	must(b, r.server.Seal(b.Context()))
	sealing := time.Since(begin)
	begin = time.Now()
	read := 0
	must(b, r.op.Audit(b.Context(), time.Time{}, func(server.Event) error { read++; return nil }))
	reading := time.Since(begin)
	b.ResetTimer()
	for range b.N {
		found, err := r.op.VerifyAudit(b.Context(), server.Head{}, func(seq int64, what string) { b.Errorf("event %d: %s", seq, what) })
		if err != nil || int(found.Events) != read {
			b.Fatalf("%+v of %d, %v", found, read, err)
		}
	}
	b.StopTimer()
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/reading.Seconds(), "times-reading")
	b.ReportMetric(events/sealing.Seconds(), "sealed-events/s")
}
