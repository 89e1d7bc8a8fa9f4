package wire

import "slices"

// Types of messages.
const (
	TypeIdentify = iota
	TypeHello
	TypeNotification
	TypeAcknowledgement
	TypeAuthChallenge
	TypeAuthResponse
	TypeEUKeyUpdate
)

// Identify asks the PNE e, or with "" everybody.
func Identify(e string) []byte {
	who := Null
	if e != "" {
		who = Text(e)
	}
	return Array(Uint(TypeIdentify), Uint(1), who)
}

// A Hello is what a PNE says of itself.
type Hello struct {
	E            string
	Nonce        []byte
	Epoch, Index uint64
	Algs         []int64
	X25519       []byte // nil for none
}

// Bytes is the hello with its tag under tk.
func (h *Hello) Bytes(tk []byte) []byte { return h.With(h.TagUnder(tk)) }

// With is the hello with that tag.
func (h *Hello) With(tag []byte) []byte { return Array(append(h.items(), MAC0(tag))...) }

// TagUnder is its tag.
func (h *Hello) TagUnder(tk []byte) []byte {
	return Tag(Key(tk, h.Nonce, label("CPNS Hello", h.E)), Array(h.items()...))
}

func (h *Hello) items() [][]byte {
	var algs [][]byte
	for _, alg := range h.Algs {
		algs = append(algs, Int(alg))
	}
	items := [][]byte{Uint(TypeHello), Uint(1), Text(h.E), Bytes(h.Nonce), Uint(h.Epoch), Uint(h.Index), Array(algs...)}
	if h.X25519 != nil {
		items = append(items, Bytes(h.X25519))
	}
	return items
}

// A Notification is what is made into one. Each field may be something that no gateway
// would say.
type Notification struct {
	E, G         string
	Epoch, Index uint64
	X25519       []byte // the gateway's public key, nil for none

	IV         []byte
	Ciphertext []byte // Seal fills it in
}

// Seal seals plaintext, usually EUKey_index, for the PNE with TK, in answer to the hello
// of that hash, under the shared secret z where there is one.
func (n *Notification) Seal(tk, z, helloHash, plaintext []byte) {
	n.Ciphertext = Seal(NotificationKey(tk, z, helloHash, n.E), n.IV, n.AAD(), plaintext)
}

// NotificationKey is the key that a notification is sealed with.
func NotificationKey(tk, z, helloHash []byte, e string) []byte {
	return Key(slices.Concat(tk, z), helloHash, label("CPNS EUKey Assignment Notification", e))
}

// AAD is its external_aad.
func (n *Notification) AAD() []byte {
	items := [][]byte{Uint(TypeNotification), Text(n.E), Text(n.G), Uint(n.Epoch), Uint(n.Index)}
	if n.X25519 != nil {
		items = append(items, Bytes(n.X25519))
	}
	return Array(items...)
}

// Items are the elements of its array.
func (n *Notification) Items() [][]byte {
	items := [][]byte{Uint(TypeNotification), Text(n.E), Text(n.G), Uint(n.Epoch), Uint(n.Index), Encrypt0(n.IV, n.Ciphertext)}
	if n.X25519 != nil {
		items = append(items, Bytes(n.X25519))
	}
	return items
}

// Bytes is the message.
func (n *Notification) Bytes() []byte { return Array(n.Items()...) }

// Acknowledgement is what a PNE says to a notification (answered is TypeNotification,
// context the hash of the hello that it answered) or an update (TypeEUKeyUpdate,
// rand-gw | rand-pne) that it has taken.
func Acknowledgement(eukey, context []byte, e, g string, epoch, index uint64, answered uint64) []byte {
	aad := Array(Uint(TypeAcknowledgement), Text(e), Text(g), Uint(0), Uint(epoch), Uint(index), Uint(answered))
	tag := Tag(Key(eukey, context, label("CPNS EUKey Acknowledgement", e)), aad)
	return Array(Uint(TypeAcknowledgement), Text(e), Uint(0), Uint(epoch), Uint(index), MAC0(tag))
}

// Refusal is the acknowledgement with another status than 0.
func Refusal(e string, status, epoch, index uint64) []byte {
	return Array(Uint(TypeAcknowledgement), Text(e), Uint(status), Uint(epoch), Uint(index), Null)
}

// AuthChallenge is the gateway's.
func AuthChallenge(e, g string, randGW []byte) []byte {
	return Array(Uint(TypeAuthChallenge), Text(e), Text(g), Bytes(randGW))
}

// AuthResponse is the PNE's answer.
func AuthResponse(eukey []byte, e, g string, randGW, randPNE []byte, epoch, index uint64) []byte {
	aad := Array(Uint(TypeAuthResponse), Text(e), Text(g), Bytes(randGW), Bytes(randPNE), Uint(epoch), Uint(index))
	tag := Tag(Key(eukey, slices.Concat(randGW, randPNE), label("CPNS Mutual Authentication", e)), aad)
	return Array(Uint(TypeAuthResponse), Text(e), Bytes(randPNE), Uint(epoch), Uint(index), MAC0(tag))
}

// An EUKeyUpdate is what is made into one.
type EUKeyUpdate struct {
	E            string
	Epoch, Index uint64

	IV         []byte
	Ciphertext []byte // Seal fills it in
}

// Seal seals plaintext, the next EUKey or nothing, for the PNE with TK that holds held,
// in answer to the response with randPNE to g's challenge with randGW.
func (u *EUKeyUpdate) Seal(tk, held []byte, g string, randGW, randPNE, plaintext []byte) {
	u.Ciphertext = Seal(UpdateKey(tk, held, randGW, randPNE, u.E), u.IV, u.AAD(g, randGW, randPNE), plaintext)
}

// UpdateKey is the key that an update is sealed with.
func UpdateKey(tk, held, randGW, randPNE []byte, e string) []byte {
	return Key(slices.Concat(tk, held), slices.Concat(randGW, randPNE), label("CPNS EUKey Update", e))
}

// AAD is its external_aad.
func (u *EUKeyUpdate) AAD(g string, randGW, randPNE []byte) []byte {
	return Array(Uint(TypeEUKeyUpdate), Text(u.E), Text(g), Bytes(randGW), Bytes(randPNE), Uint(u.Epoch), Uint(u.Index))
}

// Items are the elements of its array.
func (u *EUKeyUpdate) Items() [][]byte {
	return [][]byte{Uint(TypeEUKeyUpdate), Text(u.E), Uint(u.Epoch), Uint(u.Index), Encrypt0(u.IV, u.Ciphertext)}
}

// Bytes is the message.
func (u *EUKeyUpdate) Bytes() []byte { return Array(u.Items()...) }
