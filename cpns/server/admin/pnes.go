package admin

import (
	"encoding/hex"
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func pneEndpoints() []*endpoint {
	const path = "/pnes/{pne}"
	filters := paged(prefix, parameter{name: "owner", about: "only those of a user"}, parameter{name: "gateway", about: "only those whose newest assignment went to it"},
		parameter{name: "state", about: "only those that are free, owned or assigned"})
	return []*endpoint{
		asks(endpoint{id: "listPNEs", method: http.MethodGet, path: "/pnes", role: server.RoleAuditor, summary: "PNEs, in the order of their Entity IDs", query: filters}, listPNEs),
		asks(endpoint{id: "showPNE", method: http.MethodGet, path: path, role: server.RoleAuditor, summary: "One PNE", problems: []int{404}}, showPNE),
		asks(endpoint{id: "removePNE", method: http.MethodDelete, path: path, role: server.RoleOperator, once: true, summary: "Remove a PNE with its Temporary Key and sets", problems: []int{404}}, removePNE),
		asks(endpoint{id: "setOwner", method: http.MethodPut, path: path + "/owner", role: server.RoleOperator, once: true, summary: "Give a PNE to a user, whoever owned it", problems: []int{404}}, setOwner),
		asks(endpoint{id: "release", method: http.MethodDelete, path: path + "/owner", role: server.RoleOperator, once: true, summary: "Make a PNE nobody's", problems: []int{404}}, release),
		asks(endpoint{id: "importPNEs", method: http.MethodPost, path: "/pnes/import", role: server.RoleOperator, slow: true, summary: "Import PNEs and their Temporary Keys, with a verdict on each row that is bad; the good ones are imported"}, importPNEs),
		asks(endpoint{id: "setTK", method: http.MethodPut, path: path + "/tk", role: server.RoleOperator, slow: true, summary: "Replace a PNE's Temporary Key", problems: []int{404, 422}}, setTK),
	}
}

// pne is a device.
type pne struct {
	Entity   cpns.EntityID   `json:"entity_id"`
	Owner    cpns.UserID     `json:"owner" doc:"empty for nobody"`
	Epoch    cpns.Epoch      `json:"epoch" doc:"of the newest assignment, 0 before the first"`
	Created  time.Time       `json:"created"`
	State    server.PNEState `json:"state" doc:"free, owned or assigned"`
	Gateway  cpns.GatewayID  `json:"gateway" doc:"that the newest assignment went to, empty before the first"`
	Assigned *time.Time      `json:"assigned"`
}

func pneOf(p server.PNE) pne {
	return pne{p.Entity, p.Owner, p.Epoch, p.Created, p.State(), p.Gateway, orNil(p.Assigned)}
}

func (p *pne) pne() server.PNE {
	return server.PNE{Entity: p.Entity, Owner: p.Owner, Epoch: p.Epoch, Created: p.Created, Gateway: p.Gateway, Assigned: orZero(p.Assigned)}
}

func listPNEs(c *call, _ *nothing) (*list[pne], error) {
	most, err := c.limit()
	if err != nil {
		return nil, err
	}
	wanted := server.PNEFilter{Owner: cpns.UserID(c.param("owner")), Gateway: cpns.GatewayID(c.param("gateway")), State: server.PNEState(c.param("state")), Prefix: c.param("prefix")}
	switch wanted.State {
	case "", server.PNEFree, server.PNEOwned, server.PNEAssigned:
	default:
		return nil, malformed("state: there are %s, %s and %s", server.PNEFree, server.PNEOwned, server.PNEAssigned)
	}
	rows, err := c.op.PNEsAfter(c.ctx, wanted, cpns.EntityID(c.param("after")), most)
	return pageOf(rows, most, pneOf, func(p server.PNE) string { return string(p.Entity) }), err
}

func showPNE(c *call, _ *nothing) (*pne, error) {
	e, err := inPath(c, "pne", cpns.ParseEntityID)
	if err != nil {
		return nil, err
	}
	p, err := c.op.PNE(c.ctx, e)
	out := pneOf(p)
	return &out, err
}

func removePNE(c *call, _ *nothing) (*nothing, error) {
	e, err := inPath(c, "pne", cpns.ParseEntityID)
	if err != nil {
		return nil, err
	}
	return nil, c.op.RemovePNE(c.ctx, e)
}

type newOwner struct {
	Owner cpns.UserID `json:"owner"`
}

func setOwner(c *call, in *newOwner) (*changed, error) {
	e, err := inPath(c, "pne", cpns.ParseEntityID)
	if err != nil {
		return nil, err
	}
	to, err := named(string(in.Owner), cpns.ParseUserID)
	if err != nil {
		return nil, err
	}
	is, err := c.op.GiveTo(c.ctx, e, to)
	return &changed{is}, err
}

func release(c *call, _ *nothing) (*changed, error) {
	e, err := inPath(c, "pne", cpns.ParseEntityID)
	if err != nil {
		return nil, err
	}
	is, err := c.op.Release(c.ctx, e)
	return &changed{is}, err
}

type newTK struct {
	TK string `json:"tk" doc:"16 to 64 bytes as hex"`
}

// setTK takes no idempotency key: the same key set again is the same key. It looks at
// the Temporary Keys of all PNEs, which takes too long for a transaction.
func setTK(c *call, in *newTK) (*nothing, error) {
	e, err := inPath(c, "pne", cpns.ParseEntityID)
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(in.TK)
	if err != nil {
		return nil, malformed("tk: not hex")
	}
	defer clear(raw)
	tk, err := cpns.ParseTK(raw)
	if err != nil {
		return nil, malformed("tk: %v", err)
	}
	return nil, c.op.SetTK(c.ctx, e, tk)
}
