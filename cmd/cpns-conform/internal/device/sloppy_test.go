package device

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"io"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// A sloppy is a PNE that does one thing wrong: the one that the case of that name is
// there to find. Without a fault it does everything right. It stands apart from cpns/pne
// on purpose: that one cannot be made to do wrong.
type sloppy struct {
	fault    string
	e        string
	tk       []byte
	x25519   bool
	volatile bool

	flash flash // what it holds through a power cut

	// All else goes with the power.
	ram
	power chan chan struct{} // cuts it, and gives it back when answered
}

// flash is what a sloppy keeps. Only some faults have more than the first four there.
type flash struct {
	g            string
	epoch, index uint64
	key          []byte

	pair    *ecdh.PrivateKey
	taken   exchanged
	open    opened
	history []exchanged // all that were taken
}

type exchanged struct{ msg, reply []byte }

type opened struct {
	exchanged
	randGW, randPNE []byte
}

type ram struct {
	held struct {
		g            string
		epoch, index uint64
		key          []byte
		said         uint64 // the index that hellos say, where that is another
	}
	hello    []byte // nil where it is spent
	made     time.Time
	older    [][]byte // hellos from before, latest first
	spent    []byte
	pair     *ecdh.PrivateKey
	taken    exchanged   // the notification or update taken last
	takenN   exchanged   // the notification taken last, where that is kept apart
	again    int         // repeats of taken
	recent   []exchanged // all that were taken since it was switched on
	open     opened      // the challenge
	closed   opened      // the one that its update has closed
	replaced opened
	nonces   int
	nonce    []byte
	randPNE  []byte

	next, answer time.Time // hellos that are due; zero for none
	pause        time.Duration
	named        bool // answer is to an identify with its name

	other    string // whose turn it is
	until    time.Time
	byte_    time.Time // when the last came in
	deframer transport.Deframer
	stray    bytes.Buffer
	lose     int // frames
	zeros    int
	late     []delayed
}

type delayed struct {
	at   time.Time
	msg  []byte
	then func()
}

func (s *sloppy) bad(fault string) bool { return s.fault == fault }

