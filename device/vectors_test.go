package device

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cpns.example.net/pngw/cpns"
)

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// A vector is one case of protocol.json, as far as a PNE is concerned.
type vector struct {
	Entity        cpns.EntityID  `json:"entity_id"`
	Gateway       cpns.GatewayID `json:"gateway_id"`
	TK            hexBytes       `json:"tk"`
	EUKeys        []hexBytes     `json:"eukeys"`
	Nonce         hexBytes       `json:"nonce"`
	RandGW        hexBytes       `json:"rand_gw"`
	RandPNE       hexBytes       `json:"rand_pne"`
	Epoch         cpns.Epoch     `json:"epoch"`
	Hello         hexBytes       `json:"hello"`
	HelloHash     hexBytes       `json:"hello_hash"`
	Notification  hexBytes       `json:"notification"`
	Ack           hexBytes       `json:"acknowledgement"`
	AckFailed     []hexBytes     `json:"acknowledgement_failed"`
	AuthChallenge hexBytes       `json:"auth_challenge"`
	AuthResponse  hexBytes       `json:"auth_response"`

	Update        hexBytes `json:"eukey_update"`
	UpdateAck     hexBytes `json:"update_acknowledgement"`
	UpdateSession hexBytes `json:"session_key"`
	Stay          hexBytes `json:"eukey_update_stay"`
	StayAck       hexBytes `json:"stay_acknowledgement"`
	StaySession   hexBytes `json:"stay_session_key"`
	UsedUp        hexBytes `json:"eukey_update_used_up"`
	UsedUpAck     hexBytes `json:"used_up_acknowledgement"`
	UsedUpSession hexBytes `json:"used_up_session_key"`

	ApplicationKeys map[string]hexBytes `json:"application_keys"`

	X25519 struct {
		PNEPrivate   hexBytes   `json:"pne_private"`
		PNEPublic    hexBytes   `json:"pne_public"`
		Nonce        hexBytes   `json:"nonce"`
		Epoch        cpns.Epoch `json:"epoch"`
		Index        cpns.Index `json:"index"`
		Hello        hexBytes   `json:"hello"`
		HelloHash    hexBytes   `json:"hello_hash"`
		Notification hexBytes   `json:"notification"`
		Ack          hexBytes   `json:"acknowledgement"`
	} `json:"x25519"`
}

// read reads the files of cpns/testdata and transport/testdata that match, and those of
// the folder that CPNS_VECTORS names.
func read[T any](t testing.TB, folder, pattern string, use func(T)) {
	t.Helper()
	found := 0
	for _, dir := range []string{folder, os.Getenv("CPNS_VECTORS")} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || dir == "" {
			continue
		}
		for _, file := range files {
			var content T
			readJSON(t, file, &content)
			use(content)
			found++
		}
	}
	if found == 0 {
		t.Fatalf("zero vectors found: no %s in %s", pattern, folder)
	}
}

func readJSON(t testing.TB, file string, content any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, content); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func vectors(t testing.TB) (all []vector) {
	t.Helper()
	read(t, "../cpns/testdata", "protocol*.json", func(f struct{ Cases []vector }) { all = append(all, f.Cases...) })
	if len(all) == 0 {
		t.Fatal("zero vectors found")
	}
	return all
}

// A twin is a device in C that was brought into a state by messages of this code's
// own making, beside what a gateway knows of it.
type twin struct {
	*harness
	v    *vector
	now  uint32
	said []byte // its latest hello
}

func newTwin(t testing.TB, p port, v *vector, flags string) *twin {
	t.Helper()
	h := startHarness(t, p)
	h.configure(string(v.Entity), v.TK, messages, flags)
	h.boot(0)
	return &twin{harness: h, v: v}
}

// hello has the device say a hello whose nonce, and X25519 key, are the vector's.
func (d *twin) hello(random ...[]byte) {
	d.t.Helper()
	d.do("script %x", bytes.Join(random, nil))
	d.now += 1000 // the least time between two
	d.do("up %d", d.now)
	a := d.do("poll %d", d.now)
	if len(a.said) != 1 {
		d.t.Fatalf("it said %x, want a hello", a.said)
	}
	d.said = a.said[0]
}

