package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"cpns.example.net/pngw/cpns"
)

// Anchors are what a gateway knows this server by once it is enrolled: one
// certificate to trust, as PEM, and the pins of the server's own key and of those
// that vouch for it.
type Anchors struct {
	CA   []byte
	Pins []cpns.Pin
}

func (a Anchors) pins() []string {
	texts := make([]string, len(a.Pins))
	for n, pin := range a.Pins {
		texts[n] = cpns.Base64.EncodeToString(pin[:])
	}
	return texts
}

// A peer is a gateway at the other end of a connection, by the key that it has shown.
type peer struct {
	key    cpns.SPKIHash
	export func(label string, context []byte, length int) ([]byte, error)
}

// peerOf is who sent a request of step 0. A connection that cannot carry one is a
// problem: what is exported from a resumed session is another's, and below TLS 1.3
// it is bound to less.
func peerOf(r *http.Request) (*peer, error) {
	refused := func(detail string) (*peer, error) {
		return nil, &problem{status: http.StatusBadRequest, detail: detail}
	}
	t := r.TLS
	switch {
	case t == nil || t.Version < tls.VersionTLS13:
		return refused("step 0 takes TLS 1.3, and this connection has an older version")
	case t.DidResume:
		return refused("step 0 takes a connection of its own, and this one resumed the session of another")
	case len(t.PeerCertificates) == 0:
		return refused("no client certificate was shown: a gateway shows that of its key pair, which does not get through where something on the way ends TLS")
	}
	cert := t.PeerCertificates[0]
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return refused("the client certificate has a key of another kind than P-256")
	}
	return &peer{cpns.HashSPKI(cert.RawSubjectPublicKeyInfo), t.ExportKeyingMaterial}, nil
}

// checkPost refuses what is no request of step 0 before its body is read.
func checkPost(r *http.Request) error {
	if r.Method != http.MethodPost {
		return &problem{status: http.StatusMethodNotAllowed, detail: "step 0 is a POST"}
	}
	return nil
}

// readBody reads a body of at most so many bytes.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	tooLarge := &problem{status: http.StatusRequestEntityTooLarge, detail: "the body has more than " + strconv.FormatInt(most, 10) + " bytes"}
	if r.ContentLength > most {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, tooLarge
	}
	if err != nil {
		return nil, &problem{status: http.StatusBadRequest, detail: "the body ended early or came too slowly"}
	}
	return body, nil
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body) // an answer that is lost is asked for again
	return nil
}
