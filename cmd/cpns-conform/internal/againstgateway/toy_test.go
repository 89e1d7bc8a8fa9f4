package againstgateway

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
	"cpns.example.net/pngw/transport"
)

// A toy is a gateway that is just large enough to conform, and that is told one fault to
// have: the name of the case that is to find it. Nothing of it is on a router.
type toy struct {
	fault string
	id    string
	psk   []byte
	user  string
	hash  []byte

	roots *x509.CertPool
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	send  func(msg []byte) // to all devices
	retry time.Duration

	mu        sync.Mutex
	frames    transport.Deframer
	skip      bool
	records   map[string]*record
	strangers int
	names     map[string]int
	hellos    map[string][]byte // the latest of each device, with a bound for nobody: a toy
	lifetime  context.Context
	die       context.CancelFunc
}

// A record is what the toy has of a device. What is in stored survives a restart.
type record struct {
	stored
	disk stored
	last []byte // the latest request body, answered

	answers   []given
	repeat    *time.Timer
	sent      int
	copies    map[string]int
	challenge []byte // rand-gw, nil for none
	former    []byte // of the challenge before
	advance   bool
	update    *offered
	deaf      bool
}

type stored struct {
	sets  []*held
	alarm bool
}

type held struct {
	epoch  uint64
	tk     []byte
	keys   [][]byte
	proved uint64
}

type given struct{ hello, wire []byte }

type offered struct {
	rands []byte // rand-gw | rand-pne
	index uint64
}

func (g *toy) has(fault string) bool { return g.fault == fault }

func (g *toy) boot() {
	g.lifetime, g.die = context.WithCancel(context.Background())
}

// restart ends the toy and starts it again with what it had stored.
func (g *toy) restart(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.die()
	g.boot()
	for e, r := range g.records {
		r.stop()
		fresh := &record{disk: r.disk, copies: map[string]int{}}
		fresh.stored = r.disk.clone()
		if len(fresh.sets) == 0 {
			delete(g.records, e)
			continue
		}
		g.records[e] = fresh
	}
	return nil
}

func (s stored) clone() stored {
	c := stored{alarm: s.alarm}
	for _, h := range s.sets {
		k := *h
		c.sets = append(c.sets, &k)
	}
	return c
}

// save stores a record.
func (g *toy) save(r *record) {
	s := r.stored.clone()
	if g.has("restart-stored") {
		s.sets = slices.DeleteFunc(s.sets, func(h *held) bool { return h.proved == 0 })
	}
	if g.has("restart-proved") {
		for _, h := range s.sets {
			h.proved = 0
		}
	}
	if g.has("restart-alarm") {
		s.alarm = false
	}
	r.disk = s
}

func (r *record) stop() {
	if r.repeat != nil {
		r.repeat.Stop()
	}
}

func (r *record) newest() *held {
	if len(r.sets) == 0 {
		return nil
	}
	return r.sets[len(r.sets)-1]
}

// do takes a device in.
func (g *toy) do(ctx context.Context, e string) error {
	g.mu.Lock()
	life := g.lifetime
	hello := g.hellos[e]
	g.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	if g.has("request-hello") {
		hello = nil
	}
	body, rand := g.request(e, hello)
	fresh := 0
	for try := 0; ; try++ {
		res, err := g.post(ctx, body)
		if err == nil && (res.code == 200 || res.code < 500 && g.has("response-http")) {
			again, err := g.take(e, body, rand, res)
			if most := 1; again && (fresh < most || g.has("request-time") && fresh < 4) {
				fresh++
				body, rand = g.request(e, hello)
				continue
			}
			return err
		}
		if err == nil && res.code < 500 {
			return fmt.Errorf("HTTP %d", res.code)
		}
		if ctx.Err() != nil || try == 3 || g.has("server-certificate") && try > 0 {
			return errors.Join(err, ctx.Err())
		}
		if err != nil && g.has("request-lost") || err == nil && g.has("request-busy") {
			sleep.For(ctx, time.Second)
			body, rand = g.request(e, hello)
		}
		if sleep.For(ctx, time.Second) != nil {
			return ctx.Err()
		}
	}
}

