package bsf

import (
	"strings"
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// Whatever a BSF answers: nothing panics, what is taken is whole, and no error shows
// a key.
func FuzzAnswer(f *testing.F) {
	key := strings.Repeat("5a", keySize)
	f.Add([]byte(`{"meKeyMaterial":"` + key + `","keyExpiryTime":"2026-03-01T12:00:00Z","impi":"1@ims","gbaType":"GBA_ME"}`))
	f.Add([]byte(`{"meKeyMaterial":"` + key + `","keyExpiryTime":"soon","impi":"1@ims"}`))
	f.Add([]byte(`{"meKeyMaterial":"` + key + `","keyExpiryTime":"2026-03-01T12:00:00+23:59","impi":"1\n@ims"}`))
	f.Add([]byte(`{"meKeyMaterial":"` + key + `","keyExpiryTime":"0001-01-01T00:00:00Z","impi":"1@ims"}`))
	f.Add([]byte(`{"meKeyMaterial":7}{`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parse(body)
		if err != nil {
			if strings.Contains(err.Error(), key) {
				t.Errorf("the error shows the key: %v", err)
			}
			return
		}
		if _, err := cpns.ParsePSK1(got.Key); err != nil || len(got.Key) != keySize || server.CheckIMPI(got.IMPI) != nil || got.Ends.IsZero() {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
