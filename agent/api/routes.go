package api

import (
	"net/http"
	"strings"
)

// Routes are what a server answers, by method and path: "GET /v1/status", which is also
// HEAD's, or "GET /v1/pnes/*" for whatever is below, see [Below]. An exact one comes
// first, and no path is below two. http.ServeMux can do more, which takes 24 kB on a
// router and is in the way of Entity IDs: it sends clients that ask for "//" or ".." to a
// path without.
type Routes map[string]http.HandlerFunc

// Answer has the route of r answer it, or otherwise where there is none.
func (routes Routes) Answer(w http.ResponseWriter, r *http.Request, otherwise http.HandlerFunc) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	asked := method + " " + r.URL.Path
	f := routes[asked]
	for route, below := range routes {
		if f != nil {
			break
		}
		if prefix, ok := strings.CutSuffix(route, "*"); ok && strings.HasPrefix(asked, prefix) {
			f = below
		}
	}
	if f == nil {
		f = otherwise
	}
	f(w, r)
}

// Below is what follows prefix in r's path, which a route of prefix and * has matched.
func Below(r *http.Request, prefix string) string { return strings.TrimPrefix(r.URL.Path, prefix) }
