package admin

import (
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

func tokenEndpoints() []*endpoint {
	return []*endpoint{
		asks(endpoint{id: "listTokens", method: http.MethodGet, path: "/tokens", role: server.RoleAdmin, summary: "Tokens and certificates that may use this API, in the order of their names", query: paged()}, listTokens),
		asks(endpoint{id: "addToken", method: http.MethodPost, path: "/tokens", role: server.RoleAdmin, summary: "Make a token, which is shown once; or let a certificate in", success: http.StatusCreated, problems: []int{409, 422}}, addToken),
		asks(endpoint{id: "removeToken", method: http.MethodDelete, path: "/tokens/{name}", role: server.RoleAdmin, once: true, summary: "End a token, or let a certificate in no more", problems: []int{404}}, removeToken),
	}
}

// credential is one that may use the API.
type credential struct {
	ID      string                `json:"id"`
	Name    string                `json:"name"`
	Kind    server.CredentialKind `json:"kind" doc:"token or certificate"`
	Role    server.Role           `json:"role" doc:"auditor, operator or admin"`
	Created time.Time             `json:"created"`
	Ends    time.Time             `json:"ends"`
	Used    *time.Time            `json:"last_used" doc:"to the minute"`
}

func credentialOf(c server.Credential) credential {
	return credential{c.ID, c.Name, c.Kind, c.Role, c.Created, c.Ends, orNil(c.Used)}
}

func (c *credential) credential() server.Credential {
	return server.Credential{ID: c.ID, Name: c.Name, Kind: c.Kind, Role: c.Role, Created: c.Created, Ends: c.Ends, Used: orZero(c.Used)}
}

func listTokens(c *call, _ *nothing) (*list[credential], error) {
	most, err := c.limit()
	if err != nil {
		return nil, err
	}
	rows, err := c.op.CredentialsAfter(c.ctx, c.param("after"), most)
	return pageOf(rows, most, credentialOf, func(c server.Credential) string { return c.Name }), err
}

type newToken struct {
	Name  string                `json:"name" doc:"that the audit log shows; of a certificate: its common name"`
	Kind  server.CredentialKind `json:"kind,omitempty" doc:"token, or certificate; token where it is missing"`
	Role  server.Role           `json:"role" doc:"auditor, operator or admin"`
	Valid int64                 `json:"valid_seconds" doc:"60 to 315360000"`
}

type tokenMade struct {
	Token string `json:"token,omitempty" doc:"shown here and never again; missing where it is a certificate"`
	credential
}

// addToken takes no idempotency key: an answer that is kept would be a token that is
// kept.
func addToken(c *call, in *newToken) (*tokenMade, error) {
	if in.Valid < 0 || in.Valid > int64(server.MaxCredentialValid/time.Second) {
		return nil, malformed("valid_seconds: 60 to %d", server.MaxCredentialValid/time.Second)
	}
	valid := time.Duration(in.Valid) * time.Second
	switch in.Kind {
	case "", server.KindToken:
		token, made, err := c.op.AddToken(c.ctx, in.Name, in.Role, valid)
		return &tokenMade{token, credentialOf(made)}, err
	case server.KindCertificate:
		made, err := c.op.AddCertificate(c.ctx, in.Name, in.Role, valid)
		return &tokenMade{"", credentialOf(made)}, err
	}
	return nil, malformed("kind: token or certificate")
}

func removeToken(c *call, _ *nothing) (*nothing, error) {
	return nil, c.op.RemoveCredential(c.ctx, c.r.PathValue("name"))
}
