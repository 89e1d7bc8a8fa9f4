package life

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"cpns.example.net/pngw/cpns"
)

func TestRecord(t *testing.T) {
	cur, next := provedSet(3, 64, 7), newSet(4, 1024)
	cur.Gateway, next.Gateway, cur.X25519 = "old-name", testGateway, true
	r := &record{
		entity: "PNE/7+#%~:A", user: "bob@example.net", current: cur, next: next, advanced: 12, highest: 9,
		request: &Request{User: "bob@example.net", Rand: [32]byte{1}, Time: 2, AuthData: [32]byte{3}, Body: []byte{4}, Made: 5},
		alarm:   &alarm{3, 7, 2},
	}
	value, err := begin(r).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("PNE/7+#%~:A", value)
	if err != nil {
		t.Fatal(err)
	}
	again, err := got.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(value, again) {
		t.Errorf("read back as\n%s\nwant\n%s", again, value)
	}
	if got.rec.next.key(1000) != next.key(1000) || !bytes.Equal(got.rec.current.TK, cur.TK) {
		t.Error("keys differ after reading back")
	}
	// Another codec reads it, and writes the same.
	var items []any
	if err := cbor.Unmarshal(value, &items); err != nil || len(items) != 10 {
		t.Fatalf("%v, %v", items, err)
	}
	if set, ok := items[2].([]any); !ok || set[0] != "old-name" || set[1] != uint64(3) || set[4] != true || !bytes.Equal(set[5].([]byte), cur.Last[:]) {
		t.Errorf("the set in use is %v", items[2])
	}
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err := mode.Marshal(items); err != nil || !bytes.Equal(theirs, value) {
		t.Errorf("written\n%x, %v, want\n%x", theirs, err, value)
	}

	// Nothing else is taken: no part of it, no longer form, no other version or type.
	for n := range value {
		if _, err := Parse("a", value[:n]); err == nil {
			t.Fatalf("its first %d bytes are taken", n)
		}
	}
	long := slices.Concat(value[:1], []byte{0x18, recordVersion}, value[2:])
	for _, bad := range [][]byte{append(value, 0), long, {}, {0xf6}, {0x8a, 3}, []byte(`{"v":1,"entity_id":"a","user":"b"}`)} {
		if _, err := Parse("a", bad); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
	for i := range items {
		changed := slices.Clone(items)
		changed[i] = []any{}
		bad, err := mode.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("a", bad); err == nil {
			t.Errorf("an array in the place of element %d is taken", i)
		}
	}
	if _, err := Parse("a b", value); err == nil {
		t.Error("a name that is no Entity ID is taken")
	}
}

// What is written at each step of a PNE is small: flash wears by bytes.
func TestRecordSize(t *testing.T) {
	set := provedSet(3_600_000, 64, 7)
	set.Gateway, set.Taken, set.TK = "gw-0001", 1763800000, set.TK[:16]
	value, err := PNE{rec: &record{entity: "meter-1", user: "alice", current: set, advanced: 1763800000}}.Marshal()
	if err != nil || len(value) != 93 {
		t.Errorf("%d bytes, %v; want 93", len(value), err)
	}
}

// A request whose answer was lost is sent again by the next command, also where
// the server had to correct the gateway's clock: a new one would cost an epoch.
func TestRequestRepeats(t *testing.T) {
	now := time.Unix(1763800000, 0)
	for _, skew := range []time.Duration{0, time.Hour, -48 * time.Hour, 20 * 365 * 24 * time.Hour} {
		hash, identity := cpns.PasswordHash{1}, cpns.PSKIdentity("gw-0001")
		q := &Request{User: "alice", Time: uint64(now.Add(skew).Unix()), Made: now.Unix()}
		rand.Read(q.Rand[:])
		q.AuthData = cpns.UserAuthenticationData(&hash, &q.Rand, q.Time)
		var err error
		q.Body, err = cpns.SealRequest(make(cpns.PSK1, 32), identity, [12]byte{}, &cpns.EUKeyAssignmentRequest{
			EntityID: testEntity, UserID: "alice", RandPNGW: q.Rand, Time: q.Time, UserAuthenticationData: q.AuthData,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			after time.Duration
			hash  cpns.PasswordHash
			want  bool
		}{
			{time.Minute, hash, true}, {4 * time.Minute, hash, true}, {5 * time.Minute, hash, false},
			{-5 * time.Minute, hash, false}, {time.Minute, cpns.PasswordHash{2}, false},
		} {
			if got := q.Repeats("alice", &tc.hash, identity, now.Add(tc.after)); got != tc.want {
				t.Errorf("corrected by %v, %v later: %v", skew, tc.after, got)
			}
		}
	}
}
