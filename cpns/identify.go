package cpns

// Identify, PN GW -> PNE: who is there? A PNE answers with a [Hello].
//
//	identify = [0, 1, e / null]
type Identify struct {
	Entity EntityID // "" asks everybody, null on the wire
}

type identifyArray struct {
	_       struct{} `cbor:",toarray"`
	Type    MessageType
	Version uint8
	Entity  *EntityID
}

// MessageType is TypeIdentify.
func (*Identify) MessageType() MessageType { return TypeIdentify }

// Marshal encodes the message.
func (m *Identify) Marshal() ([]byte, error) {
	w := identifyArray{Type: TypeIdentify, Version: Version}
	if m.Entity != "" {
		w.Entity = &m.Entity
	}
	return encodeMessage(TypeIdentify, &w)
}

func parseIdentify(b []byte) (*Identify, error) {
	var w identifyArray
	if err := decodeMessage(b, &w); err != nil {
		return nil, err
	}
	if w.Entity == nil {
		return &Identify{}, nil
	}
	return &Identify{Entity: *w.Entity}, nil
}

func (w *identifyArray) check() error {
	if err := checkVersion(w.Version); err != nil {
		return err
	}
	if w.Entity == nil {
		return nil
	}
	return w.Entity.check()
}
