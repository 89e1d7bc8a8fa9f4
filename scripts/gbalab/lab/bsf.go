package lab

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// BSF is a bootstrapping server for labs: Ub for SIMs, Nbsp_GBA for NAFs.
type BSF struct {
	// Host is the BSF's name, and the realm of its challenges.
	Host string
	// Lifetime is how long a key is good.
	Lifetime time.Duration
	// Spoil, where it is not nil, changes an answer of Ub before it goes out.
	Spoil func(h http.Header, body []byte) []byte
	// Say, where it is not nil, is told what has happened.
	Say func(string)
	// KeyLog, where it is not nil, gets every key that a NAF is told, in hex, a line each.
	KeyLog io.Writer

	mu          sync.Mutex
	subscribers map[string]*Subscriber
	challenges  map[string]*vector // by nonce; each is answered once
	keys        map[string]*bootstrapped
}

type bootstrapped struct {
	impi    string
	rand    []byte
	ks      []byte
	expires time.Time
}

// maxPending bounds challenges that nobody has answered, and keys.
const maxPending = 1000

// NewBSF makes a BSF of these subscribers.
func NewBSF(host string, lifetime time.Duration, subscribers []*Subscriber) *BSF {
	b := &BSF{Host: host, Lifetime: lifetime, subscribers: map[string]*Subscriber{}, challenges: map[string]*vector{}, keys: map[string]*bootstrapped{}}
	for _, s := range subscribers {
		b.subscribers[s.IMPI] = s
	}
	return b
}

func (b *BSF) say(format string, args ...any) {
	if b.Say != nil {
		b.Say(fmt.Sprintf(format, args...))
	}
}

var digestParam = regexp.MustCompile(`(\w+)=(?:"([^"]*)"|([^\s,]+))`)

// Ub is the reference point of SIMs (TS 24.109 clause 5).
func (b *BSF) Ub(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := map[string]string{}
	for _, m := range digestParam.FindAllStringSubmatch(r.Header.Get("Authorization"), -1) {
		p[m[1]] = m[2] + m[3]
	}
	s := b.subscribers[p["username"]]
	if r.Method != http.MethodGet || s == nil {
		b.say("no subscriber %q", p["username"])
		http.Error(w, "no such subscriber", http.StatusForbidden)
		return
	}
	v := b.challenges[p["nonce"]]
	delete(b.challenges, p["nonce"])
	if auts, err := base64.StdEncoding.DecodeString(p["auts"]); v != nil && p["auts"] != "" && err == nil {
		if !b.digests(p, r, nil) || s.resynchronise(v.rand, auts) != nil {
			http.Error(w, "AUTS is not the SIM's", http.StatusForbidden)
			return
		}
		b.say("%s: resynchronised", s.IMPI)
		v = nil
	}
	if v == nil || !b.digests(p, r, v.res) {
		b.challenge(w, s)
		return
	}
	b.bootstrapped(w, r, p, s, v)
}

