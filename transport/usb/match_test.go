package usb

import (
	"errors"
	"testing"
)

// Endpoints of the descriptions below.
var (
	bulkIn      = endpoint{0x81, true, 64}
	bulkOut     = endpoint{0x02, true, 64}
	interruptIn = endpoint{0x83, false, 8}
	secondIn    = endpoint{0x84, true, 512}
)

var modemClass = [3]uint8{0x02, 0x02, 0x01}

func TestCandidates(t *testing.T) {
	pne := func(port string) description {
		return description{port: port, vendor: 0x1209, product: 1, settings: []setting{{config: 1, class: pneClass}}}
	}
	modem := description{port: "1-3", vendor: 0x12d1, product: 0x1506, settings: []setting{{config: 1, class: modemClass}}}
	hub := description{port: "usb1", vendor: 0x1d6b, product: 2}
	all := []description{pne("1-2"), hub, modem, pne("1-1")}
	tests := []struct {
		id, port string
		want     []string // ports
	}{
		{"", "", []string{"1-1", "1-2"}},
		{"", "1-2", []string{"1-2"}},
		{"", "1-3", nil},
		{"12d1:1506", "", []string{"1-3"}},
		{"12D1:1506:7", "", []string{"1-3"}}, // what is wrong with it is said when it is chosen from
		{"1d6b:0002", "", []string{"usb1"}},
		{"1209:0001", "1-1", []string{"1-1"}},
		{"1209:0002", "", nil},
	}
	for _, tt := range tests {
		m, err := newMatch(tt.id, "", tt.port)
		if err != nil {
			t.Fatal(err)
		}
		got := m.candidates(all)
		if len(got) != len(tt.want) {
			t.Errorf("%q at %q: got %v, want %v", tt.id, tt.port, got, tt.want)
			continue
		}
		for i := range got {
			if got[i].port != tt.want[i] {
				t.Errorf("%q at %q: candidate %d is at %s, want %s", tt.id, tt.port, i, got[i].port, tt.want[i])
			}
		}
	}
}

