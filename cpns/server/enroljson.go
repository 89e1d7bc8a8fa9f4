package server

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"unicode"

	"cpns.example.net/pngw/cpns"
)

// What a board may say of itself. It is shown to people and is a hint, never evidence.
const (
	maxHint = 64 // characters
	maxMACs = 16
)

// An enrolmentRequest is what a gateway says that asks to be taken in.
type enrolmentRequest struct {
	id            cpns.GatewayID // "" for none
	proof         []byte         // 32 bytes; nil for none
	model, serial string
	macs          []string
}

// parseEnrolment reads the body of an enrolment. Its errors are problems.
func parseEnrolment(body []byte) (*enrolmentRequest, error) {
	bad := func(detail string) (*enrolmentRequest, error) {
		return nil, &problem{status: http.StatusBadRequest, detail: "the enrolment " + detail}
	}
	var in struct {
		GatewayID *string  `json:"gateway_id"`
		Proof     *string  `json:"proof"`
		Model     string   `json:"model"`
		Serial    string   `json:"serial"`
		MACs      []string `json:"macs"`
	}
	if json.Unmarshal(body, &in) != nil {
		return bad("is not the JSON that it should be")
	}
	out := &enrolmentRequest{model: hint(in.Model), serial: hint(in.Serial)}
	if in.GatewayID != nil {
		id, err := cpns.ParseGatewayID(*in.GatewayID)
		if err != nil {
			return bad("has no good gateway_id: " + err.Error())
		}
		out.id = id
	}
	if in.Proof != nil {
		proof, err := cpns.Base64.DecodeString(*in.Proof)
		if err != nil || len(proof) != cpns.ExporterSize {
			return bad("has a proof that is not 32 bytes in base64url")
		}
		out.proof = proof
	}
	for _, text := range in.MACs {
		if mac, err := net.ParseMAC(text); err == nil && len(out.macs) < maxMACs {
			out.macs = append(out.macs, mac.String())
		}
	}
	return out, nil
}

// hint is text from a board, fit to be shown, searched and compared: printable, on one
// line, bounded.
func hint(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.Join(strings.Fields(text), " ") {
		if n == maxHint {
			break
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			r = '?'
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}
