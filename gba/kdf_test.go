package gba

import (
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKsNAF: the numbers are a published example's, computed once more elsewhere.
func TestKsNAF(t *testing.T) {
	ks := [KeySize]byte(unhex(t, "60715b7aaeececd92fccd2c8d78d3b6b"+"59c2fb00e8bf6739dd03a25e50199dd9"))
	rand := [16]byte(unhex(t, "9a4b0c6bccf7b80b4331994b853ce271"))
	nafID := NAFID("naf.mnc99.mcc999.3gppnetwork.org", [5]byte{0x01, 0x00, 0x00, 0x00, 0x02})
	got, err := DeriveKsNAF(&ks, &rand, "999991122220001@ims.mnc99.mcc999.3gppnetwork.org", nafID)
	if err != nil {
		t.Fatal(err)
	}
	if want := "ca3658be122710aaba3e15e881b8653962dc6545f1d4fd671eae5d70ee0a7c94"; hex.EncodeToString(got[:]) != want {
		t.Errorf("Ks_NAF %x, want %s", got, want)
	}
	if _, err := DeriveKsNAF(&ks, &rand, string(make([]byte, 1<<16)), nafID); err == nil {
		t.Error("an IMPI of 65536 bytes is taken")
	}
}

func TestSubscriber(t *testing.T) {
	tests := []struct {
		s         Subscriber
		impi, bsf string
	}{
		{Subscriber{"001010123456789", 2}, "001010123456789@ims.mnc001.mcc001.3gppnetwork.org", "bsf.mnc001.mcc001.pub.3gppnetwork.org"},
		{Subscriber{"310410123456789", 3}, "310410123456789@ims.mnc410.mcc310.3gppnetwork.org", "bsf.mnc410.mcc310.pub.3gppnetwork.org"},
	}
	for _, test := range tests {
		if err := test.s.check(); err != nil || test.s.IMPI() != test.impi || test.s.BSF() != test.bsf {
			t.Errorf("%+v: %s, %s, %v", test.s, test.s.IMPI(), test.s.BSF(), err)
		}
	}
	for _, bad := range []Subscriber{{"", 2}, {"00101", 2}, {"0010101234567890", 2}, {"00101x123456789", 2}, {"001010123456789", 0}, {"001010123456789", 15}} {
		if bad.check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