// live is its life on a line, until ctx ends.
func (s *sloppy) live(ctx context.Context, line *end) {
	s.boot()
	for {
		timer := time.NewTimer(time.Until(s.due()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case back := <-s.power:
			s.ram = ram{}
			s.cut()
			<-back
			s.boot()
		case chunk := <-line.in:
			s.byte_ = time.Now()
			s.feed(chunk, func(msg []byte) { s.handle(msg, func(m []byte) { s.send(line, m) }) })
		case <-timer.C:
			s.act(func(m []byte) { s.send(line, m) })
		}
		timer.Stop()
	}
}

func (s *sloppy) send(line *end, msg []byte) {
	frame := wire.Frame(msg)
	if s.bad("stream-frame") {
		frame = frame[1:]
	}
	line.Write(frame)
}

// cut is what a power cut does to the flash.
func (s *sloppy) cut() {
	if s.volatile {
		s.flash = flash{epoch: s.flash.epoch, history: s.flash.history}
	}
}

func (s *sloppy) boot() {
	f := &s.flash
	s.held.g, s.held.epoch, s.held.index, s.held.key = f.g, f.epoch, f.index, f.key
	if s.bad("power-forgets-notification") {
		s.taken = f.taken
	}
	if s.bad("power-forgets-challenge") {
		s.open = f.open
	}
	if s.bad("power-x25519") {
		s.pair = f.pair
	}
	s.next = time.Now()
}

// due is when it has to act next.
func (s *sloppy) due() time.Time {
	at := time.Now().Add(time.Hour)
	if !s.next.IsZero() {
		at = s.next
	}
	if !s.answer.IsZero() && s.answer.Before(at) {
		at = s.answer
	}
	if len(s.late) > 0 && s.late[0].at.Before(at) {
		return s.late[0].at
	}
	return at
}

// act does what is due.
func (s *sloppy) act(send func([]byte)) {
	now := time.Now()
	if len(s.late) > 0 && !s.late[0].at.After(now) {
		s.late[0].then()
		send(s.late[0].msg)
		s.late = s.late[1:]
		return
	}
	unasked := !s.next.IsZero() && !s.next.After(now)
	asked := !s.answer.IsZero() && !s.answer.After(now)
	if !unasked && !asked {
		return
	}
	at := now
	if !(s.named && asked) || s.bad("line-spoken-to") {
		if !s.bad("line-turn") && s.until.After(at) {
			at = s.until
		}
		if quiet := s.byte_.Add(20 * time.Millisecond); !s.bad("line-silence") && !s.named && quiet.After(at) {
			at = quiet
		}
	}
	same := s.sayAgain(now)
	if spaced := s.made.Add(time.Second); !(same && asked && !unasked) && !s.bad("hello-spacing") && spaced.After(at) && !(s.bad("hello-same") && s.hello != nil) {
		at = spaced
	}
	if at.After(now) {
		if asked {
			s.answer = at
		}
		if unasked {
			s.next = at
		}
		return
	}
	s.answer, s.named = time.Time{}, false
	if unasked {
		s.goOn(now)
	} else if same {
		send(s.hello)
		return
	}
	send(s.newHello(now))
}

// sayAgain reports whether an identify gets the same hello.
func (s *sloppy) sayAgain(now time.Time) bool {
	age := 10 * time.Second
	if s.bad("hello-after-10s") {
		age = time.Minute
	}
	if s.hello == nil || now.Sub(s.made) >= age || s.bad("hello-same") {
		return false
	}
	h, _ := wire.Read(s.hello)
	epoch, index := s.says()
	return h.Epoch == epoch && h.Index == index
}

func (s *sloppy) goOn(now time.Time) {
	switch {
	case s.pause == 0:
		s.pause = 5 * time.Second
	case !s.bad("power-pacing"):
		s.pause = min(2*s.pause, 10*time.Minute)
	}
	wait := s.pause - mathrand.N(s.pause/2)
	if s.bad("power-pacing") {
		wait = 2600 * time.Millisecond
	}
	s.next = now.Add(wait)
}

// says is what a hello says is held.
func (s *sloppy) says() (epoch, index uint64) {
	if s.held.key == nil {
		return 0, 0
	}
	if s.held.said != 0 {
		return s.held.epoch, s.held.said
	}
	return s.held.epoch, s.held.index
}

func (s *sloppy) newHello(now time.Time) []byte {
	epoch, index := s.says()
	if s.nonce == nil || s.nonces%2 == 0 || now.Sub(s.made) > 5*time.Second || !s.bad("hello-fresh") {
		s.nonce = random(16)
	}
	s.nonces++
	if s.bad("power-hello") {
		s.nonce = wire.Hash([]byte{byte(s.nonces)})[:16]
	}
	h := wire.Hello{E: s.e, Nonce: s.nonce, Epoch: epoch, Index: index, Algs: []int64{24}}
	if s.bad("hello-algorithms") {
		h.Algs = []int64{1, -7}
	}
	if s.x25519 {
		if s.pair == nil {
			s.pair, _ = ecdh.X25519().GenerateKey(rand.Reader)
			s.flash.pair = s.pair
		}
		h.X25519 = s.pair.PublicKey().Bytes()
	}
	tk := s.tk
	if s.bad("hello-tag") {
		tk = append(slices.Clone(tk), 0)
	}
	msg := h.Bytes(tk)
	if s.bad("hello-bytes") { // the nonce's length in two bytes
		i := bytes.Index(msg, append([]byte{0x50}, h.Nonce...))
		msg = slices.Concat(msg[:i], []byte{0x58, 0x10}, msg[i+1:])
	}
	if s.hello != nil {
		s.older = append([][]byte{s.hello}, s.older...)
	}
	s.hello, s.made = msg, now
	if s.bad("notification-repeat-late") {
		s.taken = exchanged{}
	}
	return msg
}

// save keeps what is held.
func (s *sloppy) save(g string, epoch, index uint64, key []byte) {
	s.held.g, s.held.epoch, s.held.index, s.held.key, s.held.said = g, epoch, index, key, 0
	s.flash.g, s.flash.epoch, s.flash.index, s.flash.key = g, epoch, index, key
}

// ---- What comes in.

func (s *sloppy) feed(chunk []byte, emit func([]byte)) {
	if s.bad("stream-bytewise") {
		s.deframer = transport.Deframer{}
	}
	one := false
	message := func(msg []byte) {
		if one && s.bad("stream-together") {
			return
		}
		one = true
		if s.lose > 0 {
			s.lose--
			return
		}
		emit(bytes.Clone(msg))
	}
	for _, b := range chunk {
		if b != 0 {
			s.stray.WriteByte(b)
			s.zeros = 0
		} else {
			if s.zeros++; s.zeros == 100 && s.bad("stream-empty") {
				s.lose = 1
			}
			frame := bytes.Clone(s.stray.Bytes())
			s.stray.Reset()
			s.strayFrame(frame, emit)
		}
		s.deframer.Feed([]byte{b}, message)
	}
}

// strayFrame is where faults with frames are, that the Deframer has not.
func (s *sloppy) strayFrame(frame []byte, emit func([]byte)) {
	decodes := func(frame []byte) (msg []byte, ok bool) {
		var d transport.Deframer
		d.Feed(slices.Concat([]byte{0}, frame, []byte{0}), func(m []byte) { msg, ok = bytes.Clone(m), true })
		return msg, ok
	}
	if _, ok := decodes(frame); ok || len(frame) == 0 {
		return
	}
	switch {
	case s.bad("stream-half-frame") && len(frame) < 39,
		s.bad("stream-noise") && len(frame) >= 39 && len(frame) <= 517,
		s.bad("stream-giant") && len(frame) > 517:
		s.lose = 1
	case s.bad("stream-fcs"):
		// Which it would be, but for the last two bytes.
		want := wire.Identify(s.e)
		if good := wire.Frame(want); len(frame) > 4 && bytes.Equal(frame[:len(frame)-4], good[1:len(good)-5]) {
			emit(want)
		}
	case s.bad("stream-cobs"):
		for _, more := range []byte{1, 2, 100} {
			fixed := bytes.Clone(frame)
			fixed[0] -= more
			if msg, ok := decodes(fixed); ok {
				emit(msg)
			}
		}
	}
}

// items decodes a message. What is not in its right form is nil, but for the fault.
func (s *sloppy) items(msg []byte) []any {
	item, rest, err := wire.Decode(msg)
	items, ok := item.([]any)
	if _, strict := cpns.ParseMessage(msg); strict == nil {
		return items
	}
	if tagged, is := item.(wire.TaggedItem); is && s.bad("cbor-tag") {
		if list, is := tagged.Item.([]any); is && len(list) == 3 && list[2] == s.e {
			return list
		}
	}
	if err != nil || !ok || len(items) < 3 {
		return nil
	}
	kind, ok := items[0].(uint64)
	switch {
	case ok && kind == wire.TypeIdentify:
		return s.laxIdentify(msg, items, rest)
	case ok && kind == wire.TypeNotification && len(rest) == 0 && len(items) >= 6:
		return s.laxNotification(items)
	}
	return nil
}

// laxIdentify is an identify for the device that is not in its right form, where the
// fault is to take it.
func (s *sloppy) laxIdentify(msg []byte, items []any, rest []byte) []any {
	version, number := items[1].(uint64)
	e, text := items[2].(string)
	raw, _ := items[2].([]byte)
	three, ours, open, trailing := len(items) == 3, text && e == s.e, msg[0] == 0x9f, len(rest) > 0
	right := three && ours && version == 1
	switch {
	case s.bad("identify-version") && three && ours && number && version != 1 && !open && !trailing,
		s.bad("cbor-long") && right && !open && !trailing,
		s.bad("cbor-indefinite") && right && open,
		s.bad("cbor-trailing") && right && trailing,
		s.bad("cbor-elements") && len(items) == 4 && ours,
		s.bad("cbor-kind") && three && string(raw) == s.e:
		return []any{uint64(wire.TypeIdentify), uint64(1), s.e}
	}
	return nil
}

// laxNotification is a notification in its right form, where the fault is to take what
// is wrong with it, and nothing else is.
func (s *sloppy) laxNotification(items []any) []any {
	object := items[5]
	tagged, isTagged := object.(wire.TaggedItem)
	if isTagged {
		object = tagged.Item
	}
	parts, ok := object.([]any)
	if !ok || len(parts) != 3 {
		return nil
	}
	header, _ := parts[0].([]byte)
	unprotected, _ := parts[1].(wire.MapItem)
	ciphertext, _ := parts[2].([]byte)
	var iv []byte
	for i := 0; i+1 < len(unprotected); i += 2 {
		if unprotected[i] == uint64(5) {
			iv, _ = unprotected[i+1].([]byte)
		}
	}
	fault := "cose-long"
	switch {
	case isTagged:
		fault = "cose-tag"
	case len(unprotected) > 2:
		fault = "cose-header"
	case !bytes.Equal(header, wire.ProtectedEncrypt0):
		fault = "cose-algorithm"
	case len(iv) != 12:
		fault = "cose-iv"
	}
	if !s.bad(fault) {
		return nil
	}
	n := wire.Notification{IV: append(bytes.Clone(iv), 0)[:12], Ciphertext: ciphertext}
	n.E, _ = items[1].(string)
	n.G, _ = items[2].(string)
	n.Epoch, _ = items[3].(uint64)
	n.Index, _ = items[4].(uint64)
	if len(items) > 6 {
		n.X25519, _ = items[6].([]byte)
	}
	if _, err := cpns.ParseMessage(n.Bytes()); err != nil {
		return nil
	}
	item, _, _ := wire.Decode(n.Bytes())
	return item.([]any)
}

func (s *sloppy) handle(msg []byte, send func([]byte)) {
	items := s.items(msg)
	if items == nil {
		s.undecodable(msg, send)
		return
	}
	if len(msg) > 256 {
		if s.bad("message-long") {
			send(wire.Refusal(s.e, 2, items[3].(uint64), items[4].(uint64)))
		}
		return
	}
	switch items[0].(uint64) {
	case wire.TypeIdentify:
		s.identify(items[2])
	case wire.TypeNotification:
		s.turn(items)
		reply := s.notification(msg, items)
		switch {
		case reply == nil:
		case s.bad("notification-in-time"):
			s.late = append(s.late, delayed{time.Now().Add(700 * time.Millisecond), reply, func() {}})
		case s.bad("power-cut") && s.flash.index > 1 && len(s.late) == 0:
			// The index is written, the key is not yet.
			key := s.flash.key
			s.flash.key = random(32)
			s.late = append(s.late, delayed{time.Now().Add(50 * time.Millisecond), reply, func() { s.flash.key = key }})
		default:
			send(reply)
		}
	case wire.TypeAuthChallenge:
		s.turn(items)
		if reply := s.challenge(msg, items); reply != nil {
			send(reply)
		}
	case wire.TypeEUKeyUpdate:
		s.turn(items)
		if reply := s.update(msg, items); reply != nil {
			send(reply)
		}
	default:
		if e, _ := items[1].(string); e != "" && e == s.other || items[0] == uint64(1) && items[2] == s.other {
			s.until = time.Time{}
			if s.bad("line-answered") {
				s.until = time.Now().Add(5 * time.Second)
			}
		}
		if s.bad("own-messages") && items[0] == uint64(1) && items[2] == s.e {
			s.answer, s.named = time.Now(), true
		}
	}
}

func (s *sloppy) undecodable(msg []byte, send func([]byte)) {
	item, _, err := wire.Decode(msg)
	items, _ := item.([]any)
	number := func(i int) uint64 {
		if i < len(items) {
			n, _ := items[i].(uint64)
			return n
		}
		return 0
	}
	switch {
	case s.bad("garbage") && err != nil && len(msg) >= 200, // what is not left to chance among them: arrays in arrays
		s.bad("unknown-type") && err == nil && number(0) > 6 && len(items) == 4:
		send(wire.Refusal(s.e, 1, 1, 1))
	case s.bad("number-range") && len(items) == 6 && (number(4) > 1024 || number(3) > 1<<32-1):
		send(wire.Refusal(s.e, 2, 1, 1))
	case s.bad("gateway-name") && len(items) == 6:
		if g, _ := items[2].(string); len(g) == 0 || len(g) > 64 {
			send(wire.Refusal(s.e, 1, 1, 1))
		}
	case s.bad("update-used-up") && number(0) == wire.TypeEUKeyUpdate && number(3) > 1024:
		send(wire.Refusal(s.e, 2, number(2), number(3)))
	}
}

// turn gives another its turn.
func (s *sloppy) turn(items []any) {
	if e, _ := items[1].(string); e != s.e {
		s.other, s.until = e, time.Now().Add(600*time.Millisecond)
	}
}

func (s *sloppy) identify(who any) {
	now := time.Now()
	e, named := who.(string)
	switch {
	case named && (e == s.e || s.bad("hello-for-another") && len(e) > len(s.e) && e[:len(s.e)] == s.e):
		s.answer, s.named = now, true
		if s.bad("hello-at-once") {
			s.answer = now.Add(700 * time.Millisecond)
		}
	case named:
		s.other, s.until = e, now.Add(600*time.Millisecond)
	case s.answer.IsZero():
		wait := mathrand.N(time.Second)
		switch {
		case s.bad("hello-everybody"):
			wait = 1600*time.Millisecond + mathrand.N(300*time.Millisecond)
		case s.bad("hello-everybody-random"):
			wait = 300 * time.Millisecond
		}
		s.answer = now.Add(wait)
	}
}

func (s *sloppy) notification(msg []byte, items []any) []byte {
	e, g := items[1].(string), items[2].(string)
	epoch, index := items[3].(uint64), items[4].(uint64)
	if e != s.e && !s.bad("notification-for-another") {
		return nil
	}
	if reply := s.repeated(msg, &s.taken); reply != nil {
		return reply
	}
	if s.bad("notification-forgotten") && bytes.Equal(msg, s.takenN.msg) {
		return s.takenN.reply
	}
	if s.bad("notification-longest") && len(g) > 63 {
		return nil
	}
	refuse := func(status uint64) []byte { return s.refuse(status, epoch, index) }
	hello := s.hello
	if hello == nil {
		if !s.bad("notification-spent") || s.spent == nil {
			return nil
		}
		hello = s.spent
		refuse = func(uint64) []byte { return nil }
	}
	key, status := s.openNotification(msg, items, e, g, epoch, index, hello)
	if status != 0 {
		return refuse(status)
	}
	if key == nil { // the recorded one, that the fault takes again
		return wire.Acknowledgement(s.held.key, wire.Hash(hello), s.e, s.held.g, s.held.epoch, s.held.index, wire.TypeNotification)
	}
	s.noteOpened()
	holds := s.held.key != nil
	switch {
	case epoch < s.held.epoch && !s.bad("notification-stale-epoch"):
		return refuse(2)
	case epoch == s.held.epoch && holds && index <= s.held.index:
		if s.bad("notification-stale-index") {
			return refuse(3)
		}
		return refuse(2)
	case epoch == s.held.epoch && !holds && s.bad("power-volatile"):
		return refuse(2)
	case epoch == s.held.epoch && holds && !s.leads(key, index):
		return refuse(3)
	}
	s.next = time.Time{}
	first := epoch > s.held.epoch && index == 3
	gateway := g
	if s.bad("notification-new-gateway") && s.held.g != "" {
		gateway = s.held.g
	}
	s.save(gateway, epoch, index, key)
	if first && s.bad("hello-holds") {
		s.held.said = 1
	}
	t := uint64(wire.TypeNotification)
	if s.bad("notification-taken") {
		t = wire.TypeEUKeyUpdate
	}
	reply := wire.Acknowledgement(key, wire.Hash(hello), s.e, g, epoch, index, t)
	s.keep(msg, reply)
	s.takenN = s.taken
	s.spent, s.hello = s.hello, nil
	if s.spent != nil {
		s.older = append([][]byte{s.spent}, s.older...)
	}
	if !s.bad("x25519-wiped") {
		s.pair = nil
	}
	if !s.bad("notification-ends-challenge") {
		s.open, s.closed = opened{}, opened{}
	}
	return reply
}

// noteOpened ends the hellos, where that is due.
func (s *sloppy) noteOpened() {
	if s.held.key != nil && !s.bad("power-opened") {
		s.next = time.Time{}
	}
}

// repeated is the answer to a message that was answered before; nil where it was not.
func (s *sloppy) repeated(msg []byte, x *exchanged) []byte {
	if x.msg == nil || !bytes.Equal(msg, x.msg) {
		return nil
	}
	if s.again++; s.again > 1 && s.bad("notification-repeat") {
		return nil
	}
	return x.reply
}

func (s *sloppy) keep(msg, reply []byte) {
	s.taken, s.again = exchanged{msg, reply}, 0
	s.flash.taken = s.taken
	s.flash.history = append(s.flash.history, s.taken)
	s.recent = append(s.recent, s.taken)
}

func (s *sloppy) refuse(status, epoch, index uint64) []byte {
	if s.bad("notification-after-refusal") {
		s.hello = nil
	}
	if s.bad("challenge-undisturbed") {
		s.open = opened{}
	}
	if s.bad("refusal-changes-nothing") && epoch > s.held.epoch && status == 1 {
		s.held.epoch = epoch
	}
	if s.bad("power-unopened") {
		s.next = time.Time{}
	}
	if s.bad("refusal-bytes") {
		return wire.Refusal(s.e, status, s.held.epoch, max(s.held.index, 1))
	}
	return wire.Refusal(s.e, status, epoch, index)
}

// openNotification gives the key, or a status. Neither is for a notification that was
// taken once.
func (s *sloppy) openNotification(msg []byte, items []any, e, g string, epoch, index uint64, hello []byte) (key []byte, status uint64) {
	n := wire.Notification{E: e, G: g, Epoch: epoch, Index: index}
	object := items[5].([]any)
	iv, ciphertext := object[1].(wire.MapItem)[1].([]byte), object[2].([]byte)
	if len(items) > 6 {
		n.X25519 = items[6].([]byte)
	}
	var z []byte
	switch {
	case s.x25519 && n.X25519 == nil:
		if !s.bad("x25519-missing") {
			return nil, 1
		}
	case !s.x25519 && n.X25519 != nil:
		if !s.bad("x25519-superfluous") {
			return nil, 1
		}
	case s.x25519:
		if s.bad("x25519-high-bit") && n.X25519[31]&0x80 != 0 {
			return nil, 1
		}
		public, _ := ecdh.X25519().NewPublicKey(n.X25519)
		var err error
		if z, err = s.pair.ECDH(public); err != nil {
			if !s.bad("x25519-zero") {
				return nil, 1
			}
			z = make([]byte, 32)
		}
	}
	open := func(n wire.Notification, hello []byte) ([]byte, bool) {
		return wire.Open(wire.NotificationKey(s.tk, z, wire.Hash(hello), e), iv, n.AAD(), ciphertext)
	}
	key, ok := open(n, hello)
	switch {
	case ok && len(key) == 32:
		return key, 0
	case ok && s.bad("notification-key-size"):
		return nil, 2
	case ok:
		return nil, 1
	}
	// What was changed on the way, for those who do not look.
	for _, was := range []wire.Notification{
		{E: e, G: g[:len(g)-1], Epoch: epoch, Index: index, X25519: n.X25519},
		{E: e, G: g, Epoch: epoch - 1, Index: index, X25519: n.X25519},
		{E: e, G: g, Epoch: epoch, Index: index - 1, X25519: n.X25519},
	} {
		if key, ok := open(was, hello); ok {
			if s.bad("notification-bound") {
				return key, 0
			}
			return nil, 1
		}
	}
	for _, taken := range s.flash.history {
		if bytes.Equal(msg, taken.msg) {
			recent := slices.ContainsFunc(s.recent, func(x exchanged) bool { return bytes.Equal(x.msg, msg) })
			if recent && s.bad("notification-replay") {
				return nil, 0
			}
			return nil, 1
		}
	}
	for _, older := range s.older[:min(len(s.older), 3)] {
		if key, ok := open(n, older); ok {
			if s.bad("notification-older-hello") {
				return key, 0
			}
			return nil, 1
		}
	}
	if s.bad("notification-wrong-tk") {
		return nil, 2
	}
	return nil, 1
}

// leads reports whether key, of a higher index, is of the chain that the key held is of.
func (s *sloppy) leads(key []byte, index uint64) bool {
	steps := index - s.held.index
	if s.bad("notification-skip") && steps > 100 {
		return false
	}
	back := func(n uint64) []byte {
		k := key
		for range n {
			k = wire.Hash(k)
		}
		return k
	}
	if s.bad("notification-chain") && bytes.Equal(back(steps+1), s.held.key) {
		return true
	}
	return bytes.Equal(back(steps), s.held.key)
}

func (s *sloppy) challenge(msg []byte, items []any) []byte {
	e, g, randGW := items[1].(string), items[2].(string), items[3].([]byte)
	if e != s.e && !s.bad("challenge-for-another") {
		return nil
	}
	key := s.held.key
	if key == nil && s.bad("power-no-key") {
		return wire.AuthResponse(make([]byte, 32), s.e, g, randGW, random(16), 1, 1)
	}
	if key == nil || g != s.held.g && !(s.bad("challenge-wrong-gateway") && len(g) > len(s.held.g) && g[:len(s.held.g)] == s.held.g) {
		return nil
	}
	if bytes.Equal(msg, s.open.msg) && !s.bad("challenge-repeat") {
		return s.open.reply
	}
	if bytes.Equal(msg, s.closed.msg) && s.bad("challenge-again") {
		return s.closed.reply
	}
	randPNE := random(16)
	if s.bad("challenge-fresh") {
		if s.randPNE == nil {
			s.randPNE = randPNE
		}
		randPNE = s.randPNE
	}
	reply := wire.AuthResponse(key, s.e, g, randGW, randPNE, s.held.epoch, s.held.index)
	if s.bad("challenge-answered") {
		reply = wire.AuthResponse(key, s.e, g, randPNE, randGW, s.held.epoch, s.held.index)
		reply = bytes.Replace(reply, wire.Bytes(randGW), wire.Bytes(randPNE), 1)
	}
	s.replaced = s.open
	s.open = opened{exchanged{msg, reply}, randGW, randPNE}
	s.flash.open = s.open
	if s.bad("notification-repeat-late") {
		s.taken = exchanged{}
	}
	return reply
}

func (s *sloppy) update(msg []byte, items []any) []byte {
	e, epoch, index := items[1].(string), items[2].(uint64), items[3].(uint64)
	if e != s.e && !s.bad("update-for-another") {
		return nil
	}
	if bytes.Equal(msg, s.taken.msg) && s.taken.msg != nil {
		if s.bad("update-repeat") {
			return nil
		}
		return s.taken.reply
	}
	open := s.open
	if open.msg == nil && s.bad("update-unasked") {
		open = s.closed
	}
	if open.msg == nil {
		return nil
	}
	refuse := func(status uint64) []byte {
		if s.bad("update-after-refusal") {
			s.open = opened{}
		}
		return wire.Refusal(s.e, status, epoch, index)
	}
	object := items[4].([]any)
	iv, ciphertext := object[1].(wire.MapItem)[1].([]byte), object[2].([]byte)
	try := func(g string, c *opened, index uint64) ([]byte, bool) {
		u := wire.EUKeyUpdate{E: e, Epoch: epoch, Index: index}
		return wire.Open(wire.UpdateKey(s.tk, s.held.key, c.randGW, c.randPNE, e), iv, u.AAD(g, c.randGW, c.randPNE), ciphertext)
	}
	key, ok := try(s.held.g, &open, index)
	if !ok {
		if k, opens := try("another", &open, index); opens {
			if !s.bad("update-wrong-gateway") {
				return refuse(1)
			}
			key, ok = k, true
		} else if _, opens := try(s.held.g, &open, index-1); opens {
			return refuse(1)
		} else if k, opens := try(s.held.g, &s.replaced, index); opens && s.replaced.msg != nil {
			if !s.bad("challenge-replaced") {
				return refuse(1)
			}
			key, ok = k, true
		}
	}
	if !ok {
		for _, taken := range s.flash.history {
			if bytes.Equal(taken.msg, msg) {
				if s.bad("update-replay") {
					return taken.reply
				}
				return refuse(1)
			}
		}
		if s.bad("update-wrong-key") {
			return refuse(2)
		}
		return refuse(1)
	}
	s.noteOpened()
	steps := uint64(0)
	switch {
	case epoch != s.held.epoch:
		return refuse(2)
	case len(key) == 32 && index == s.held.index+1:
		steps = 1
	case len(key) == 32 && index == s.held.index+2 && s.bad("update-stale"):
		steps = 2
	case len(key) == 0 && index == s.held.index:
	case len(key) != 0 && len(key) != 32 && s.bad("update-key-size"):
		return refuse(1)
	default:
		return refuse(2)
	}
	back := key
	for range steps {
		back = wire.Hash(back)
	}
	if steps > 0 && !bytes.Equal(back, s.held.key) {
		if s.bad("update-chain") {
			return refuse(2)
		}
		return refuse(3)
	}
	proved, t := s.held.key, uint64(wire.TypeEUKeyUpdate)
	if steps > 0 {
		proved = key
		switch {
		case s.bad("power-stored"):
			before := s.flash
			s.save(s.held.g, epoch, index, key)
			s.flash = before
		case !s.bad("update-moves"):
			s.save(s.held.g, epoch, index, key)
		}
	}
	if s.bad("update-taken") && steps > 0 || s.bad("update-stay") && steps == 0 {
		t = wire.TypeNotification
	}
	reply := wire.Acknowledgement(proved, slices.Concat(open.randGW, open.randPNE), s.e, s.held.g, epoch, index, t)
	s.keep(msg, reply)
	s.closed, s.open, s.randPNE = open, opened{}, nil
	s.flash.open = opened{}
	return reply
}

// ---- A line in memory.

// An end is one end of it: a Port.
type end struct {
	in   <-chan []byte
	out  chan<- []byte
	rest []byte

	mu   sync.Mutex
	over chan struct{} // closed by SetDeadline in the past, and by Close
}

// newLine is a line's two ends.
func newLine() (a, b *end) {
	ab, ba := make(chan []byte, 64), make(chan []byte, 64)
	return &end{in: ba, out: ab, over: make(chan struct{})}, &end{in: ab, out: ba, over: make(chan struct{})}
}

func (e *end) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		select {
		case e.rest = <-e.in:
		case <-e.over:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func (e *end) Write(p []byte) (int, error) {
	select {
	case e.out <- bytes.Clone(p):
		return len(p), nil
	case <-e.over:
		return 0, io.ErrClosedPipe
	}
}

func (e *end) SetDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		return e.Close()
	}
	return nil
}

func (e *end) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.over:
	default:
		close(e.over)
	}
	return nil
}
