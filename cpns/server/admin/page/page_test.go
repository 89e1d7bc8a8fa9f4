package page

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestFiles: each is there, keeps the page to itself, and is no more than 60 kB with the
// others; nothing else is.
func TestFiles(t *testing.T) {
	mux := http.NewServeMux()
	Register(mux)
	ask := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w
	}
	total := 0
	for path, f := range files {
		total += len(f.Text)
		w := ask("GET", strings.TrimSuffix(path, "{$}"))
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Type") != f.Type || w.Body.Len() < 100 {
			t.Errorf("%s: %d, %v, %d bytes", path, w.Code, h, w.Body.Len())
		}
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "trusted-types 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy is %q, without %s", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || h.Get("Set-Cookie") != "" || !strings.Contains(h.Get("Permissions-Policy"), "camera=()") {
			t.Errorf("%s: %v", path, h)
		}
	}
	if total > 60_000 {
		t.Errorf("the page has %d bytes", total)
	}
	for _, path := range []string{"/dist/app.js.gz", "/page.go", "/index.html"} {
		if w := ask("GET", path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := ask("POST", "/"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}
