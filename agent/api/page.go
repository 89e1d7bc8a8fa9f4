package api

import (
	"context"
	"encoding/json"
	"net/http"
)

// Page is the technician's page's account of itself.
type Page struct {
	URL         string `json:"url"`
	Fingerprint string `json:"ca_fingerprint"`   // SHA-256 of the CA's certificate, as browsers show it
	CA          []byte `json:"ca"`               // that certificate, in DER
	PIN         bool   `json:"pin"`              // one is set
	Detail      string `json:"detail,omitempty"` // why it is not served, "" where it is
}

// Pager is the technician's page, as far as the local API has to do with it.
type Pager interface {
	Page() Page
	SetPIN(salt, stretched []byte) error
}

// PIN is the body of POST /v1/page/pin: a salt, and what Argon2id makes of the PIN with it.
type PIN struct {
	Salt      []byte `json:"salt"`
	Stretched []byte `json:"stretched"`
}

func (s *Server) setPIN(w http.ResponseWriter, r *http.Request) {
	text, ok := body(w, r)
	defer clear(text)
	if !ok {
		return
	}
	var b PIN
	switch {
	case !decode(text, &b):
		answer(w, http.StatusBadRequest, problem{"the body is not a PIN"})
	case s.Page == nil:
		answer(w, http.StatusConflict, problem{"the agent serves no page: option web says where it is to be"})
	default:
		err := s.Page.SetPIN(b.Salt, b.Stretched)
		clear(b.Stretched)
		s.audit(r, "web set-pin", "", "", "done", err)
		if err != nil {
			s.fail(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// SetPIN changes the PIN of the page.
func (c *Client) SetPIN(ctx context.Context, pin PIN) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	text, err := json.Marshal(pin)
	if err != nil {
		return err
	}
	defer clear(text)
	resp, err := c.do(ctx, http.MethodPost, "/v1/page/pin", text)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
