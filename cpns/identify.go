package cpns

// Identify, PN GW -> PNE: who is there? A PNE answers with a [Hello].
//
//	identify = [0, 1, e / null]
type Identify struct {
	Entity EntityID // "" asks everybody, null on the wire
}

func (m *Identify) code(c *coder) {
	c.array(3)
	c.is(uint64(TypeIdentify))
	c.version()
	if c.null(m.Entity == "") {
		return
	}
	text(c, &m.Entity)
	if c.in != nil && m.Entity == "" {
		c.in.Fail(m.Entity.check()) // null is what asks everybody
	}
}

// MessageType is TypeIdentify.
func (*Identify) MessageType() MessageType { return TypeIdentify }

// Marshal encodes the message.
func (m *Identify) Marshal() ([]byte, error) { return encodeMessage(m) }

func (m *Identify) checkAll() error {
	if m.Entity == "" {
		return nil
	}
	return m.Entity.check()
}
