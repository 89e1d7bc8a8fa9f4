package admin

import (
	"crypto/x509"
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func invitationEndpoints() []*endpoint {
	return []*endpoint{
		asks(endpoint{id: "listInvitations", method: http.MethodGet, path: "/invitations", role: server.RoleAuditor, summary: "Enrolment codes with a secret; never the codes themselves", query: paged()}, listInvitations),
		asks(endpoint{id: "invite", method: http.MethodPost, path: "/invitations", role: server.RoleOperator, once: true, summary: "Make an enrolment code, which is shown once", success: http.StatusCreated}, invite),
		asks(endpoint{id: "revoke", method: http.MethodDelete, path: "/invitations/{id}", role: server.RoleOperator, once: true, summary: "End a code: nobody else comes in by it", problems: []int{404}}, revoke),
	}
}

// invitation is an enrolment code that was given out.
type invitation struct {
	ID      string         `json:"id"`
	Gateway cpns.GatewayID `json:"gateway" doc:"what the code says that the gateway is called, empty for nothing"`
	Uses    int            `json:"uses"`
	Used    int            `json:"used"`
	Created time.Time      `json:"created"`
	Ends    time.Time      `json:"valid_until"`
}

func invitationOf(i server.Invitation) invitation {
	return invitation{i.ID, i.Gateway, i.Uses, i.Bound, i.Created, i.Ends}
}

func (i *invitation) invitation() server.Invitation {
	return server.Invitation{ID: i.ID, Gateway: i.Gateway, Uses: i.Uses, Bound: i.Used, Created: i.Created, Ends: i.Ends}
}

func listInvitations(c *call, _ *nothing) (*list[invitation], error) {
	most, err := c.limit()
	if err != nil {
		return nil, err
	}
	rows, err := c.op.InvitationsAfter(c.ctx, c.param("after"), most)
	return pageOf(rows, most, invitationOf, func(i server.Invitation) string { return i.ID }), err
}

type newCode struct {
	Gateway   cpns.GatewayID `json:"gateway,omitempty" doc:"what the gateway will be called; then uses is 1"`
	Uses      int            `json:"uses,omitempty" doc:"1 to 1000; 1 where it is missing"`
	Valid     int64          `json:"valid_seconds,omitempty" doc:"60 to 31536000; needed unless introduce is true"`
	Introduce bool           `json:"introduce,omitempty" doc:"no secret in the code: a person approves each gateway that comes with it"`
	Server    string         `json:"server,omitempty" doc:"HOST:PORT by which gateways reach the server, where init was not told"`
}

// code is an enrolment code.
type code struct {
	Code      string         `json:"code" doc:"what is typed on the gateway"`
	Server    string         `json:"server" doc:"where it leads to"`
	Pin       string         `json:"server_pin" doc:"of the server's key"`
	Gateway   cpns.GatewayID `json:"gateway"`
	Introduce bool           `json:"introduce"`
	Uses      int            `json:"uses" doc:"0 for any number"`
	Until     *time.Time     `json:"valid_until" doc:"null for ever"`
	Notes     []string       `json:"notes" doc:"what people should know"`
}

func invite(c *call, in *newCode) (*code, error) {
	r := server.CodeRequest{Uses: max(in.Uses, 0), Introduce: in.Introduce, Server: in.Server}
	var err error
	if in.Gateway != "" {
		if r.Gateway, err = named(string(in.Gateway), cpns.ParseGatewayID); err != nil {
			return nil, err
		}
	}
	if in.Valid < 0 || in.Valid > int64(server.MaxInvitationValid/time.Second) {
		return nil, malformed("valid_seconds: 60 to %d", server.MaxInvitationValid/time.Second)
	}
	if r.Valid = time.Duration(in.Valid) * time.Second; in.Uses == 0 {
		r.Uses = 1
	}
	leaf, err := c.s.leaf()
	if err != nil {
		return nil, err
	}
	made, err := c.op.MakeCode(c.ctx, leaf, r)
	if err != nil {
		return nil, err
	}
	notes := append([]string{}, made.Notes...)
	return &code{made.Code, made.Server, made.Pin, made.Gateway, made.Introduce, made.Uses, orNil(made.Until), notes}, nil
}

func (k *code) code() *server.Code {
	return &server.Code{Code: k.Code, Server: k.Server, Pin: k.Pin, Gateway: k.Gateway, Introduce: k.Introduce, Uses: k.Uses, Until: orZero(k.Until), Notes: k.Notes}
}

// leaf is the server's certificate.
func (s *Server) leaf() (*x509.Certificate, error) {
	cert, err := s.tls.GetCertificate(nil)
	if err != nil {
		return nil, err
	}
	if cert.Leaf != nil {
		return cert.Leaf, nil
	}
	return x509.ParseCertificate(cert.Certificate[0])
}

func revoke(c *call, _ *nothing) (*nothing, error) {
	return nil, c.op.Revoke(c.ctx, c.r.PathValue("id"))
}
