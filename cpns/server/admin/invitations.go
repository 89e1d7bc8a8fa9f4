package admin

import (
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func invitationEndpoints() []*endpoint {
	return []*endpoint{
		asks(endpoint{id: "listInvitations", method: http.MethodGet, path: "/invitations", role: server.RoleAuditor, summary: "Enrolment codes with a secret; never the codes themselves", query: paged()}, listInvitations),
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

func revoke(c *call, _ *nothing) (*nothing, error) {
	return nil, c.op.Revoke(c.ctx, c.r.PathValue("id"))
}
