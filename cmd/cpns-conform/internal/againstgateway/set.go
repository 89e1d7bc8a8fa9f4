package againstgateway

import (
	"net/http"
	"strconv"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

const contentType = `application/cose; cose-type="cose-encrypt0"`

// setLength is how many EUKeys the kit's server gives.
const setLength = 16

// A set is an assignment, and of which every part may be wrong.
type set struct {
	status, time, epoch uint64
	tk                  []byte
	keys                [][]byte
}

// newSet is a right one for a request.
func (b *Bench) newSet(d *device, r *heardRequest) *set {
	return &set{time: r.now, epoch: b.nextEpoch(), tk: d.tk, keys: wire.Set(random(32), r.rand, d.length)}
}

func (s *set) plaintext() []byte {
	var keys [][]byte
	for _, k := range s.keys {
		keys = append(keys, wire.Bytes(k))
	}
	return wire.Array(wire.Uint(s.status), wire.Uint(s.time), wire.Uint(s.epoch), wire.Bytes(s.tk), wire.Array(keys...))
}

// sealed is the body that answers a request.
func (b *Bench) sealed(r *heardRequest, plaintext []byte) wire.Body {
	return wire.SealBody(wire.Key(b.PSK1, wire.Hash(r.body), wire.InfoResponse), []byte(b.Identity), random(12), plaintext)
}

// reply sends a body as the server does.
func reply(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-store")
	w.Write(body)
}

// refuse answers in plain HTTP.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write([]byte(`{"title":"` + http.StatusText(status) + `","status":` + strconv.Itoa(status) + `}`))
}
