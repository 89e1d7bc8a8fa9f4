package page

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/webpage"
)

// Bytes of a request's body: of a technician's, and of a login's, which strangers send.
const (
	maxRequest = 256 << 10
	maxLogin   = 1 << 10
)

func (p *Page) handler() http.Handler {
	routes := api.Routes{
		"GET /ca.crt":      p.ca,
		"GET /session":     p.session,
		"POST /login":      p.login,
		"POST /logout":     p.loggedIn(p.logout),
		"GET /v1/watch":    p.loggedIn(p.watch),
		"GET /v1/pnes":     p.loggedIn(p.pnes),
		"POST /v1/device":  p.loggedIn(p.device),
		"POST /v1/jobs":    p.loggedIn(p.job),
		"POST /v1/table":   p.loggedIn(p.table),
		"POST /v1/readmit": p.loggedIn(p.readmit),
	}
	for path, f := range files {
		routes["GET "+path] = f.ServeHTTP
	}
	otherwise := func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "there is no such page")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		webpage.SetHeaders(w.Header(), true)
		switch {
		case r.Host != p.host():
			// A name that somebody else's DNS says is this router is not one of the certificate.
			refuse(w, http.StatusMisdirectedRequest, "this page is at "+p.url())
		case !p.own(r):
			refuse(w, http.StatusForbidden, "this request comes from another page")
		default:
			routes.Answer(w, r, otherwise)
		}
	})
}

// own tells whether a request is the page's own, or of a person who typed the address.
// Browsers that do not say where a request comes from say Origin with all that is posted.
func (p *Page) own(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		// From another page one may be led here, and no further.
		return r.Method == http.MethodGet && r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate"
	}
	origin := r.Header.Get("Origin")
	if r.Method == http.MethodGet && origin == "" {
		return true
	}
	return origin == p.url()
}

// loggedIn lets a technician pass who is logged in. What changes something takes the
// session's token too, which no other page knows; a GET changes nothing.
func (p *Page) loggedIn(next func(http.ResponseWriter, *http.Request, *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		posted := r.Method == http.MethodPost
		s := p.sessions.of(r, false)
		if s == nil || posted && r.Header.Get("X-Token") != s.token {
			refuse(w, http.StatusUnauthorized, "log in first")
			return
		}
		if posted {
			p.sessions.of(r, true)
		}
		if p.agent == nil && r.URL.Path != "/v1/watch" && r.URL.Path != "/logout" {
			refuse(w, http.StatusServiceUnavailable, p.api.Waits)
			return
		}
		next(w, r, s)
	}
}

// state is the answer to GET /session and POST /login.
type state struct {
	Gateway cpns.GatewayID `json:"gateway"`
	PIN     bool           `json:"pin"`              // one is set
	Salt    string         `json:"salt,omitempty"`   // of it, in hex
	Token   string         `json:"token,omitempty"`  // of the session, where somebody is logged in
	Wait    int            `json:"wait_s,omitempty"` // no PIN is looked at for so long
	Error   string         `json:"error,omitempty"`
}

func (p *Page) session(w http.ResponseWriter, r *http.Request) {
	st := p.state()
	if s := p.sessions.of(r, true); s != nil {
		st.Token = s.token
	}
	answer(w, http.StatusOK, st)
}

func (p *Page) state() state {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := state{Gateway: p.gateway, PIN: p.record.PIN != nil}
	if st.PIN {
		st.Salt = hex.EncodeToString(p.record.PIN.Salt)
	}
	return st
}

func (p *Page) login(w http.ResponseWriter, r *http.Request) {
	var b struct {
		PIN string `json:"pin"` // what Argon2id made of it, in hex
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLogin)
	if !body(w, r, &b) {
		return
	}
	stretched, err := hex.DecodeString(b.PIN)
	st := p.state()
	p.mu.Lock()
	pin := p.record.PIN
	p.mu.Unlock()
	if err != nil || pin == nil {
		refuse(w, http.StatusBadRequest, "no PIN is set, or none came")
		return
	}
	from := source(addrOf(r.RemoteAddr))
	s, wait := p.sessions.login(from, func() bool { return pin.fits(stretched) })
	clear(stretched)
	switch {
	case s != nil:
		http.SetCookie(w, cookie(s.id, int(maxAge/time.Second)))
		p.log.Info("login to the page", "from", from.Addr())
		p.api.Note(who(r), "login", "", "", "done", nil)
		st.Token = s.token
		answer(w, http.StatusOK, st)
	case wait > 0:
		p.log.Warn("the page is locked after too many wrong PINs", "from", from.Addr(), "seconds", int(wait/time.Second))
		st.Wait = int((wait + time.Second - 1) / time.Second)
		st.Error = "too many wrong PINs"
		w.Header().Set("Retry-After", strconv.Itoa(st.Wait))
		answer(w, http.StatusTooManyRequests, st)
	default:
		p.log.Warn("a wrong PIN for the page", "from", from.Addr())
		st.Error = "the PIN is wrong"
		answer(w, http.StatusForbidden, st)
	}
}

