// Package webpage is what the pages that programs of ours show in a browser have in
// common: files that are embedded compressed, and the headers that keep a page to itself.
// What their scripts and styles share is in web.
package webpage

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
)

// Types of files.
const (
	HTML       = "text/html; charset=utf-8"
	CSS        = "text/css; charset=utf-8"
	JavaScript = "text/javascript; charset=utf-8"
	SVG        = "image/svg+xml"
)

// A File is one of a page, compressed by gzip.
type File struct{ Type, Text string }

// ServeHTTP answers with the file. Its address has the hash of what it is made of behind
// a question mark, so that a browser keeps it until it is another.
func (f File) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.Type)
	if r.URL.RawQuery != "" {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		io.WriteString(w, f.Text)
		return
	}
	if z, err := gzip.NewReader(strings.NewReader(f.Text)); err == nil {
		io.Copy(w, z)
	}
}

// policy lets a page load from its own origin alone, and run nothing that is not a file
// of it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// SetHeaders sets what every answer of a page's origin has. camera says whether the page
// may use one.
func SetHeaders(h http.Header, camera bool) {
	allowed := "camera=(), microphone=(), geolocation=()"
	if camera {
		allowed = "camera=(self), microphone=(), geolocation=()"
	}
	for _, pair := range [...][2]string{
		{"Content-Security-Policy", policy},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Permissions-Policy", allowed},
		{"Cache-Control", "no-store"},
	} {
		h.Set(pair[0], pair[1])
	}
}
