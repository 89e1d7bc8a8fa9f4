// Package api is the local API of the running agent: JSON over HTTP over a unix
// socket, and the client that the command line uses.
//
// Who may write to the socket may use all of it: the socket's mode is 0660,
// its group is the daemon's. An Entity ID in a path is percent-encoded, "/" and
// "." too.
//
//	GET    /v1/status          the agent's account of itself: [Status]
//	GET    /v1/links           its links: [Link], an array
//	GET    /v1/pnes            the PNEs it serves: agent.PNE, an array
//	GET    /v1/pnes/{entity}   one of them
//	DELETE /v1/pnes/{entity}   forget it: its keys are gone from the store; 204
//	GET    /v1/discovered      PNEs that said hello and nobody asked for: agent.Discovered, an array
//	GET    /v1/events          what happens from now on: a stream of [Happening]
//	GET    /v1/audit           what was asked of the gateway: lines of audit.Entry
//	POST   /v1/probe           prove PSK1 to the server, and compare clocks: [Probe]
//	GET    /v1/metrics         counters in Prometheus' text format: metrics.go
//	GET    /v1/enrolment       how the gateway's enrolment stands: [Enrolment]
//	POST   /v1/enrol           {"code": "CPNS1-...", "move": false}: take the code up; the answer is an [Enrolment]
//	POST   /v1/provision       take a user's request: see below
//	POST   /v1/authenticate    have PNEs prove their keys: see below
//	POST   /v1/page/pin        change the PIN of the technician's page: [PIN]; 204
//	POST   /v1/readmit         {"entity_id": "urn:dev:1"}: end its alarm; 204
//
// The body of a provision request is
//
//	{"user": "alice", "password_hash": "<64 hex digits>", "entity_ids": ["urn:dev:1"], "wait_ms": 60000}
//
// where password_hash is the Hash(Password) of clause 7.4.2.2.1, which whoever
// asked for the password makes: the daemon never sees a password. It may have
// "remember": true, to have the agent keep the hash, sealed, and renew sets with
// it, "reassign": true, to give a new set to PNEs under alarm too, and "hold": true, to
// keep first keys back until the gateway's button is pressed. The answer is a stream, application/x-ndjson: one agent.Step a line, as they happen,
// then one agent.Outcome a line, in the order of entity_ids, and at the end of
// an unsuccessful stream a line {"error": "..."}. Closing the connection ends
// the waiting, not the assignments: keys that are sealed are delivered when
// their device says hello.
//
// The body of an authenticate request is {"entity_ids": ["urn:dev:1"]}, or
// {"all": true}. It may have "wait_ms", the most that is waited for each. The answer
// is a stream like the other, of one agent.Proof a line, in the order in which they
// are known.
//
// Every other answer than 200 and 204 has a body {"error": "..."}: 400 for a
// request that is malformed, 404 for an Entity ID that is not known, 409 for a
// PNE to readmit that is not under alarm and for a code that contradicts what is known, 413 for
// a body over 256 KiB, 500 for what went wrong inside, 503 where the gateway has no
// name yet and there is no agent: then status, metrics, audit and the two of enrolment alone answer.
package api

import (
	"net/url"
	"strings"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/hooks"
	"cpns.example.net/pngw/cpns"
)

// Status is the answer to GET /v1/status.
type Status struct {
	Version string `json:"version"`
	Uptime  int64  `json:"uptime_s"` // whole seconds, counted without the clock
	Server  string `json:"server"`   // base URL of the CPNS Server
	Read    Read   `json:"config"`
	agent.Status
	Events    map[agent.EventKind]int64 `json:"events"` // since the start
	Hooks     hooks.Counts              `json:"hooks"`
	Links     []Link                    `json:"links"`
	Enrolment Enrolment                 `json:"enrolment"`
	Page      *Page                     `json:"page,omitempty"`
	Signs     *Signs                    `json:"signs,omitempty"`
}

// Read is the configuration that the agent runs with.
type Read struct {
	File   string `json:"file"`   // an absolute path
	Digest string `json:"digest"` // SHA-256 of what was in it when the agent read it, in hex
}

// Signs are the router's lights and its button, where any are configured.
type Signs struct {
	Lights []Light `json:"lights,omitempty"`
	Button *Button `json:"button,omitempty"`
}

// Light is one light.
type Light struct {
	Name  string `json:"name"`
	Fault string `json:"fault,omitempty"` // why it does not show what it should
}

// Button is the button for devices that were prepared.
type Button struct {
	Name   string `json:"name"`
	Detail string `json:"detail"` // what it is heard by, or why not
	Fault  bool   `json:"fault"`  // that is for a person to mend
	Open   bool   `json:"open"`   // it has been pressed: prepared devices get their keys
	Held   int    `json:"held"`   // devices that wait for it
}

// Link is one link of the answer to GET /v1/links.
type Link struct {
	Name     string `json:"name"`
	Type     string `json:"type"`  // serial or mqtt
	State    string `json:"state"` // up or absent
	Detail   string `json:"detail"`
	Received int64  `json:"received"` // messages since the start
	Sent     int64  `json:"sent"`
	Dropped  int64  `json:"dropped"` // frames or messages that the link refused
}

// provisionRequest is the body of POST /v1/provision.
type provisionRequest struct {
	User         string   `json:"user"`
	PasswordHash string   `json:"password_hash"`
	Entities     []string `json:"entity_ids"`
	WaitMS       int64    `json:"wait_ms"`
	Remember     bool     `json:"remember,omitempty"`
	Reassign     bool     `json:"reassign,omitempty"`
	Hold         bool     `json:"hold,omitempty"`
}

// authenticateRequest is the body of POST /v1/authenticate.
type authenticateRequest struct {
	Entities []string `json:"entity_ids,omitempty"`
	All      bool     `json:"all,omitempty"`
	WaitMS   int64    `json:"wait_ms,omitempty"` // 0: as long as the links take
}

// readmitRequest is the body of POST /v1/readmit.
type readmitRequest struct {
	Entity string `json:"entity_id"`
}

// lineKind tells the kinds of line in a stream apart.
type lineKind struct {
	Step   string `json:"step"`
	Result string `json:"result"`
	Error  string `json:"error"`
}

type problem struct {
	Error string `json:"error"`
}

// Limits of one request.
const (
	MaxEntities = 1024           // devices
	MaxWait     = 24 * time.Hour // for them
)

const (
	maxRequest = 256 << 10 // bytes of a request's body
	maxLine    = 64 << 10  // bytes of a line that the client takes
)

// pnePath is the path of one PNE. url.PathEscape would leave "." and ".." as
// they are, which are Entity IDs, and which HTTP servers resolve as folders.
func pnePath(e cpns.EntityID) string {
	return "/v1/pnes/" + strings.ReplaceAll(url.PathEscape(string(e)), ".", "%2E")
}