func (p *Page) logout(w http.ResponseWriter, _ *http.Request, s *session) {
	p.sessions.end(s)
	http.SetCookie(w, cookie("", -1))
	w.WriteHeader(http.StatusNoContent)
}

func (p *Page) ca(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-x509-ca-cert")
	w.Header().Set("Content-Disposition", `attachment; filename="pngw-ca.crt"`)
	w.Write(p.record.CA) // an error is the client's going away, here and below
}

func (p *Page) pnes(w http.ResponseWriter, r *http.Request, _ *session) {
	list, err := p.agent.List(r.Context())
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	if list == nil {
		list = []agent.PNE{} // null is no array
	}
	answer(w, http.StatusOK, list)
}

// device checks what was scanned or typed, before anything is asked of a server.
func (p *Page) device(w http.ResponseWriter, r *http.Request, _ *session) {
	var b struct {
		Text string `json:"text"`
	}
	if !body(w, r, &b) {
		return
	}
	e, err := cpns.ParseDevice(b.Text)
	if err != nil {
		var no struct {
			Error string         `json:"error"`
			Fits  []cpns.Mistype `json:"fits,omitempty"`
		}
		no.Error = err.Error()
		if m := new(cpns.MistypedError); errors.As(err, &m) {
			no.Fits = m.Fits
		}
		answer(w, http.StatusUnprocessableEntity, no)
		return
	}
	answer(w, http.StatusOK, map[string]string{"entity_id": string(e)})
}

// jobRequest is the body of POST /v1/jobs.
type jobRequest struct {
	ID       string   `json:"id"` // drawn by the page: asked for again it is the same job
	User     string   `json:"user"`
	Hash     string   `json:"password_hash"`
	Entities []string `json:"entity_ids"`
	Again    bool     `json:"again"`    // also devices that have their keys
	Reassign bool     `json:"reassign"` // also devices under alarm

	CSV    []byte            `json:"csv"` // in place of Entities and Hash
	Hashes map[string]string `json:"hashes"`
}

func (p *Page) job(w http.ResponseWriter, r *http.Request, _ *session) {
	var b jobRequest
	if !body(w, r, &b) {
		return
	}
	req := agent.ProvisionRequest{Wait: jobWait, Reassign: b.Reassign}
	err := errors.New("the page did not say which job this is")
	if n := len(b.ID); n >= 16 && n <= 64 {
		req.User, err = cpns.ParseUserID(b.User)
	}
	if err == nil && b.CSV != nil {
		p.began(w, b.ID, p.beginTable(r.Context(), who(r), b.ID, b.CSV, b.User, b.Hashes))
		return
	}
	if err == nil {
		req.Entities, err = api.ParseEntities(b.Entities)
	}
	if err == nil {
		req.PasswordHash, err = api.ParsePasswordHash(b.Hash)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	p.began(w, b.ID, p.begin(r.Context(), who(r), b.ID, req, b.Again || b.Reassign))
}

func (p *Page) began(w http.ResponseWriter, id string, err error) {
	if c := new(conflict); errors.As(err, &c) {
		answer(w, http.StatusConflict, c)
	} else if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
	} else {
		answer(w, http.StatusOK, map[string]string{"id": id})
	}
}

func (p *Page) readmit(w http.ResponseWriter, r *http.Request, _ *session) {
	var b struct {
		Entity string `json:"entity_id"`
	}
	if !body(w, r, &b) {
		return
	}
	e, err := cpns.ParseEntityID(b.Entity)
	if err == nil {
		err = p.agent.Readmit(r.Context(), e)
		p.api.Note(who(r), "resolve --readmit", e, "", "done", err)
	}
	if err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// who is who asks, for the audit log.
func who(r *http.Request) string { return "the page, " + addrOf(r.RemoteAddr).String() }

// body reads a request's body, all of which it takes. Where it is not ok it has answered;
// it does not say what is wrong, because the decoder may quote what has a secret in it.
func body(w http.ResponseWriter, r *http.Request, v any) bool {
	text, err := io.ReadAll(r.Body)
	defer clear(text)
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "that is too much at once")
		return false
	}
	if r.Header.Get("Content-Type") != "application/json" || json.Unmarshal(text, v) != nil {
		refuse(w, http.StatusBadRequest, "the request is not one of this page")
		return false
	}
	return true
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"error": why})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