// take sends a message, which must be answered by that, and be taken.
func (d *twin) take(what string, msg, want []byte, kind int) {
	d.t.Helper()
	a := d.message(d.now, msg)
	if len(a.said) != 1 || !bytes.Equal(a.said[0], want) {
		d.t.Errorf("%s: it said\n     %x\nwant %x", what, a.said, want)
	}
	if len(a.events) != 1 || a.events[0].kind != kind {
		d.t.Errorf("%s: events %v, want one of kind %d", what, a.events, kind)
	}
}

func (d *twin) wantSession(want []byte) {
	d.t.Helper()
	if f := strings.Fields(d.held()); len(f) != 6 || f[4] != "1" || f[5] != hex.EncodeToString(want) {
		d.t.Errorf("it holds %v, want the session key %x", f, want)
	}
}

func forEach(t *testing.T, test func(t *testing.T, p port, v *vector)) {
	for _, p := range ports {
		for i, v := range vectors(t) {
			t.Run(fmt.Sprintf("%s/%d", p.name, i), func(t *testing.T) { test(t, p, &v) })
		}
	}
}

// TestVectors: a hello, its notification, an authentication and its update, byte for byte.
func TestVectors(t *testing.T) {
	forEach(t, func(t *testing.T, p port, v *vector) {
		d := newTwin(t, p, v, "")
		d.hello(v.Nonce)
		if !bytes.Equal(d.said, v.Hello) {
			t.Errorf("hello\n got %x\nwant %x", d.said, v.Hello)
		}
		d.take("notification", v.Notification, v.Ack, kindStored)
		d.take("the same again", v.Notification, v.Ack, kindRepeated)
		d.do("script %x", v.RandPNE)
		d.take("challenge", v.AuthChallenge, v.AuthResponse, kindAuthenticated)
		d.take("the same again", v.AuthChallenge, v.AuthResponse, kindRepeated)
		d.take("update", v.Update, v.UpdateAck, kindStored)
		d.take("the same again", v.Update, v.UpdateAck, kindRepeated)
		d.wantSession(v.UpdateSession)
		for label, want := range v.ApplicationKeys {
			if got := d.do("application %s", label).result; len(got) != 1 || got[0] != hex.EncodeToString(want) {
				t.Errorf("application key %s: %v, want %x", label, got, want)
			}
		}
	})
}

// TestVectorsStay: an update without a key, in the middle of a set and at its end.
func TestVectorsStay(t *testing.T) {
	forEach(t, func(t *testing.T, p port, v *vector) {
		for _, end := range []struct {
			held              int
			msg, ack, session []byte
		}{
			{1, v.Stay, v.StayAck, v.StaySession},
			{len(v.EUKeys), v.UsedUp, v.UsedUpAck, v.UsedUpSession},
		} {
			d := newTwin(t, p, v, "")
			d.hold(cpns.Index(end.held))
			d.do("script %x", v.RandPNE)
			d.message(d.now, v.AuthChallenge)
			d.take("update", end.msg, end.ack, kindStayed)
			d.take("the same again", end.msg, end.ack, kindRepeated)
			d.wantSession(end.session)
		}
	})
}

// hold has the device take the vector's EUKey of that index.
func (d *twin) hold(index cpns.Index) {
	d.t.Helper()
	d.hello([]byte("sixteen bytes ..")[:16])
	d.message(d.now, d.notify(index, d.v.TK, d.v.EUKeys[index-1]))
	if want := fmt.Sprintf("1 %d %d %s", d.v.Epoch, index, d.v.Gateway); !strings.HasPrefix(d.held(), want+" ") {
		d.t.Fatalf("it holds %s, want %s", d.held(), want)
	}
}

