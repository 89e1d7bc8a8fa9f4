package admin

import (
	"net/http"
	"slices"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func userEndpoints() []*endpoint {
	const path = "/users/{user}"
	return []*endpoint{
		asks(endpoint{id: "listUsers", method: http.MethodGet, path: "/users", role: server.RoleAuditor, summary: "CPNS Users, in the order of their IDs", query: paged(prefix, userState)}, listUsers),
		asks(endpoint{id: "addUser", method: http.MethodPost, path: "/users", role: server.RoleOperator, once: true, summary: "Add a CPNS User", success: http.StatusCreated, problems: []int{409}}, addUser),
		asks(endpoint{id: "showUser", method: http.MethodGet, path: path, role: server.RoleAuditor, summary: "One CPNS User", problems: []int{404}}, showUser),
		asks(endpoint{id: "removeUser", method: http.MethodDelete, path: path, role: server.RoleOperator, once: true, summary: "Remove a user who owns no PNE", problems: []int{404, 409}}, removeUser),
		asks(endpoint{id: "setPassword", method: http.MethodPut, path: path + "/password", role: server.RoleOperator, once: true, summary: "Change a user's password, and end the user's lock-out", problems: []int{404}}, setPassword),
		asks(endpoint{id: "disableUser", method: http.MethodPost, path: path + "/disable", role: server.RoleOperator, once: true, summary: "Refuse a user's requests, as if there were no such user", problems: []int{404}}, setDisabled(true)),
		asks(endpoint{id: "enableUser", method: http.MethodPost, path: path + "/enable", role: server.RoleOperator, once: true, summary: "End disable", problems: []int{404}}, setDisabled(false)),
		asks(endpoint{id: "unlockUser", method: http.MethodPost, path: path + "/unlock", role: server.RoleOperator, once: true, summary: "End a user's lock-out", problems: []int{404}}, unlockUser),
	}
}

var (
	prefix    = parameter{name: "prefix", about: "only those whose ID begins with it"}
	userState = parameter{name: "state", about: "only those that are enabled, locked or disabled; a page may then have fewer than it could, and a next one all the same"}
)

// user is a CPNS User.
type user struct {
	User    cpns.UserID      `json:"user"`
	Created time.Time        `json:"created"`
	State   server.UserState `json:"state" doc:"enabled, locked or disabled"`
	Locks   []lock           `json:"locks" doc:"where the user is locked out"`
	Slowed  bool             `json:"slowed" doc:"failed so often at several gateways that each request waits"`
	Seen    *time.Time       `json:"last_seen" doc:"last successful request, to the minute"`
}

// lock is the lock-out of a user at a gateway.
type lock struct {
	Gateway cpns.GatewayID `json:"gateway"`
	Until   time.Time      `json:"until"`
}

func userOf(u server.UserStatus) user {
	out := user{u.ID, u.Created, u.State, make([]lock, 0, len(u.Locks)), u.Slowed, orNil(u.Seen)}
	for _, l := range u.Locks {
		out.Locks = append(out.Locks, lock(l))
	}
	return out
}

func (u *user) user() server.UserStatus {
	out := server.UserStatus{ID: u.User, State: u.State, Locks: make([]server.Lock, 0, len(u.Locks)), Slowed: u.Slowed, Created: u.Created, Seen: orZero(u.Seen)}
	for _, l := range u.Locks {
		out.Locks = append(out.Locks, server.Lock(l))
	}
	return out
}

func listUsers(c *call, _ *nothing) (*list[user], error) {
	most, err := c.limit()
	if err != nil {
		return nil, err
	}
	var state server.UserState
	if s := c.param("state"); s != "" {
		if state, err = named(s, server.ParseUserState); err != nil {
			return nil, err
		}
	}
	rows, err := c.op.UsersAfter(c.ctx, cpns.UserID(c.param("prefix")), cpns.UserID(c.param("after")), most)
	p := pageOf(rows, most, userOf, func(u server.UserStatus) string { return string(u.ID) })
	if state != "" {
		p.Items = slices.DeleteFunc(p.Items, func(u user) bool { return u.State != state })
	}
	return p, err
}

func showUser(c *call, _ *nothing) (*user, error) {
	id, err := inPath(c, "user", cpns.ParseUserID)
	if err != nil {
		return nil, err
	}
	u, err := c.op.User(c.ctx, id)
	out := userOf(u)
	return &out, err
}

func setDisabled(disabled bool) func(*call, *nothing) (*changed, error) {
	return func(c *call, _ *nothing) (*changed, error) {
		id, err := inPath(c, "user", cpns.ParseUserID)
		if err != nil {
			return nil, err
		}
		is, err := c.op.SetDisabled(c.ctx, id, disabled)
		return &changed{is}, err
	}
}

// changed says whether a change was one.
type changed struct {
	Changed bool `json:"changed" doc:"false where it was so already"`
}

// secret is a password, or its hashes as a client has made them.
type secret struct {
	Password string  `json:"password,omitempty" doc:"as it is typed, 1 to 1024 bytes of UTF-8; or else"`
	Hashes   *hashes `json:"hashes,omitempty"`

	made *server.PasswordHashes
}

// hashes are Hash(Password) of both forms of a password (docs/protocol.md).
type hashes struct {
	NFC []byte `json:"nfc" doc:"32 bytes"`
	NFD []byte `json:"nfd" doc:"32 bytes; the same where the forms do not differ"`
}

const longestPassword = 1024

// hash makes the hashes of what was sent.
func (s *secret) hash(c *call, id cpns.UserID) error {
	switch {
	case (s.Password == "") == (s.Hashes == nil):
		return malformed("one of password and hashes is needed")
	case len(s.Password) > longestPassword:
		return malformed("password: at most %d bytes", longestPassword)
	case s.Hashes == nil:
		return s.hashPassword(c, id)
	}
	s.made = new(server.PasswordHashes)
	if len(s.Hashes.NFC) != len(s.made.NFC) || len(s.Hashes.NFD) != len(s.made.NFD) {
		return malformed("hashes: 32 bytes each")
	}
	copy(s.made.NFC[:], s.Hashes.NFC)
	copy(s.made.NFD[:], s.Hashes.NFD)
	return nil
}

// hashPassword hashes when it is its turn.
func (s *secret) hashPassword(c *call, id cpns.UserID) error {
	select {
	case c.s.hashing <- struct{}{}:
		defer func() { <-c.s.hashing }()
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	password := []byte(s.Password)
	defer clear(password)
	s.made = server.HashPassword(id, password)
	return nil
}

type newUser struct {
	User cpns.UserID `json:"user"`
	secret
}

func (in *newUser) prepare(c *call) error {
	id, err := named(string(in.User), cpns.ParseUserID)
	if err != nil {
		return err
	}
	return in.hash(c, id)
}

func (s *secret) prepare(c *call) error {
	id, err := inPath(c, "user", cpns.ParseUserID)
	if err != nil {
		return err
	}
	return s.hash(c, id)
}

func addUser(c *call, in *newUser) (*nothing, error) {
	return nil, c.op.AddUser(c.ctx, in.User, in.made)
}

func setPassword(c *call, in *secret) (*nothing, error) {
	return nil, c.op.SetPassword(c.ctx, cpns.UserID(c.r.PathValue("user")), in.made)
}

func unlockUser(c *call, _ *nothing) (*changed, error) {
	id, err := inPath(c, "user", cpns.ParseUserID)
	if err != nil {
		return nil, err
	}
	is, err := c.op.Unlock(c.ctx, id)
	return &changed{is}, err
}

func removeUser(c *call, _ *nothing) (*nothing, error) {
	id, err := inPath(c, "user", cpns.ParseUserID)
	if err != nil {
		return nil, err
	}
	return nil, c.op.RemoveUser(c.ctx, id)
}