func (g *toy) request(e string, hello []byte) (body, rand []byte) {
	rand = random(32)
	now := uint64(time.Now().Unix())
	if g.has("request-contents") {
		rand = rand[:31]
	}
	auth := wire.AuthData(g.hash, rand, now)
	iv := random(12)
	switch g.fault {
	case "request-auth":
		auth = random(32)
	case "request-fresh":
		iv = make([]byte, 12)
	}
	fields := [][]byte{wire.Text(e), wire.Text(g.user), wire.Bytes(rand), wire.Uint(now), wire.Bytes(auth)}
	if hello != nil {
		fields = append(fields, wire.Bytes(hello))
	}
	sealed := wire.SealBody(wire.Key(g.psk, nil, wire.InfoRequest), []byte(g.id), iv, wire.Array(fields...))
	body = sealed.Bytes()
	if g.has("request-canonical") {
		body = append([]byte{0x98, 3}, body[1:]...)
	}
	return body, rand
}

type httpAnswer struct {
	code int
	kind string
	body []byte
}

func (g *toy) post(ctx context.Context, body []byte) (*httpAnswer, error) {
	transport := &http.Transport{
		DialContext:     g.dial,
		TLSClientConfig: &tls.Config{RootCAs: g.roots, ServerName: "cpns.example.net", InsecureSkipVerify: g.has("server-certificate")},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if g.has("response-redirect") {
		client.CheckRedirect = nil
	}
	if g.has("server-silent") {
		client.Timeout = 0
	}
	req, err := http.NewRequestWithContext(ctx, "POST", "https://cpns.example.net"+assignmentPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	if g.has("request-http") {
		req.Header.Set("Content-Type", "application/cbor")
	}
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	const most = 64 << 10
	limit := int64(most + 1)
	if g.has("response-giant") {
		limit = 200 << 10
	}
	got, err := io.ReadAll(io.LimitReader(res.Body, limit))
	if err == nil && len(got) > most && !g.has("response-giant") {
		return &httpAnswer{code: 499}, nil
	}
	return &httpAnswer{res.StatusCode, res.Header.Get("Content-Type"), got}, err
}

var errRefused = errors.New("the server's answer was refused")

// take checks an answer and stores the set. again says that the time was wrong.
func (g *toy) take(e string, request, rand []byte, res *httpAnswer) (again bool, err error) {
	raw := res.body
	if g.has("response-giant") && len(raw) > 64<<10 {
		_, rest, _ := wire.Decode(raw)
		raw = raw[:len(raw)-len(rest)]
	}
	lax := g.has("response-encoding")
	if lax && len(raw) > 0 && raw[0] == 0xd0 {
		raw = raw[1:]
	}
	body, canonical, err := wire.ReadBody(raw)
	if lax && err != nil {
		_, rest, _ := wire.Decode(raw)
		body, canonical, err = wire.ReadBody(raw[:len(raw)-len(rest)])
	}
	if err != nil || !canonical && !lax || len(body.IV) != 12 {
		return false, errRefused
	}
	if string(body.Identity) != g.id && !g.has("response-identity") {
		return false, errRefused
	}
	key := wire.Key(g.psk, wire.Hash(request), wire.InfoResponse)
	plaintext, ok := body.Open(key, body.Identity)
	if !ok && g.has("response-other") {
		plaintext, ok = body.Open(wire.Key(g.psk, nil, wire.InfoRequest), body.Identity)
	}
	unchecked := false
	if !ok && g.has("response-tampered") {
		c, err := chacha20.NewUnauthenticatedCipher(key, body.IV)
		if err != nil {
			return false, err
		}
		c.SetCounter(1)
		plaintext = make([]byte, len(body.Ciphertext)-16)
		c.XORKeyStream(plaintext, body.Ciphertext[:len(plaintext)])
		ok, unchecked = true, true
	}
	if !ok {
		return false, errRefused
	}
	item, rest, err := wire.Decode(plaintext)
	fields, _ := item.([]any)
	if err != nil || len(fields) != 5 || !lax && (len(rest) > 0 || !bytes.Equal(wire.Encode(item), plaintext)) {
		return false, errRefused
	}
	status, _ := fields[0].(uint64)
	epoch, _ := fields[2].(uint64)
	tk, _ := fields[3].([]byte)
	list, _ := fields[4].([]any)
	if status == statusTime {
		return true, errors.New("the clock is wrong")
	}
	if status != 0 && !g.has("response-status") {
		return false, fmt.Errorf("status %d", status)
	}
	s := &held{epoch: epoch, tk: tk}
	for _, k := range list {
		key, _ := k.([]byte)
		if len(key) != 32 {
			return false, errRefused
		}
		s.keys = append(s.keys, key)
	}
	if (len(tk) < 16 || len(tk) > 64) && !g.has("response-sizes") {
		return false, errRefused
	}
	if len(s.keys) < 2 || len(s.keys) > 1024 {
		if !g.has("response-length") || len(s.keys) == 0 {
			return false, errRefused
		}
	}
	if (epoch == 0 || epoch > 1<<32-1) && !g.has("response-epoch") {
		return false, errRefused
	}
	if wire.BrokenLink(s.keys) > 0 && !g.has("response-chain") && !unchecked {
		return false, errRefused
	}
	return false, g.store(e, s, request)
}

func (g *toy) store(e string, s *held, request []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.records[e]
	if r == nil {
		r = &record{copies: map[string]int{}}
		g.records[e] = r
	}
	r.last = request
	if was := r.newest(); was != nil {
		if s.epoch <= was.epoch && !g.has("response-older") {
			return errRefused
		}
		if g.has("set-newer") {
			return nil
		}
	}
	r.sets = append(r.sets, s)
	r.answers = nil
	g.save(r)
	if !g.has("identify-later") {
		life := g.lifetime
		time.AfterFunc(time.Minute, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if life.Err() == nil && s.proved == 0 {
				g.send(wire.Identify(e))
			}
		})
	}
	return nil
}

// feed takes bytes of the line.
func (g *toy) feed(b []byte) {
	g.mu.Lock()
	var messages [][]byte
	for _, c := range b {
		before := g.frames.Dropped()
		g.frames.Feed([]byte{c}, func(msg []byte) {
			if !g.skip {
				messages = append(messages, slices.Clone(msg))
			}
			g.skip = false
		})
		if g.frames.Dropped() > before && g.has("link-noise") {
			g.skip = true
		}
	}
	g.mu.Unlock()
	for _, m := range messages {
		g.hear(m)
	}
}

// mail takes a message on a device's topic.
func (g *toy) mail(topic string, msg []byte) {
	if m, ok := wire.Read(msg); ok && m.E != topic && !g.has("link-topic") {
		return
	}
	g.hear(msg)
}

func (g *toy) hear(msg []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	item, rest, err := wire.Decode(msg)
	strict := err == nil && len(rest) == 0 && len(msg) <= 512 && bytes.Equal(wire.Encode(item), msg)
	m, ok := wire.Read(msg)
	if !ok || !strict && !g.has("link-malformed") {
		return
	}
	r := g.records[m.E]
	if m.Type == wire.TypeHello {
		if m.Version != 1 {
			return
		}
		g.hellos[m.E] = msg
		if r == nil {
			g.stranger(m)
			return
		}
		g.hello(r, m, msg)
		return
	}
	if r == nil || r.newest() == nil {
		return
	}
	switch m.Type {
	case wire.TypeAcknowledgement:
		g.acknowledged(r, m)
	case wire.TypeAuthResponse:
		g.responded(r, m)
	}
}

func (g *toy) stranger(m *wire.Heard) {
	g.strangers++
	g.names[m.E]++
	if g.has("link-strangers") && g.strangers > 100 {
		g.strangers = 0
		for _, r := range g.records {
			r.deaf = true
		}
	}
	if g.has("hello-stranger") && g.names[m.E] == 3 {
		n := wire.Notification{E: m.E, G: g.id, Epoch: 1, Index: 1, IV: random(12), Ciphertext: random(48)}
		g.send(n.Bytes())
	}
}

func (g *toy) hello(r *record, m *wire.Heard, msg []byte) {
	s := r.newest()
	h := wire.Hello{E: m.E, Nonce: m.Nonce, Epoch: m.Epoch, Index: m.Index, Algs: m.Algs, X25519: m.X25519}
	item, _, _ := wire.Decode(msg)
	if !bytes.Equal(h.Bytes(s.tk), wire.Encode(item)) && !g.has("hello-tag") || r.deaf {
		return
	}
	if r.alarm && !(g.has("auth-alarm") && m.Epoch > 0) {
		return
	}
	if !slices.Contains(m.Algs, 24) && !g.has("hello-algs") {
		return
	}
	r.copies[string(msg)]++
	if g.has("link-copies") && r.copies[string(msg)] > 5 {
		s.proved++
		r.copies[string(msg)] = 0
		return
	}
	for _, a := range r.answers {
		if bytes.Equal(a.hello, msg) && !g.has("hello-again") {
			g.send(a.wire)
			return
		}
	}
	if g.has("hello-another") && m.X25519 == nil && len(r.answers) > 0 && m.Epoch < s.epoch {
		r.answers = append(r.answers, given{msg, r.answers[0].wire})
		g.send(r.answers[0].wire)
		return
	}
	switch {
	case m.Epoch > s.epoch && !g.has("hello-newer"), m.Epoch == s.epoch && m.Index > uint64(len(s.keys)) && !g.has("hello-beyond"):
		return
	case m.Epoch >= s.epoch:
		g.challenge(r, m.E)
		return
	}
	g.notify(r, s, m, msg)
}

func (g *toy) notify(r *record, s *held, m *wire.Heard, msg []byte) {
	if s.proved >= uint64(len(s.keys)) {
		if !g.has("set-used-up") {
			return
		}
		s.proved = 0
	}
	if g.has("ack-counts") && s.proved == 2 && r.last != nil {
		ctx, body := g.lifetime, r.last
		go g.post(ctx, body)
	}
	n := wire.Notification{E: m.E, G: g.id, Epoch: s.epoch, Index: s.proved + 1, IV: random(12)}
	var z []byte
	if m.X25519 != nil {
		pair, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		theirs, err := ecdh.X25519().NewPublicKey(m.X25519)
		if err != nil {
			panic(err)
		}
		if z, err = pair.ECDH(theirs); err != nil {
			if !g.has("hello-zero") {
				return
			}
			z = make([]byte, 32)
		}
		n.X25519 = pair.PublicKey().Bytes()
		if g.has("notification-x25519") {
			n.X25519, z = nil, nil
		}
	}
	key := s.keys[s.proved]
	if g.has("notification-key") {
		key = random(32)
	}
	n.Seal(s.tk, z, wire.Hash(msg), key)
	wireBytes := n.Bytes()
	if g.has("notification-form") {
		wireBytes = append([]byte{0x98, wireBytes[0] & 0x1f}, wireBytes[1:]...)
	}
	r.answers = append(r.answers, given{msg, wireBytes})
	if len(r.answers) > 8 {
		r.answers = r.answers[1:]
	}
	g.begin(r, wireBytes)
}

// begin sends a message for the first time.
func (g *toy) begin(r *record, msg []byte) {
	r.stop()
	r.sent = 0
	g.again(r, msg, g.retry)
}

// again sends a message, five times in all.
func (g *toy) again(r *record, msg []byte, wait time.Duration) {
	most := 5
	if fault := [...]string{wire.TypeNotification: "notification-repeats", wire.TypeAuthChallenge: "auth-repeats", wire.TypeEUKeyUpdate: "update-repeats"}[readDown(msg).kind]; fault != "" && g.has(fault) {
		most = 4
	}
	if r.sent++; r.sent > most || g.lifetime.Err() != nil {
		return
	}
	g.send(msg)
	r.repeat = time.AfterFunc(wait, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.again(r, msg, 2*wait)
	})
}

