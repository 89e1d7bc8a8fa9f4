package admin

import (
	"encoding/json"
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

func generalEndpoints() []*endpoint {
	return []*endpoint{
		asks(endpoint{id: "openAPI", method: http.MethodGet, path: "/openapi.json", summary: "This description"}, serveOpenAPI),
		asks(endpoint{id: "whoAmI", method: http.MethodGet, path: "/whoami", role: server.RoleAuditor, summary: "Who asks, and what it may"}, whoAmI),
	}
}

func serveOpenAPI(c *call, _ *nothing) (*json.RawMessage, error) {
	text, err := OpenAPI(c.s.version)
	return (*json.RawMessage)(&text), err
}

// self is what a caller is told of itself.
type self struct {
	Name    string                `json:"name"`
	Kind    server.CredentialKind `json:"kind"`
	Role    server.Role           `json:"role"`
	Version string                `json:"version" doc:"of the server's program"`
	Now     time.Time             `json:"now" doc:"the server's time"`
}

func whoAmI(c *call, _ *nothing) (*self, error) {
	return &self{c.who.Name, c.who.Kind, c.who.Role, c.s.version, c.op.Now()}, nil
}