// notify is a notification in answer to the latest hello.
func (d *twin) notify(index cpns.Index, tk, key []byte) []byte {
	d.t.Helper()
	m, err := cpns.ParseMessage(d.said)
	if err != nil {
		d.t.Fatal(err)
	}
	n, err := cpns.SealNotification(cpns.TK(tk), m.(*cpns.Hello), nil, d.v.Gateway, d.v.Epoch, index, (*cpns.EUKey)(key), [12]byte{1})
	if err != nil {
		d.t.Fatal(err)
	}
	msg, err := n.Marshal()
	if err != nil {
		d.t.Fatal(err)
	}
	return msg
}

// TestVectorsFailed: each status has its bytes.
func TestVectorsFailed(t *testing.T) {
	forEach(t, func(t *testing.T, p port, v *vector) {
		fails := []func(d *twin) []byte{
			func(d *twin) []byte { d.hello(v.Nonce); return d.notify(1, make([]byte, 16), v.EUKeys[0]) },
			func(d *twin) []byte { d.hold(1); d.hello(v.Nonce); return d.notify(1, v.TK, v.EUKeys[0]) },
			nil, // the vector is of index 1, and nothing is below it
			func(d *twin) []byte { d.hello(v.Nonce); d.do("store f"); return d.notify(1, v.TK, v.EUKeys[0]) },
		}
		if len(v.AckFailed) != len(fails) {
			t.Fatalf("%d acknowledgements of failures, want %d", len(v.AckFailed), len(fails))
		}
		for i, fail := range fails {
			if fail != nil {
				d := newTwin(t, p, v, "")
				d.take(fmt.Sprint("status ", i+1), fail(d), v.AckFailed[i], kindRefused)
			}
		}
	})
}

// TestVectorsX25519: the hello of the vectors has another list of algorithms than ours,
// so of the hello only the public key and the nonce are compared, and its hash is put in.
func TestVectorsX25519(t *testing.T) {
	forEach(t, func(t *testing.T, p port, v *vector) {
		d := newTwin(t, p, v, "x")
		d.hello(v.X25519.PNEPrivate, v.X25519.Nonce)
		m, err := cpns.ParseMessage(d.said)
		if err != nil {
			t.Fatal(err)
		}
		public := bytes.Clone(v.X25519.PNEPublic)
		public[31] &= 0x7f // one vector has this bit set, which means nothing
		if h := m.(*cpns.Hello); h.X25519 == nil || !bytes.Equal(h.X25519[:], public) || !bytes.Equal(h.Nonce[:], v.X25519.Nonce) {
			t.Errorf("hello %x, want the public key %x and the nonce %x", d.said, public, v.X25519.Nonce)
		}
		d.do("hello %x", v.X25519.HelloHash)
		d.take("notification", v.X25519.Notification, v.X25519.Ack, kindStored)
		if got := d.do("secret %x", v.X25519.PNEPrivate).result[0]; got != "0" {
			t.Error("the private key is still in memory")
		}
	})
}

