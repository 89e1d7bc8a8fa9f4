package cpns

import "fmt"

type (
	// EntityID names a PNE: 1 to 64 bytes of printable ASCII without space.
	EntityID string
	// UserID names a CPNS User: 1 to 64 bytes of printable ASCII without space.
	UserID string
	// GatewayID is a PN GW's lasting name, the one that PNEs see: 1 to 64
	// bytes of printable ASCII without space.
	GatewayID string
	// PSKIdentity names a PSK1: 1 to 128 bytes of printable ASCII without
	// space. It is the B-TID with 3GPP GBA, where it changes at every
	// bootstrapping; the server knows which gateway it stands for.
	PSKIdentity string
)

// ParseEntityID checks that s is an Entity ID.
func ParseEntityID(s string) (EntityID, error) { return checked(EntityID(s)) }

// ParseUserID checks that s is a CPNS User ID.
func ParseUserID(s string) (UserID, error) { return checked(UserID(s)) }

// ParseGatewayID checks that s is a gateway ID.
func ParseGatewayID(s string) (GatewayID, error) { return checked(GatewayID(s)) }

// ParsePSKIdentity checks that s is a PSK1 identity.
func ParsePSKIdentity(s string) (PSKIdentity, error) { return checked(PSKIdentity(s)) }

// checked returns v if its own check passes.
func checked[T interface{ check() error }](v T) (T, error) {
	if err := v.check(); err != nil {
		var none T
		return none, err
	}
	return v, nil
}

func (e EntityID) check() error  { return checkName("entity ID", string(e), maxNameLength) }
func (u UserID) check() error    { return checkName("CPNS user ID", string(u), maxNameLength) }
func (g GatewayID) check() error { return checkName("gateway ID", string(g), maxNameLength) }
func (id PSKIdentity) check() error {
	return checkName("PSK1 identity", string(id), maxPSKIdentityLength)
}

// checkName names the place of a fault, not the name itself: it may be somebody
// else's invention, and ends up in logs.
func checkName(what, s string, limit int) error {
	if len(s) == 0 {
		return fmt.Errorf("%s: empty", what)
	}
	if len(s) > limit {
		return fmt.Errorf("%s: %d bytes, at most %d", what, len(s), limit)
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return fmt.Errorf("%s: byte %d is 0x%02x, not printable ASCII without space", what, i+1, s[i])
		}
	}
	return nil
}