func (g *toy) acknowledged(r *record, m *wire.Heard) {
	s := r.newest()
	if u := r.update; u != nil && m.Epoch == s.epoch && m.Index == u.index && m.Status == 0 {
		want := wire.Acknowledgement(s.keys[u.index-1], u.rands, m.E, g.id, m.Epoch, m.Index, wire.TypeEUKeyUpdate)
		if bytes.Equal(want, m.Raw) {
			g.proved(r, s, u.index)
			r.update = nil
		}
		return
	}
	if m.Epoch != s.epoch || m.Index != s.proved+1 || m.Index > uint64(len(s.keys)) {
		return
	}
	if m.Status != 0 {
		if g.has("ack-refusal") {
			g.proved(r, s, m.Index)
		}
		return
	}
	key := s.keys[m.Index-1]
	contexts := [][]byte{}
	for _, a := range r.answers {
		contexts = append(contexts, wire.Hash(a.hello))
	}
	if g.has("ack-hello") {
		contexts = append(contexts, nil)
	}
	gateways := []string{g.id}
	if g.has("ack-gateway") {
		gateways = append(gateways, "somebody-else")
	}
	types := []uint64{wire.TypeNotification}
	if g.has("ack-type") {
		types = append(types, wire.TypeEUKeyUpdate)
	}
	for _, c := range contexts {
		for _, id := range gateways {
			for _, kind := range types {
				if bytes.Equal(wire.Acknowledgement(key, c, m.E, id, m.Epoch, m.Index, kind), m.Raw) || g.has("ack-mac") {
					g.proved(r, s, m.Index)
					return
				}
			}
		}
	}
}

