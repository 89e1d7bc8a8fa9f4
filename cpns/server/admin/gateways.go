package admin

import (
	"encoding/hex"
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func gatewayEndpoints() []*endpoint {
	const path = "/gateways/{gateway}"
	return []*endpoint{
		asks(endpoint{id: "listGateways", method: http.MethodGet, path: "/gateways", role: server.RoleAuditor, summary: "Gateways, in the order of their IDs", query: paged(prefix)}, listGateways),
		asks(endpoint{id: "addGateway", method: http.MethodPost, path: "/gateways", role: server.RoleOperator, once: true, summary: "Add a gateway by a PSK1 that it has, or by the IMPI of its SIM", success: http.StatusCreated, problems: []int{409}}, addGateway),
		asks(endpoint{id: "setIMPI", method: http.MethodPut, path: path + "/impi", role: server.RoleOperator, once: true, summary: "Know a gateway by another SIM", problems: []int{404, 409}}, setIMPI),
		asks(endpoint{id: "rekeyGateway", method: http.MethodPut, path: path + "/psk1", role: server.RoleOperator, once: true, summary: "Give a gateway another PSK1, and let it use either for a while; without one, have it agree on another by itself", problems: []int{404, 409}}, rekeyGateway),
		asks(endpoint{id: "removeGateway", method: http.MethodDelete, path: path, role: server.RoleOperator, once: true, summary: "Remove a gateway: its next request is refused", problems: []int{404}}, removeGateway),
	}
}

// gateway is a PN GW.
type gateway struct {
	Gateway     cpns.GatewayID `json:"gateway"`
	Key         string         `json:"key" doc:"SHA-256 of its public key as hex, empty for none"`
	Fingerprint string         `json:"fingerprint" doc:"of that key, as people compare it; empty for none"`
	IMPI        string         `json:"impi"`
	Invitation  string         `json:"invitation" doc:"the code that took it in, empty for none"`
	Fetched     bool           `json:"fetched" doc:"it has had a PSK1 under its key"`
	Model       string         `json:"model" doc:"what its board says of itself"`
	Serial      string         `json:"serial" doc:"what its board says of itself"`
	Created     time.Time      `json:"created"`
	Seen        *time.Time     `json:"last_seen" doc:"to the minute"`
	PSK1s       []psk1         `json:"psk1s" doc:"the newest first; never the keys themselves"`
}

// psk1 is what may be said of a PSK1.
type psk1 struct {
	Identity cpns.PSKIdentity `json:"identity"`
	Source   server.Source    `json:"source" doc:"file, tls or gba"`
	Created  time.Time        `json:"created"`
	Used     *time.Time       `json:"used" doc:"when a request first opened under it"`
	Ends     *time.Time       `json:"ends"`
	Beside   bool             `json:"beside" doc:"it has not been used yet, or is not used any more, while another goes by the same identity"`
}

func gatewayOf(g server.GatewayWithKeys) gateway {
	out := gateway{Gateway: g.ID, IMPI: g.IMPI, Invitation: g.Invitation, Fetched: g.Fetched, Model: g.Model, Serial: g.Serial,
		Created: g.Created, Seen: orNil(g.Seen), PSK1s: make([]psk1, 0, len(g.PSK1s))}
	if g.Key != (cpns.SPKIHash{}) {
		out.Key, out.Fingerprint = hex.EncodeToString(g.Key[:]), g.Key.Fingerprint()
	}
	for _, k := range g.PSK1s {
		out.PSK1s = append(out.PSK1s, psk1{k.Named(), k.Source, k.Created, orNil(k.Used), orNil(k.Ends), k.IsBeside()})
	}
	return out
}

// gateway is what it says, as the server has it.
func (g *gateway) gateway() (server.Gateway, []server.PSK1, error) {
	out := server.Gateway{ID: g.Gateway, IMPI: g.IMPI, Invitation: g.Invitation, Fetched: g.Fetched, Model: g.Model, Serial: g.Serial, Created: g.Created, Seen: orZero(g.Seen)}
	if err := keyInto(&out.Key, g.Key); err != nil {
		return out, nil, err
	}
	var keys []server.PSK1
	for _, k := range g.PSK1s {
		identity := k.Identity
		if k.Beside {
			identity = server.Beside(identity)
		}
		keys = append(keys, server.PSK1{Identity: identity, Gateway: g.Gateway, Source: k.Source, Created: k.Created, Used: orZero(k.Used), Ends: orZero(k.Ends)})
	}
	return out, keys, nil
}

func listGateways(c *call, _ *nothing) (*list[gateway], error) {
	most, err := c.limit()
	if err != nil {
		return nil, err
	}
	rows, err := c.op.GatewaysAfter(c.ctx, cpns.GatewayID(c.param("prefix")), cpns.GatewayID(c.param("after")), most)
	return pageOf(rows, most, gatewayOf, func(g server.GatewayWithKeys) string { return string(g.ID) }), err
}

type newGateway struct {
	Gateway  cpns.GatewayID   `json:"gateway"`
	PSK1     string           `json:"psk1,omitempty" doc:"16 to 64 bytes as hex; or else impi"`
	Identity cpns.PSKIdentity `json:"psk_identity,omitempty" doc:"the gateway's ID where it is missing"`
	IMPI     string           `json:"impi,omitempty"`
}

func addGateway(c *call, in *newGateway) (*nothing, error) {
	id, err := named(string(in.Gateway), cpns.ParseGatewayID)
	if err != nil {
		return nil, err
	}
	if in.IMPI != "" {
		if in.PSK1 != "" || in.Identity != "" {
			return nil, malformed("impi goes with no psk1")
		}
		if err := server.CheckIMPI(in.IMPI); err != nil {
			return nil, malformed("impi: %v", err)
		}
		return nil, c.op.AddGatewayIMPI(c.ctx, id, in.IMPI)
	}
	if in.Identity == "" {
		in.Identity = cpns.PSKIdentity(id)
	}
	identity, err := named(string(in.Identity), cpns.ParsePSKIdentity)
	if err != nil {
		return nil, err
	}
	psk, err := parsePSK1(in.PSK1)
	if err != nil {
		return nil, err
	}
	defer clear(psk)
	return nil, c.op.AddGateway(c.ctx, id, identity, psk)
}

func parsePSK1(text string) (cpns.PSK1, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, malformed("psk1: not hex")
	}
	defer clear(raw)
	psk, err := cpns.ParsePSK1(raw)
	if err != nil {
		return nil, malformed("psk1: %v", err)
	}
	return psk, nil
}

