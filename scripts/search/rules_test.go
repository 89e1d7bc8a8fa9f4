// Package search takes the rules of section 4 of docs/protocol.md out of the code,
// one at a time, and wants the search of agent/life to find what each is for.
package search

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// edit is a change of one place in a file.
type edit struct{ file, old, new string }

// rule is a rule of section 4, the scenario of the search that finds what it is
// for, and the change that takes it out.
type rule struct {
	says, scenario string
	edits          []edit
}

var rules = []rule{
	// What a PNE does.
	{"one hello earns one key", "delivery", []edit{
		{"cpns/pne/notification.go", "	d.spend()\n", ""},
	}},
	{"the PNE stores before it acknowledges", "power_cut", []edit{
		{"cpns/pne/notification.go", "if err := d.config.Storage.Save(next); err != nil {", "if err := error(nil); err != nil {"},
	}},
	// Bindings.
	{"a notification opens for the hello that it answers", "volatile", []edit{
		{"cpns/notification.go", "deriveKey(secret, hello[:], ", "deriveKey(secret, make([]byte, 32), "},
	}},
	{"a response is bound to its challenge", "command", []edit{
		{"cpns/authresponse.go", "deriveKey(key[:], authContext(randGW, &m.RandPNE),", "deriveKey(key[:], authContext(&m.RandPNE, &m.RandPNE),"},
		{"cpns/authresponse.go", "g, randGW, &m.RandPNE, m.Epoch", "g, &m.RandPNE, m.Epoch"},
	}},
	{"an update is bound to its challenge", "delivery", []edit{
		{"cpns/eukeyupdate.go", "deriveKey(secret, authContext(randGW, randPNE),", "deriveKey(secret, make([]byte, 32),"},
		{"cpns/eukeyupdate.go", "g, randGW, randPNE, m.Epoch", "g, m.Epoch"},
	}},
	{"an acknowledgement is bound to what it acknowledges", "delivery", []edit{
		{"cpns/acknowledgement.go", "deriveKey(key[:], c.salt, ", "deriveKey(key[:], make([]byte, 32), "},
		{"cpns/acknowledgement.go", "m.Index, c.acknowledged)", "m.Index)"},
	}},
	// The table of hellos.
	{"no hello whose tag does not verify is answered", "rewritten", []edit{
		{"agent/life/hello.go", "	if h.Verify(t.TK) != nil {\n		return p.tagFails(w)", "	if false {\n		return p.tagFails(w)"},
	}},
	{"a PNE that holds nothing gets the key after the last proved", "volatile", []edit{
		{"agent/life/notify.go", "index := t.Proved + 1", "index := max(t.Proved, 1)"},
	}},
	{"the newest set's epoch gets a challenge", "delivery", []edit{
		{"agent/life/hello.go", "	case h.Epoch == t.Epoch && !(p.rec.readmitted && h.Index <= t.Proved):\n		return p.challenged(&sum, w)\n", ""},
	}},
	{"an older epoch gets a notification of the newest set", "newer_set", []edit{
		{"agent/life/hello.go", "	case t.usedUp():\n", "	case h.Epoch != 0 && h.Epoch < t.Epoch:\n	case t.usedUp():\n"},
	}},
	{"after readmit an index above the last proved gets a challenge", "readmitted", []edit{
		{"agent/life/hello.go", "p.rec.readmitted && h.Index <= t.Proved", "p.rec.readmitted"},
	}},
	{"after readmit an index not above the last proved gets a notification", "readmitted", []edit{
		{"agent/life/hello.go", "!(p.rec.readmitted && h.Index <= t.Proved)", "true"},
	}},
	// Challenges, responses, updates.
	{"the first valid response, and any move of the index, ends a challenge", "command", []edit{
		{"agent/life/authenticate.go", "	p.mem.challenge = challenging{}\n	switch", "	switch"},
		{"agent/life/pne.go", "p.mem.notify, p.mem.challenge, p.mem.update = notifying{}, challenging{}, updating{}", "p.mem.notify, p.mem.update = notifying{}, updating{}"},
	}},
	{"a response that proves a later index is believed", "delivery", []edit{
		{"agent/life/authenticate.go", "	later := m.Index > t.Proved\n", "	if m.Index > t.Proved {\n		return p, nil\n	}\n	later := m.Index > t.Proved\n"},
	}},
	{"a response that proves an earlier index raises the alarm", "rollback", []edit{
		{"agent/life/authenticate.go", "		return p.raiseAlarm(t, m.Index, w)\n", "		return p, nil\n"},
	}},
	{"a readmitted PNE raises no second alarm", "readmitted", []edit{
		{"agent/life/authenticate.go", "	case m.Index <= t.Proved && p.rec.readmitted:", "	case false:"},
		{"agent/life/authenticate.go", "	case p.pending(): // it is to say hello, and be given the key\n		return p.askForHello(w)\n", ""},
	}},
	{"an authentication that a hello began stays", "delivery", []edit{
		{"agent/life/authenticate.go", "!asked && !p.scheduleDue(t, w)", "!asked && false"},
	}},
	{"the schedule counts from when an update with a key is first sent", "moved_by_the_schedule", []edit{
		{"agent/life/authenticate.go", "		p.mem.advanced = w.Now\n", ""},
		{"agent/life/pne.go", "		p.rec.advanced = when.Unix()\n", ""},
	}},
	{"leave to move on ends with the key that it was for", "command", []edit{
		{"agent/life/authenticate.go", "asked := q.epoch == t.Epoch && q.index == t.Proved;", "asked := q.epoch == t.Epoch;"},
		{"agent/life/pne.go", "	p.mem.offered, p.mem.permit = offer{}, permission{}", "	p.mem.offered = offer{}"},
	}},
	// Proofs, sets, waiting.
	{"a key counts only after a valid acknowledgement", "delivery", []edit{
		{"agent/life/notify.go", "if m.Verify(&n.key, cpns.NotificationContext(&n.answers[i].hello), t.Gateway) == nil {", "if true {"},
	}},
	{"a set's epoch is above every epoch known", "newer_set", []edit{
		{"agent/life/record.go", "t.Epoch <= known {", "false {"},
	}},
	{"identifies go on until the PNE has proved a key", "delivery", []edit{
		{"agent/life/repeat.go", "	if p.pending() && !p.closed(w) {\n", "	if false {\n"},
	}},
}