func TestChoose(t *testing.T) {
	const byClass, byID = "", "1209:0001"
	tests := []struct {
		name     string
		id       string
		active   int
		settings []setting
		want     target
		fails    bool
	}{
		{
			name: "the only one", active: 1,
			settings: []setting{{1, 0, 0, pneClass, []endpoint{bulkIn, bulkOut}}},
			want:     target{1, 0, 0, bulkIn, bulkOut},
		}, {
			name: "beside another, with a gap in the numbers", active: 1,
			settings: []setting{
				{1, 0, 0, modemClass, []endpoint{bulkIn, bulkOut}},
				{1, 5, 0, pneClass, []endpoint{bulkOut, interruptIn, secondIn}},
			},
			want: target{1, 5, 0, secondIn, bulkOut},
		}, {
			name: "in an alternate setting", active: 1,
			settings: []setting{
				{1, 0, 0, pneClass, nil},
				{1, 0, 1, pneClass, []endpoint{bulkIn, bulkOut}},
			},
			want: target{1, 0, 1, bulkIn, bulkOut},
		}, {
			name: "rather in the active configuration", active: 2,
			settings: []setting{
				{1, 0, 0, pneClass, []endpoint{bulkIn, bulkOut}},
				{2, 3, 0, pneClass, []endpoint{bulkIn, bulkOut}},
			},
			want: target{2, 3, 0, bulkIn, bulkOut},
		}, {
			name: "in another configuration if need be", active: 2,
			settings: []setting{
				{1, 0, 0, pneClass, []endpoint{bulkIn, bulkOut}},
				{2, 0, 0, modemClass, []endpoint{bulkIn, bulkOut}},
			},
			want: target{1, 0, 0, bulkIn, bulkOut},
		}, {
			name: "while none is active", active: 0,
			settings: []setting{{1, 0, 0, pneClass, []endpoint{bulkIn, bulkOut}}},
			want:     target{1, 0, 0, bulkIn, bulkOut},
		}, {
			name: "by ID, whatever the class", id: byID, active: 1,
			settings: []setting{
				{1, 0, 0, modemClass, []endpoint{interruptIn}},
				{1, 1, 0, [3]uint8{0x0a}, []endpoint{bulkIn, bulkOut}},
			},
			want: target{1, 1, 0, bulkIn, bulkOut},
		}, {
			name: "by ID and interface", id: byID + ":2", active: 1,
			settings: []setting{
				{1, 1, 0, pneClass, []endpoint{bulkIn, bulkOut}},
				{1, 2, 0, modemClass, []endpoint{bulkIn, bulkOut}},
			},
			want: target{1, 2, 0, bulkIn, bulkOut},
		},
		{name: "no settings", id: byID, active: 1, fails: true},
		{
			name: "no endpoints", active: 1, fails: true,
			settings: []setting{{1, 0, 0, pneClass, nil}},
		}, {
			name: "no OUT", active: 1, fails: true,
			settings: []setting{{1, 0, 0, pneClass, []endpoint{bulkIn, secondIn}}},
		}, {
			name: "no bulk IN", active: 1, fails: true,
			settings: []setting{{1, 0, 0, pneClass, []endpoint{interruptIn, bulkOut}}},
		}, {
			name: "endpoints in two settings", active: 1, fails: true,
			settings: []setting{
				{1, 0, 0, pneClass, []endpoint{bulkIn}},
				{1, 0, 1, pneClass, []endpoint{bulkOut}},
			},
		}, {
			name: "packets of no size", active: 1, fails: true,
			settings: []setting{{1, 0, 0, pneClass, []endpoint{{0x81, true, 0}, bulkOut}}},
		}, {
			name: "packets beyond any size", active: 1, fails: true,
			settings: []setting{{1, 0, 0, pneClass, []endpoint{bulkIn, {0x02, true, 2047}}}},
		}, {
			name: "endpoint 0 as a bulk endpoint", active: 1, fails: true,
			settings: []setting{{1, 0, 0, pneClass, []endpoint{{0x80, true, 64}, {0x00, true, 64}}}},
		}, {
			name: "another interface", id: byID + ":1", active: 1, fails: true,
			settings: []setting{{1, 0, 0, pneClass, []endpoint{bulkIn, bulkOut}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := newMatch(tt.id, "", "")
			if err != nil {
				t.Fatal(err)
			}
			d := description{vendor: 0x1209, product: 1, settings: tt.settings}
			got, err := m.choose(&d, tt.active)
			if tt.fails {
				if !errors.Is(err, errNoBulk) {
					t.Errorf("got %+v, %v; want errNoBulk", got, err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestSort(t *testing.T) {
	d := description{settings: []setting{
		{config: 2}, {config: 1, number: 1}, {config: 1, alternate: 1},
		{config: 1, endpoints: []endpoint{secondIn, bulkIn, bulkOut}},
	}}
	d.sort()
	for i, want := range [][3]int{{1, 0, 0}, {1, 0, 1}, {1, 1, 0}, {2, 0, 0}} {
		s := d.settings[i]
		if got := [3]int{s.config, s.number, s.alternate}; got != want {
			t.Errorf("setting %d is %v, want %v", i, got, want)
		}
	}
	if got := d.settings[0].endpoints; got[0] != bulkOut || got[1] != bulkIn || got[2] != secondIn {
		t.Errorf("endpoints are %v", got)
	}
}

func TestPortPath(t *testing.T) {
	for _, tt := range []struct {
		bus   int
		ports []int
		want  string
	}{{1, []int{1}, "1-1"}, {2, []int{1, 4, 2}, "2-1.4.2"}, {1, nil, "usb1"}} {
		if got := portPath(tt.bus, tt.ports); got != tt.want {
			t.Errorf("bus %d, ports %v: got %s, want %s", tt.bus, tt.ports, got, tt.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got, want := printable("A1\x1b[2J\n\xff é"), "A1?[2J?? ?"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNode(t *testing.T) {
	d := description{bus: 1, address: 12}
	if got, want := d.node(), "/dev/bus/usb/001/012"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
