package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestRoutes(t *testing.T) {
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text+Below(r, "/v1/a/")) }
	}
	routes := Routes{
		"GET /": say("root of "), "GET /v1/a": say("exact "), "POST /v1/a": say("post "),
		"GET /v1/a/*": say("below "), "GET /v1/a/b": say("first "), "DELETE /v1/a/*": say("delete "),
	}
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/", "root of /"},
		{"GET", "/v1/a", "exact /v1/a"},
		{"HEAD", "/v1/a", "exact /v1/a"},
		{"POST", "/v1/a", "post /v1/a"},
		{"GET", "/v1/a/b", "first b"},
		{"GET", "/v1/a/", "below "},
		{"GET", "/v1/a//x/../y/", "below /x/../y/"},
		{"HEAD", "/v1/a/b/c", "below b/c"},
		{"DELETE", "/v1/a/b", "delete b"},
		{"GET", "/v1", "otherwise /v1"},
		{"GET", "/v1/ab", "otherwise /v1/ab"},
		{"GET", "/v1/a*", "otherwise /v1/a*"},
		{"GET", "//", "otherwise //"},
		{"GET", "", "otherwise "},
		{"PUT", "/v1/a", "otherwise /v1/a"},
		{"POST", "/v1/a/b", "otherwise b"},
		{"get", "/", "otherwise /"},
		{"", "GET /", "otherwise GET /"},
	} {
		w := httptest.NewRecorder()
		routes.Answer(w, &http.Request{Method: c.method, URL: &url.URL{Path: c.path}}, say("otherwise "))
		if got := w.Body.String(); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.method, c.path, got, c.want)
		}
	}
}
