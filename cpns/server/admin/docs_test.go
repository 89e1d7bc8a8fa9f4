package admin

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"cpns.example.net/pngw/cpns/server"
)

// The table of docs/admin-api.md has every endpoint, under the role that it takes, and
// the kinds of problems are those that there are.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/admin-api.md")
	must(t, err)
	said := make(map[string]server.Role)
	path := regexp.MustCompile("`(/[^`]*)`")
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`/") {
			continue
		}
		first := ""
		for _, m := range path.FindAllStringSubmatch(cells[1], -1) {
			p := m[1]
			if first == "" {
				first = p
			} else if endpointAt(p) == nil { // beside the first, without what they share
				p = first[:strings.LastIndex(first, "/")] + p
			}
			for n, role := range []server.Role{server.RoleAuditor, server.RoleOperator, server.RoleAdmin} {
				for method := range strings.SplitSeq(cells[2+n], ",") {
					if method = strings.TrimSpace(method); method != "" {
						said[method+" "+p] = role
					}
				}
			}
		}
	}
	for _, e := range endpoints() {
		name := e.method + " " + e.path
		if role, ok := said[name]; e.role != "" && (!ok || role != e.role) {
			t.Errorf("%s takes the role %s, and the table says %q", name, e.role, role)
		}
		delete(said, name)
	}
	for name := range said {
		t.Errorf("the table has %s, and there is none", name)
	}
	source, err := os.ReadFile("problem.go")
	must(t, err)
	for _, m := range regexp.MustCompile(`kind\w+\s+= "([a-z0-9-]+)"`).FindAllStringSubmatch(string(source), -1) {
		if !strings.Contains(string(text), "`"+m[1]+"`") {
			t.Errorf("the kind %s is not documented", m[1])
		}
	}
}

func endpointAt(path string) *endpoint {
	for _, e := range endpoints() {
		if e.path == path {
			return e
		}
	}
	return nil
}