func (b *BSF) challenge(w http.ResponseWriter, s *Subscriber) {
	random := make([]byte, 16)
	rand.Read(random)
	v, err := s.challenge(random)
	if err != nil || len(b.challenges) > maxPending {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	nonce := base64.StdEncoding.EncodeToString(append(append([]byte{}, random...), v.autn...))
	b.challenges[nonce] = v
	h := w.Header()
	h.Set("WWW-Authenticate", fmt.Sprintf(`Digest realm="%s", nonce="%s", algorithm=AKAv1-MD5, qop="auth-int", opaque="lab"`, b.Host, nonce))
	body := []byte{}
	if b.Spoil != nil {
		body = b.Spoil(h, body)
	}
	w.WriteHeader(http.StatusUnauthorized)
	w.Write(body)
}

func md5sum(parts ...string) string {
	h := md5.New()
	for i, p := range parts {
		if i > 0 {
			h.Write([]byte(":"))
		}
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (b *BSF) digests(p map[string]string, r *http.Request, res []byte) bool {
	ha1 := md5sum(p["username"], b.Host, string(res))
	ha2 := md5sum(r.Method, p["uri"], md5sum(""))
	return p["response"] == md5sum(ha1, p["nonce"], p["nc"], p["cnonce"], p["qop"], ha2) && p["qop"] == "auth-int" && p["realm"] == b.Host
}

func (b *BSF) bootstrapped(w http.ResponseWriter, r *http.Request, p map[string]string, s *Subscriber, v *vector) {
	if len(b.keys) > maxPending {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	btid := base64.StdEncoding.EncodeToString(v.rand) + "@" + b.Host
	expires := time.Now().Add(b.Lifetime).UTC().Truncate(time.Second)
	b.keys[btid] = &bootstrapped{s.IMPI, v.rand, append(append([]byte{}, v.ck...), v.ik...), expires}
	b.say("%s: bootstrapped, B-TID %s", s.IMPI, btid)
	body := []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<BootstrappingInfo xmlns="uri:3gpp-gba"><btid>` + btid +
		`</btid><lifetime>` + expires.Format(time.RFC3339) + `</lifetime></BootstrappingInfo>`)
	ha1 := md5sum(p["username"], b.Host, string(v.res))
	rspauth := md5sum(ha1, p["nonce"], p["nc"], p["cnonce"], p["qop"], md5sum("", p["uri"], md5sum(string(body))))
	h := w.Header()
	h.Set("Content-Type", "application/vnd.3gpp.bsf+xml")
	h.Set("Authentication-Info", fmt.Sprintf(`qop=auth-int, rspauth="%s", cnonce="%s", nc=%s`, rspauth, p["cnonce"], p["nc"]))
	if b.Spoil != nil {
		body = b.Spoil(h, body)
	}
	w.Write(body)
}

// RetrievalPath is where NAFs ask (TS 29.309).
const RetrievalPath = "/nbsp-gba/v1/bootstrapping-info-retrieval"

// Nbsp is the reference point of NAFs.
func (b *BSF) Nbsp(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var q struct {
		BTID  string `json:"btId"`
		NAFID struct {
			FQDN string `json:"nafFqdn"`
			UA   string `json:"uaSecProtId"`
		} `json:"nafId"`
	}
	if r.Method != http.MethodPost || json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&q) != nil {
		problem(w, http.StatusBadRequest)
		return
	}
	ua, err := hex.DecodeString(q.NAFID.UA)
	if err != nil || len(ua) != 5 {
		problem(w, http.StatusBadRequest)
		return
	}
	k := b.keys[q.BTID]
	if k == nil || time.Now().After(k.expires) {
		delete(b.keys, q.BTID)
		b.say("a NAF asks for B-TID %q, which is unknown or over", q.BTID)
		problem(w, http.StatusNotFound)
		return
	}
	key := hex.EncodeToString(ksNAF(k, append([]byte(q.NAFID.FQDN), ua...)))
	b.say("%s: %s is told the key of B-TID %s", k.impi, q.NAFID.FQDN, q.BTID)
	if b.KeyLog != nil {
		fmt.Fprintln(b.KeyLog, key)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"meKeyMaterial": key,
		"keyExpiryTime": k.expires.Format(time.RFC3339), "impi": k.impi, "gbaType": "GBA_ME",
	})
}

func problem(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":%d}`, status)
}

// ksNAF is TS 33.220 annex B, written down once more.
func ksNAF(k *bootstrapped, nafID []byte) []byte {
	h := hmac.New(sha256.New, k.ks)
	h.Write([]byte{1})
	for _, p := range [][]byte{[]byte("gba-me"), k.rand, []byte(k.impi), nafID} {
		h.Write(p)
		h.Write([]byte{byte(len(p) >> 8), byte(len(p))})
	}
	return h.Sum(nil)
}
