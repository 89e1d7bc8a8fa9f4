package agent

import (
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/scripts/nullmodem"
	"cpns.example.net/pngw/transport/serial"
)

// BenchmarkSerial is the way of a key over a serial line of 115200 baud, from the
// device's hello to the acknowledgement in the store ("deliver"), and of a mutual
// authentication ("authenticate"):
//
//	wire-B     bytes on the line, both ways together
//	ms         time taken
//	x-limit    time taken over what the line needs for these bytes
func BenchmarkSerial(b *testing.B) {
	b.Run("deliver", func(b *testing.B) {
		l := newSerialParty(b)
		var took time.Duration
		var wire int64
		for b.Loop() {
			g := l.gateway(b)
			if _, out := g.provision(goodPassword, 0, "urn:dev:mac:000000000001"); out[0].Result != ResultAssigned {
				b.Fatalf("%+v", out[0])
			}
			time.Sleep(300 * time.Millisecond) // what provision has sent on the line is through
			before := l.line.Carried()
			begin := time.Now()
			stop := runDevice(b, l.device, pne.Config{Entity: "urn:dev:mac:000000000001", TK: l.tk})
			eventually(b, "delivered", func() bool { return len(g.kinds()) == 2 })
			took += time.Since(begin)
			wire += l.line.Carried() - before
			stop()
			g.stop()
		}
		reportLine(b, took, wire)
	})
	b.Run("authenticate", func(b *testing.B) {
		l := newSerialParty(b)
		g := l.gateway(b)
		runDevice(b, l.device, pne.Config{Entity: "urn:dev:mac:000000000001", TK: l.tk})
		if _, out := g.provision(goodPassword, 10*time.Second, "urn:dev:mac:000000000001"); out[0].Result != ResultDelivered {
			b.Fatalf("%+v", out[0])
		}
		var took time.Duration
		before := l.line.Carried()
		for b.Loop() {
			begin := time.Now()
			if got := g.proof("urn:dev:mac:000000000001"); got[0].Result != ProofAuthenticated {
				b.Fatalf("%+v", got)
			}
			took += time.Since(begin)
		}
		reportLine(b, took, l.line.Carried()-before)
	})
}

func reportLine(b *testing.B, took time.Duration, wire int64) {
	n := float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(wire)/n, "wire-B")
	b.ReportMetric(took.Seconds()*1000/n, "ms")
	b.ReportMetric(took.Seconds()/(float64(wire)*10/serial.DefaultBaud), "x-limit")
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

func (l *serialParty) gateway(b *testing.B) *gateway {
	b.Helper()
	link, err := serial.New(serial.Config{Name: "rs232", Device: l.line.A(), Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	return l.party.gateway(link)
}
