package cpns

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Acknowledgement, PNE -> PN GW, answers a [Notification] or an [EUKeyUpdate]:
// the PNE has stored EUKey_index, and proves it; or it has not, and says why.
//
//	acknowledgement = [3, e, status: uint, epoch, index, COSE_Mac0 / null]
//
//	key          = HKDF(EUKey_index, context, "CPNS EUKey Acknowledgement" | 0x00 | e, 32)
//	external_aad = cbor([3, e, g, 0, epoch, index, t]), t = 2 or 6, the type acknowledged
//
// The MAC is there with status 0, and only then: a failure proves nothing and
// changes nothing.
type Acknowledgement struct {
	Entity EntityID
	Status AckStatus
	Epoch  Epoch
	Index  Index
	mac    *mac0
}

// AckStatus is what a PNE made of a notification or an update.
type AckStatus uint8

// Another status than these is refused.
const (
	AckSuccess       AckStatus = 0
	AckCannotDecrypt AckStatus = 1 // it does not open in answer to the latest hello or challenge
	AckStale         AckStatus = 2 // epoch and index are not what may follow the one held
	AckChainBroken   AckStatus = 3 // the new EUKey does not lead back to the one held
	AckNotStored     AckStatus = 4 // the PNE could not keep it
)

// String is the status in words.
func (s AckStatus) String() string {
	switch s {
	case AckSuccess:
		return "success"
	case AckCannotDecrypt:
		return "cannot decrypt"
	case AckStale:
		return "stale"
	case AckChainBroken:
		return "chain broken"
	case AckNotStored:
		return "not stored"
	}
	return fmt.Sprintf("acknowledgement status %d", uint8(s))
}

func (m *Acknowledgement) code(c *coder) {
	c.array(6)
	c.is(uint64(TypeAcknowledgement))
	text(c, &m.Entity)
	number(c, &m.Status)
	number(c, &m.Epoch)
	number(c, &m.Index)
	if c.null(m.mac == nil) {
		return
	}
	if c.in != nil {
		m.mac = new(mac0)
	}
	m.mac.code(c)
}

// AckContext is what an acknowledgement acknowledges: a message of one type, and
// the exchange that it belongs to.
type AckContext struct {
	acknowledged MessageType
	salt         []byte
}

// NotificationContext is the context of a notification that answers the hello
// whose H(hello) that is.
func NotificationContext(hello *[sha256.Size]byte) AckContext {
	return AckContext{TypeNotification, hello[:]}
}

// UpdateContext is the context of an eukey-update of the authentication randGW,
// randPNE.
func UpdateContext(randGW, randPNE *[NonceSize]byte) AckContext {
	return AckContext{TypeEUKeyUpdate, authContext(randGW, randPNE)}
}

// NewAcknowledgement says to g that e holds key, EUKey_index, and has it by the
// message of the context. PNE, only after the key is stored.
func NewAcknowledgement(key *EUKey, c AckContext, e EntityID, g GatewayID, epoch Epoch, index Index) *Acknowledgement {
	m := &Acknowledgement{Entity: e, Status: AckSuccess, Epoch: epoch, Index: index}
	mac := createMAC0(m.key(key, c), m.externalAAD(c, g))
	m.mac = &mac
	return m
}

// NewFailedAcknowledgement says why e did not take the key. s is not AckSuccess.
func NewFailedAcknowledgement(s AckStatus, e EntityID, epoch Epoch, index Index) *Acknowledgement {
	return &Acknowledgement{Entity: e, Status: s, Epoch: epoch, Index: index}
}

// Verify returns nil only if e holds key and says so to g in this context. An
// acknowledgement of a failure never verifies. Errors wrap [ErrNotAuthentic]. PN
// GW: an EUKey counts as delivered only after this.
func (m *Acknowledgement) Verify(key *EUKey, c AckContext, g GatewayID) error {
	if m.Status != AckSuccess || m.mac == nil {
		return fmt.Errorf("verifying acknowledgement: %w: status %v carries no proof", ErrNotAuthentic, m.Status)
	}
	if err := m.mac.verify(m.key(key, c), m.externalAAD(c, g)); err != nil {
		return fmt.Errorf("verifying acknowledgement: %w", err)
	}
	return nil
}

func (m *Acknowledgement) key(key *EUKey, c AckContext) *[32]byte {
	return deriveKey(key[:], c.salt, labelFor(labelAcknowledgement, m.Entity))
}

func (m *Acknowledgement) externalAAD(c AckContext, g GatewayID) []byte {
	return encodeArray(TypeAcknowledgement, m.Entity, g, AckSuccess, m.Epoch, m.Index, c.acknowledged)
}

// MessageType is TypeAcknowledgement.
func (*Acknowledgement) MessageType() MessageType { return TypeAcknowledgement }

// Marshal encodes the message.
func (m *Acknowledgement) Marshal() ([]byte, error) { return encodeMessage(m) }

func (m *Acknowledgement) checkAll() error {
	if err := cmp.Or(m.Entity.check(), checkEpochIndex(m.Epoch, m.Index)); err != nil {
		return err
	}
	switch {
	case m.Status > AckNotStored:
		return fmt.Errorf("status %d, must be 0 to %d", m.Status, AckNotStored)
	case m.Status == AckSuccess && m.mac == nil:
		return errors.New("success without a MAC")
	case m.Status != AckSuccess && m.mac != nil:
		return errors.New("a failure with a MAC")
	case m.mac != nil:
		return m.mac.check()
	}
	return nil
}