// TestX25519 takes the numbers of RFC 7748, 5.2 and 6.1, and the points of small order.
func TestX25519(t *testing.T) {
	for _, p := range ports {
		t.Run(p.name, func(t *testing.T) {
			h := startHarness(t, p)
			for _, test := range []struct{ private, public, want string }{
				{"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
				{"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d", "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493", "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
				{"77076d0a7318a57d3c16c17251b26645df4c2a92d5b7b2b8b6a6f0e8c9a4a5c7", "-", ""},
				{"77076d0a7318a57d3c16c17251b26645df2fda92b0a5ea0bbd16b0a4a1b1a2f0", "0000000000000000000000000000000000000000000000000000000000000000", "zero"},
				{"77076d0a7318a57d3c16c17251b26645df2fda92b0a5ea0bbd16b0a4a1b1a2f0", "0100000000000000000000000000000000000000000000000000000000000000", "zero"},
				{"77076d0a7318a57d3c16c17251b26645df2fda92b0a5ea0bbd16b0a4a1b1a2f0", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "zero"},
			} {
				got := h.do("x25519 %s %s", test.private, test.public).result[0]
				want := test.want
				switch {
				case want == "":
					pair := cpns.NewX25519Pair([32]byte(unhex(t, test.private)))
					public := pair.Public()
					want = hex.EncodeToString(public[:])
				case want == "zero" && got == "fails": // as good
					continue
				case want == "zero":
					want = strings.Repeat("0", 64)
				}
				if got != want {
					t.Errorf("X25519(%s, %s) = %s, want %s", test.private, test.public, got, want)
				}
			}
		})
	}
}

// refusals are the files of messages that must be refused, each with the case whose keys
// and context its messages have: the first of the protocol.json beside it.
func refusals(t testing.TB) (all []refusal) {
	t.Helper()
	for _, dir := range []string{"../cpns/testdata", os.Getenv("CPNS_VECTORS")} {
		files, err := filepath.Glob(filepath.Join(dir, "refused*.json"))
		if err != nil || dir == "" {
			continue
		}
		for _, file := range files {
			var messages struct{ Cases []refusedMessage }
			var good struct{ Cases []vector }
			name := strings.Replace(filepath.Base(file), "refused", "protocol", 1)
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				readJSON(t, filepath.Join(dir, name), &good)
			} else {
				readJSON(t, "../cpns/testdata/protocol.json", &good)
			}
			readJSON(t, file, &messages)
			all = append(all, refusal{file, messages.Cases, &good.Cases[0]})
		}
	}
	if len(all) == 0 {
		t.Fatal("zero vectors found: no refused*.json")
	}
	return all
}

type refusal struct {
	file  string
	cases []refusedMessage
	v     *vector
}

type refusedMessage struct {
	Kind, Why, Stage string
	Hex              hexBytes
}

// TestRefused sends every message that must be refused, to a device in each state
// in which it could take it. What cannot be decoded is malformed; the rest gets the
// status that the protocol gives it.
func TestRefused(t *testing.T) {
	for _, p := range ports {
		for _, r := range refusals(t) {
			t.Run(p.name+"/"+filepath.Base(r.file), func(t *testing.T) { r.send(t, p) })
		}
	}
}

func (r *refusal) send(t *testing.T, p port) {
	v := r.v
	states := []struct {
		name  string
		reach func() *twin
		want  answering
	}{
		{"holds none", func() *twin { d := newTwin(t, p, v, ""); d.hello(v.Nonce); return d }, answering{}},
		{"challenged", func() *twin {
			d := newTwin(t, p, v, "")
			d.hold(1)
			d.hello(v.Nonce)
			d.do("script %x", v.RandPNE)
			d.message(d.now, v.AuthChallenge)
			return d
		}, answering{held: 1}},
		{"x25519", func() *twin {
			d := newTwin(t, p, v, "x")
			d.hello(v.X25519.PNEPrivate, v.X25519.Nonce)
			d.do("hello %x", v.X25519.HelloHash)
			return d
		}, answering{hello: (*[32]byte)(v.X25519.HelloHash), pair: cpns.NewX25519Pair([32]byte(v.X25519.PNEPrivate))}},
	}
	tried := 0
	for _, state := range states {
		d, want := state.reach(), state.want
		if want.hello == nil {
			hash := sha256.Sum256(d.said)
			want.hello = &hash
		}
		before, stored := d.held(), d.do("slots").result
		for _, m := range r.cases {
			if m.Kind == "request" || m.Kind == "response" {
				continue // nothing that a PNE is sent
			}
			tried++
			what := fmt.Sprintf("%s, %s: %s", state.name, m.Kind, m.Why)
			wantKind, wantStatus := kindMalformed, 0
			if msg, err := cpns.ParseMessage(m.Hex); err == nil && len(m.Hex) <= 256 {
				wantKind, wantStatus = want.to(msg, v)
			}
			if (m.Stage == "decode" || len(m.Hex) > 256) != (wantKind == kindMalformed) {
				t.Errorf("%s: stage %s, and wanted is kind %d", what, m.Stage, wantKind)
			}
			a := d.message(d.now, m.Hex)
			if len(a.events) != 1 {
				t.Fatalf("%s: events %v, want one", what, a.events)
			}
			if ev := a.events[0]; ev.kind != wantKind || ev.status != wantStatus || (len(a.said) != 0) != (wantStatus != 0) {
				t.Errorf("%s: kind %d, status %d, said %x; want kind %d, status %d", what, ev.kind, ev.status, a.said, wantKind, wantStatus)
			}
		}
		if after := d.held(); after != before || strings.Join(d.do("slots").result, "") != strings.Join(stored, "") {
			t.Errorf("%s: it holds %s now, and %s before", state.name, after, before)
		}
		d.end()
	}
	if tried < 500 {
		t.Errorf("%d messages sent, want 500 at least", tried)
	}
}

// answering is a device that a hello, and an answered challenge where it holds an EUKey,
// has brought where it takes what follows them.
type answering struct {
	held  cpns.Index // 0: none
	hello *[32]byte
	pair  *cpns.X25519Pair
}

// to is what a message that is not taken gets, and its status: the order of section 4's
// checks.
func (a *answering) to(msg cpns.Message, v *vector) (kind, status int) {
	refused := func(s cpns.AckStatus) (int, int) { return kindRefused, int(s) }
	switch m := msg.(type) {
	case *cpns.Notification:
		switch key, err := m.Open(cpns.TK(v.TK), a.hello, a.pair); {
		case m.Entity != v.Entity:
			return kindIgnored, 0
		case err != nil:
			return refused(cpns.AckCannotDecrypt)
		case a.held != 0 && m.Epoch == v.Epoch && m.Index > a.held && !leads(key, m.Index, v, a.held):
			return refused(cpns.AckChainBroken)
		}
		return refused(cpns.AckStale)
	case *cpns.EUKeyUpdate:
		switch {
		case m.Entity != v.Entity:
			return kindIgnored, 0
		case a.held == 0:
			return kindRefused, 0 // no challenge is open: silence
		}
		next, err := m.Open(cpns.TK(v.TK), (*cpns.EUKey)(v.EUKeys[a.held-1]), v.Gateway, (*[16]byte)(v.RandGW), (*[16]byte)(v.RandPNE))
		switch {
		case errors.Is(err, cpns.ErrNotAuthentic):
			return refused(cpns.AckCannotDecrypt)
		case err == nil && next != nil && m.Epoch == v.Epoch && m.Index == a.held+1:
			return refused(cpns.AckChainBroken)
		}
		return refused(cpns.AckStale)
	}
	return kindIgnored, 0
}

// leads reports whether the EUKey of an index leads back to the one held.
func leads(key cpns.EUKey, index cpns.Index, v *vector, held cpns.Index) bool {
	first := cpns.EUKeyAt(&key, index, held)
	return bytes.Equal(first[:], v.EUKeys[held-1])
}

// TestNames: topics and identities of the vectors, and one byte too little room.
func TestNames(t *testing.T) {
	h := startHarness(t, ports[0])
	names := 0
	read(t, "../cpns/testdata", "protocol*.json", func(f struct {
		Names []struct {
			Entity   string  `json:"entity_id"`
			Topic    string  `json:"topic"`
			Identity *string `json:"psk_identity"`
		}
	}) {
		for _, n := range f.Names {
			names++
			identity := "-"
			if n.Identity != nil {
				identity = *n.Identity
			}
			want := fmt.Sprintf("%s cpns/%s/down cpns/%s/up cpns/identify 1", identity, n.Topic, n.Topic)
			if got := h.do("names %s", n.Entity).result[0]; got != want {
				t.Errorf("names of %q\n got %s\nwant %s", n.Entity, got, want)
			}
		}
	})
	if names == 0 {
		t.Error("zero vectors found")
	}
}

// TestSize: cpns_pne_t takes at most 1 kB, also with pointers of eight bytes.
func TestSize(t *testing.T) {
	h := startHarness(t, ports[0])
	var size int
	if _, err := fmt.Sscan(h.do("size").result[0], &size); err != nil || size > 1024 {
		t.Errorf("cpns_pne_t has %d bytes (%v), want at most 1024", size, err)
	}
	t.Logf("%d bytes", size)
}