var found = regexp.MustCompile(`found: (.*)`)

func TestEachRuleIsNeeded(t *testing.T) {
	for _, r := range rules {
		t.Run(strings.ReplaceAll(r.says, " ", "_"), func(t *testing.T) {
			out, failed := searchWith(t, r)
			what := found.FindSubmatch(out)
			switch {
			case !failed:
				t.Errorf("nothing is found without it")
			case what == nil:
				t.Errorf("it failed otherwise:\n%.3000s", out)
			default:
				t.Logf("%s", what[1])
			}
		})
	}
}

// searchWith runs one scenario of the search without a rule.
func searchWith(t *testing.T, r rule) (out []byte, failed bool) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed := map[string]string{}
	replace := map[string]string{}
	for _, e := range r.edits {
		path := filepath.Join(root, e.file)
		source, ok := changed[path]
		if !ok {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			source = string(b)
		}
		if strings.Count(source, e.old) != 1 {
			t.Fatalf("%s has %d times, want once:\n%s", e.file, strings.Count(source, e.old), e.old)
		}
		changed[path] = strings.Replace(source, e.old, e.new, 1)
	}
	for path, source := range changed {
		copied := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(path, root), "/", "_"))
		if err := os.WriteFile(copied, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = copied
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-failfast", "-overlay", file, "-run", "^TestSearch$/^"+r.scenario+"$", "./agent/life")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CPNS_SEARCH=20000")
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err = cmd.Run()
	return b.Bytes(), err != nil
}