type newPSK1 struct {
	PSK1    string `json:"psk1,omitempty" doc:"16 to 64 bytes as hex; none for a gateway that agrees on its PSK1s by TLS or its SIM"`
	Overlap int64  `json:"overlap" doc:"seconds that the one before goes on"`
}

type rekeyedGateway struct {
	Voided bool `json:"voided" doc:"one that it was given before, and has not used, opens nothing any more"`
}

func rekeyGateway(c *call, in *newPSK1) (*rekeyedGateway, error) {
	id, err := inPath(c, "gateway", cpns.ParseGatewayID)
	if err != nil {
		return nil, err
	}
	if in.Overlap < 0 || in.Overlap > int64(server.MaxOverlap/time.Second) {
		return nil, malformed("overlap: %v", server.CheckOverlap(-1))
	}
	var psk cpns.PSK1
	if in.PSK1 != "" {
		if psk, err = parsePSK1(in.PSK1); err != nil {
			return nil, err
		}
		defer clear(psk)
	}
	voided, err := c.op.RekeyGateway(c.ctx, id, psk, time.Duration(in.Overlap)*time.Second)
	return &rekeyedGateway{voided}, err
}

type newIMPI struct {
	IMPI string `json:"impi"`
}

func setIMPI(c *call, in *newIMPI) (*nothing, error) {
	id, err := inPath(c, "gateway", cpns.ParseGatewayID)
	if err != nil {
		return nil, err
	}
	if err := server.CheckIMPI(in.IMPI); err != nil {
		return nil, malformed("impi: %v", err)
	}
	return nil, c.op.SetIMPI(c.ctx, id, in.IMPI)
}

func removeGateway(c *call, _ *nothing) (*nothing, error) {
	id, err := inPath(c, "gateway", cpns.ParseGatewayID)
	if err != nil {
		return nil, err
	}
	return nil, c.op.RemoveGateway(c.ctx, id)
}

// orNil is a time that JSON shows as null where it is none; orZero is the way back.
func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// keyInto reads the hash of a key.
func keyInto(key *cpns.SPKIHash, text string) error {
	if text == "" {
		return nil
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(key) {
		return errAnswer
	}
	copy(key[:], raw)
	return nil
}
