package admin

import (
	"context"
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// What server.Operator does for users, gateways and tokens: the comments are there.

// AddUser sends the hashes: the password never leaves the client.
func (c *Client) AddUser(ctx context.Context, id cpns.UserID, h *server.PasswordHashes) error {
	return c.change(ctx, http.MethodPost, "/users", &newUser{User: id, secret: secret{Hashes: &hashes{h.NFC[:], h.NFD[:]}}})
}

func (c *Client) SetPassword(ctx context.Context, id cpns.UserID, h *server.PasswordHashes) error {
	return c.change(ctx, http.MethodPut, pathOf("/users/", string(id), "/password"), &secret{Hashes: &hashes{h.NFC[:], h.NFD[:]}})
}

func (c *Client) Unlock(ctx context.Context, id cpns.UserID) (bool, error) {
	return c.whether(ctx, http.MethodPost, pathOf("/users/", string(id), "/unlock"), nil)
}

func (c *Client) SetDisabled(ctx context.Context, id cpns.UserID, disabled bool) (bool, error) {
	what := "/enable"
	if disabled {
		what = "/disable"
	}
	return c.whether(ctx, http.MethodPost, pathOf("/users/", string(id), what), nil)
}

func (c *Client) RemoveUser(ctx context.Context, id cpns.UserID) error {
	return c.change(ctx, http.MethodDelete, pathOf("/users/", string(id)), nil)
}

func (c *Client) Users(ctx context.Context, wanted server.UserFilter, f func(server.UserStatus) error) error {
	q := filled("state", string(wanted.State), "after", string(wanted.After))
	return eachOf(ctx, c, "/users", q, func(u *user) error { return f(u.user()) })
}

func (c *Client) User(ctx context.Context, id cpns.UserID) (server.UserStatus, error) {
	var out user
	err := c.ask(ctx, request{method: http.MethodGet, path: pathOf("/users/", string(id))}, &out)
	return out.user(), err
}

func (c *Client) AddGateway(ctx context.Context, id cpns.GatewayID, identity cpns.PSKIdentity, psk cpns.PSK1) error {
	return c.change(ctx, http.MethodPost, "/gateways", &newGateway{Gateway: id, PSK1: hexOf(psk), Identity: identity})
}

func (c *Client) AddGatewayIMPI(ctx context.Context, id cpns.GatewayID, impi string) error {
	return c.change(ctx, http.MethodPost, "/gateways", &newGateway{Gateway: id, IMPI: impi})
}

func (c *Client) SetIMPI(ctx context.Context, id cpns.GatewayID, impi string) error {
	return c.change(ctx, http.MethodPut, pathOf("/gateways/", string(id), "/impi"), &newIMPI{impi})
}

func (c *Client) RekeyGateway(ctx context.Context, id cpns.GatewayID, psk cpns.PSK1, overlap time.Duration) (bool, error) {
	var out rekeyedGateway
	err := c.ask(ctx, request{method: http.MethodPut, path: pathOf("/gateways/", string(id), "/psk1"), body: &newPSK1{hexOf(psk), int64(overlap / time.Second)}, once: true}, &out)
	return out.Voided, err
}

func (c *Client) RemoveGateway(ctx context.Context, id cpns.GatewayID) error {
	return c.change(ctx, http.MethodDelete, pathOf("/gateways/", string(id)), nil)
}

func (c *Client) Gateways(ctx context.Context, f func(server.Gateway, []server.PSK1) error) error {
	return eachOf(ctx, c, "/gateways", nil, func(g *gateway) error {
		is, keys, err := g.gateway()
		if err != nil {
			return err
		}
		return f(is, keys)
	})
}

func (c *Client) Pending(ctx context.Context, f func(server.Enrolment, []server.Conflict) error) error {
	return eachOf(ctx, c, "/enrolments", nil, func(e *enrolment) error {
		is, conflicts, err := e.enrolment()
		if err != nil {
			return err
		}
		return f(is, conflicts)
	})
}

func (c *Client) Approve(ctx context.Context, a server.Approval) (server.Approved, error) {
	var out approved
	err := c.ask(ctx, request{method: http.MethodPost, path: "/enrolments/approve", body: &approval{a.Fingerprint, a.Serial, a.ID, a.Replace}, once: true}, &out)
	return server.Approved(out), err
}

func (c *Client) Refuse(ctx context.Context, fingerprint string) error {
	return c.change(ctx, http.MethodPost, "/enrolments/refuse", &refusal{fingerprint})
}

func (c *Client) Invitations(ctx context.Context, f func(server.Invitation) error) error {
	return eachOf(ctx, c, "/invitations", nil, func(i *invitation) error { return f(i.invitation()) })
}

func (c *Client) MakeCode(ctx context.Context, r server.CodeRequest) (*server.Code, error) {
	in := &newCode{Gateway: r.Gateway, Introduce: r.Introduce, Server: r.Server}
	if !r.Introduce {
		in.Uses, in.Valid = r.Uses, int64(r.Valid/time.Second)
	}
	var out code
	err := c.ask(ctx, request{method: http.MethodPost, path: "/invitations", body: in, once: true}, &out)
	return out.code(), err
}

func (c *Client) Revoke(ctx context.Context, id string) error {
	return c.change(ctx, http.MethodDelete, pathOf("/invitations/", id), nil)
}

func (c *Client) AddToken(ctx context.Context, name string, role server.Role, valid time.Duration) (string, server.Credential, error) {
	return c.addCredential(ctx, &newToken{name, server.KindToken, role, int64(valid / time.Second)})
}

func (c *Client) AddCertificate(ctx context.Context, name string, role server.Role, valid time.Duration) (server.Credential, error) {
	_, made, err := c.addCredential(ctx, &newToken{name, server.KindCertificate, role, int64(valid / time.Second)})
	return made, err
}

func (c *Client) addCredential(ctx context.Context, in *newToken) (string, server.Credential, error) {
	var out tokenMade
	err := c.ask(ctx, request{method: http.MethodPost, path: "/tokens", body: in, never: true}, &out)
	return out.Token, out.credential.credential(), err
}

func (c *Client) RemoveCredential(ctx context.Context, name string) error {
	return c.change(ctx, http.MethodDelete, pathOf("/tokens/", name), nil)
}

func (c *Client) Credentials(ctx context.Context, f func(server.Credential) error) error {
	return eachOf(ctx, c, "/tokens", nil, func(k *credential) error { return f(k.credential()) })
}
