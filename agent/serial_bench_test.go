package agent

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/scripts/nullmodem"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/serial"
)

// BenchmarkSerial is the way of a key over a serial line of 115200 baud, from the
// device's hello to the acknowledgement in the store ("deliver"), and of a mutual
// authentication ("authenticate"):
//
//	wire-B     bytes on the line, both ways together
//	ms         time taken, the median: what else the machine does shows in the mean
//	x-limit    that over what the line needs for these bytes
//	put-ms     of that, one record in this disk's store: measured alone, in the same run
func BenchmarkSerial(b *testing.B) {
	b.Run("deliver", func(b *testing.B) {
		l := newSerialParty(b)
		var took []time.Duration
		var wire int64
		for b.Loop() {
			delivered := make(chan struct{}, 1)
			g := l.gateway(b, func(c *Config) {
				c.Observe = func(e Event) {
					if e.Kind == EventDelivered {
						delivered <- struct{}{}
					}
				}
			})
			if _, out := g.provision(goodPassword, 0, "urn:dev:mac:000000000001"); out[0].Result != ResultAssigned {
				b.Fatalf("%+v", out[0])
			}
			time.Sleep(300 * time.Millisecond) // what provision has sent on the line is through
			before := l.line.Carried()
			var begin time.Time
			stop := runDevice(b, &firstSend{Link: l.device, at: &begin}, pne.Config{Entity: "urn:dev:mac:000000000001", TK: l.tk})
			<-delivered
			took = append(took, time.Since(begin))
			wire += l.line.Carried() - before
			stop()
			g.stop()
		}
		reportLine(b, took, wire)
	})
	b.Run("authenticate", func(b *testing.B) {
		l := newSerialParty(b)
		g := l.gateway(b, func(*Config) {})
		runDevice(b, l.device, pne.Config{Entity: "urn:dev:mac:000000000001", TK: l.tk})
		if _, out := g.provision(goodPassword, 10*time.Second, "urn:dev:mac:000000000001"); out[0].Result != ResultDelivered {
			b.Fatalf("%+v", out[0])
		}
		var took []time.Duration
		before := l.line.Carried()
		for b.Loop() {
			begin := time.Now()
			if got := g.proof("urn:dev:mac:000000000001"); got[0].Result != ProofAuthenticated {
				b.Fatalf("%+v", got)
			}
			took = append(took, time.Since(begin))
		}
		reportLine(b, took, l.line.Carried()-before)
	})
}

func reportLine(b *testing.B, took []time.Duration, wire int64) {
	n := float64(b.N)
	slices.Sort(took)
	median := took[len(took)/2].Seconds()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(wire)/n, "wire-B")
	b.ReportMetric(median*1000, "ms")
	b.ReportMetric(median/(float64(wire)/n*10/serial.DefaultBaud), "x-limit")
	b.ReportMetric(putTime(b).Seconds()*1000, "put-ms")
}

// firstSend notes when a link is first given something to send.
type firstSend struct {
	transport.Link
	at   *time.Time
	once sync.Once
}

func (f *firstSend) Send(ctx context.Context, peer string, m []byte) error {
	f.once.Do(func() { *f.at = time.Now() })
	return f.Link.Send(ctx, peer, m)
}

// serialParty is a party with one device at the far end of a serial line.
type serialParty struct {
	*party
	line   *nullmodem.Cable
	device *serial.Link
	tk     cpns.TK
}

func newSerialParty(b *testing.B) *serialParty {
	b.Helper()
	line, err := nullmodem.NewAt(serial.DefaultBaud)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { line.Close() })
	device, err := serial.New(serial.Config{Name: "device", Device: line.B(), Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	p := newParty(b)
	return &serialParty{p, line, device, p.importPNE("urn:dev:mac:000000000001")}
}

func (l *serialParty) gateway(b *testing.B, change func(*Config)) *gateway {
	b.Helper()
	link, err := serial.New(serial.Config{Name: "rs232", Device: l.line.A(), Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	return l.party.gatewayWith(change, link)
}
