// Package page is the operators' page: files for a browser that asks the admin API for
// all that it shows and does, as any program may. It has no rights of its own, keeps no
// session on the server, and sets no cookie: who logs in gives the page a token, which
// the tab keeps, or has a client certificate in the browser.
package page

import (
	_ "embed"
	"net/http"

	"cpns.example.net/pngw/internal/webpage"
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
	//go:embed dist/icon.svg.gz
	icon string
)

var files = map[string]webpage.File{
	"/{$}":      {Type: webpage.HTML, Text: index},
	"/app.css":  {Type: webpage.CSS, Text: css},
	"/app.js":   {Type: webpage.JavaScript, Text: app},
	"/de.js":    {Type: webpage.JavaScript, Text: german},
	"/icon.svg": {Type: webpage.SVG, Text: icon},
}

// Register serves the page at the root of mux.
func Register(mux *http.ServeMux) {
	for path, f := range files {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			webpage.SetHeaders(w.Header(), false)
			f.ServeHTTP(w, r)
		})
	}
}
