package life

import (
	"bytes"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// FuzzParse reads anything as a record. Nothing may panic, in reading it or in what
// is made of it then, and what is taken is written as it is read.
func FuzzParse(f *testing.F) {
	cur, next := provedSet(3, 64, 7), newSet(4, 1024)
	cur.Gateway, next.Gateway = testGateway, testGateway
	for _, r := range []*record{
		{entity: testEntity, user: "bob", current: cur, next: next, highest: 9, readmitted: true},
		{entity: testEntity, user: "bob", current: cur, alarm: &alarm{3, 7, 2}, remember: &cpns.PasswordHash{1}},
		{entity: testEntity, user: "bob", request: &Request{User: "bob", Body: []byte{4}}},
	} {
		value, err := begin(r).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		p, err := Parse(string(testEntity), value)
		if err != nil {
			return
		}
		first, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(string(testEntity), first)
		if err != nil {
			t.Fatalf("what was read is not taken again: %v\n%s", err, first)
		}
		if second, err := again.Marshal(); err != nil || !bytes.Equal(first, second) {
			t.Errorf("read back as\n%s\nwant\n%s (%v)", second, first, err)
		}
		w := World{Now: time.Unix(1763800000, 0), ClockSet: true, Gateway: testGateway, Reauth: time.Hour, Wait: func(string) time.Duration { return time.Second }}
		for _, ev := range []Event{Started{}, Authenticate{}, AskForHello{}, Readmit{}, ForgetPassword{}, Timeout{}} {
			p, _ = Apply(p, ev, w)
			p.View()
			w.Now = w.Now.Add(time.Hour)
		}
	})
}
