package page

import (
	"compress/gzip"
	_ "embed"
	"io"
	"net/http"
	"strings"
)

// The page's files, compressed, as scripts/web/build.mjs makes them out of web/.
var (
	//go:embed dist/index.html.gz
	index string
	//go:embed dist/app.css.gz
	css string
	//go:embed dist/app.js.gz
	app string
	//go:embed dist/de.js.gz
	german string
	//go:embed dist/argon2.js.gz
	argon2 string
	//go:embed dist/scan.js.gz
	scan string
	//go:embed dist/icon.svg.gz
	icon string
)

type file struct{ kind, text string }

var files = map[string]file{
	"/{$}":       {"text/html; charset=utf-8", index},
	"/app.css":   {"text/css; charset=utf-8", css},
	"/app.js":    {javascript, app},
	"/de.js":     {javascript, german},
	"/argon2.js": {javascript, argon2},
	"/scan.js":   {javascript, scan},
	"/icon.svg":  {"image/svg+xml", icon},
}

const javascript = "text/javascript; charset=utf-8"

// serve answers with a file. Its address has the hash of what it is made of behind a
// question mark, so that a phone keeps it until it is another.
func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	if r.URL.RawQuery != "" {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		io.WriteString(w, f.text)
		return
	}
	if z, err := gzip.NewReader(strings.NewReader(f.text)); err == nil {
		io.Copy(w, z)
	}
}