func (g *toy) proved(r *record, s *held, index uint64) {
	s.proved = index
	r.stop()
	r.answers = nil
	g.save(r)
}

func (g *toy) challenge(r *record, e string) {
	if r.challenge == nil || g.has("auth-open") {
		r.challenge = random(16)
	}
	msg := wire.AuthChallenge(e, g.id, r.challenge)
	if g.has("auth-challenge") {
		msg = append([]byte{0x98, 4}, msg[1:]...)
	}
	g.begin(r, msg)
}

func (g *toy) responded(r *record, m *wire.Heard) {
	s := r.newest()
	if r.challenge == nil || m.Epoch != s.epoch || m.Index == 0 || m.Index > uint64(len(s.keys)) || r.alarm {
		return
	}
	key := s.keys[m.Index-1]
	randGW := r.challenge
	proves := func(id string, c []byte) bool {
		return bytes.Equal(wire.AuthResponse(key, m.E, id, c, m.Nonce, m.Epoch, m.Index), m.Raw)
	}
	switch {
	case proves(g.id, r.challenge):
	case g.has("auth-false") && proves("somebody-else", r.challenge):
	case g.has("auth-replayed") && r.former != nil && proves(g.id, r.former):
		randGW = r.former
	default:
		return
	}
	r.former, r.challenge = randGW, nil
	r.stop()
	if m.Index < s.proved {
		r.alarm = true
		g.save(r)
		return
	}
	later := m.Index > s.proved
	if later {
		if g.has("auth-lost-ack") {
			return
		}
		g.proved(r, s, m.Index)
	}
	u := wire.EUKeyUpdate{E: m.E, Epoch: s.epoch, Index: m.Index, IV: random(12)}
	var next []byte
	if (r.advance && !g.has("auth-next") || g.has("auth-stays") && !later) && m.Index < uint64(len(s.keys)) {
		u.Index++
		next = s.keys[m.Index]
	}
	r.advance = false
	u.Seal(s.tk, key, g.id, randGW, m.Nonce, next)
	r.update = &offered{append(slices.Clone(randGW), m.Nonce...), u.Index}
	if g.has("auth-unacknowledged") && next != nil {
		g.proved(r, s, u.Index)
	}
	g.begin(r, u.Bytes())
}

func (g *toy) authenticate(_ context.Context, e string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.records[e]
	if r == nil {
		return errors.New("no such device")
	}
	r.advance = true
	g.challenge(r, e)
	return nil
}

func (g *toy) state(_ context.Context, e string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.records[e]
	if r == nil {
		return "unknown", nil
	}
	if r.alarm {
		return "ALARM", nil
	}
	return strconv.FormatUint(r.newest().proved, 10), nil
}
