package server

import (
	"golang.org/x/text/unicode/norm"

	"cpns.example.net/pngw/cpns"
)

// PasswordHashes are the Hash(Password) of a user's password in the two forms in
// which it may be typed: by keyboard and system é is one code point (NFC) or two
// (NFD). Gateways hash what was typed, as it was; either form authenticates. Where
// the forms do not differ, the two are the same.
type PasswordHashes struct{ NFC, NFD cpns.PasswordHash }

// HashPassword hashes a password of a user in both forms.
func HashPassword(u cpns.UserID, password []byte) *PasswordHashes {
	hash := func(form norm.Form) cpns.PasswordHash {
		text := form.Append(make([]byte, 0, 4*len(password)), password...)
		defer clear(text[:cap(text)])
		return cpns.HashPassword(u, text)
	}
	h := &PasswordHashes{NFC: hash(norm.NFC)}
	if h.NFD = h.NFC; !norm.NFC.IsNormal(password) || !norm.NFD.IsNormal(password) {
		h.NFD = hash(norm.NFD)
	}
	return h
}

// seal seals both for the user's row.
func (h *PasswordHashes) seal(v *vault, u cpns.UserID) (Sealed, error) {
	plain := append(append(make([]byte, 0, 2*len(h.NFC)), h.NFC[:]...), h.NFD[:]...)
	defer clear(plain)
	return v.seal(columnPasswordHash, string(u), plain)
}
