package mqtt

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTopics(t *testing.T) {
	tests := []struct{ entity, level string }{
		{"pne-0001", "pne-0001"},
		{"AZaz09-_~:", "AZaz09-_~:"},
		{"urn:imei:35-209900-176148-1", "urn:imei:35-209900-176148-1"},
		{"a/b", "a%2Fb"},
		{"+", "%2B"},
		{"#", "%23"},
		{"100%", "100%25"},
		{"$SYS", "%24SYS"},
		{"@gateway", "%40gateway"},
		{`!"'()*,;<=>?[\]^` + "`{|}&", "%21%22%27%28%29%2A%2C%3B%3C%3D%3E%3F%5B%5C%5D%5E%60%7B%7C%7D%26"},
	}
	topics := topics{"cpns"}
	for _, tt := range tests {
		if got, want := topics.down(tt.entity), "cpns/"+tt.level+"/down"; got != want {
			t.Errorf("down(%q) = %q, want %q", tt.entity, got, want)
		}
		up := topics.up(tt.entity)
		if want := "cpns/" + tt.level + "/up"; up != want {
			t.Errorf("up(%q) = %q, want %q", tt.entity, up, want)
		}
		if got, ok := topics.parseUp(up); !ok || got != tt.entity {
			t.Errorf("parseUp(%q) = %q, %v, want %q", up, got, ok, tt.entity)
		}
	}
	if got := topics.identify(); got != "cpns/identify" {
		t.Errorf("identify is %q", got)
	}
	if got := topics.everyUp(); got != "cpns/+/up" {
		t.Errorf("the gateway subscribes to %q", got)
	}
	if got := topics.status("gw/1"); got != "cpns/@gateway/gw%2F1/status" {
		t.Errorf("status is %q", got)
	}
}

// TestEveryEntityByte takes every byte that an Entity ID may hold there and back.
func TestEveryEntityByte(t *testing.T) {
	topics := topics{"house/7"}
	for c := byte(0x21); c <= 0x7e; c++ {
		want := "x" + string(c) + "y"
		topic := topics.up(want)
		if strings.Count(topic, "/") != 3 || strings.ContainsAny(topic, "+# ") {
			t.Errorf("byte %#x makes the topic %q", c, topic)
		}
		if got, ok := topics.parseUp(topic); !ok || got != want {
			t.Errorf("parseUp(%q) = %q, %v, want %q", topic, got, ok, want)
		}
	}
}

func TestParseUpRefuses(t *testing.T) {
	topics := topics{"cpns"}
	long := strings.Repeat("e", maxEntity+1)
	for _, topic := range []string{
		"", "cpns", "cpns/", "cpns/up", "cpns//up", "cpns/e", "cpns/e/down", "cpns/e/up/", "cpns/e/f/up",
		"CPNS/e/up", "other/e/up", "xcpns/e/up",
		"cpns/%61/up",             // a stands for itself
		"cpns/a.b/up",             // a dot does not
		"cpns/a%2fb/up",           // lower-case digits
		"cpns/%/up", "cpns/%2/up", // cut short
		"cpns/%GG/up",                  // no digits
		"cpns/a b/up", "cpns/a%20b/up", // space
		"cpns/a%00/up", "cpns/a%7F/up", // not printable
		"cpns/\xc3\xa9/up", "cpns/%C3%A9/up", // not ASCII
		"cpns/a+b/up", "cpns/@gateway/up", // need encoding
		"cpns/" + long + "/up",
	} {
		if got, ok := topics.parseUp(topic); ok {
			t.Errorf("parseUp(%q) = %q, want it refused", topic, got)
		}
	}
}

func FuzzParseUp(f *testing.F) {
	f.Add("cpns/pne-0001/up")
	f.Add("cpns/a%2Fb/up")
	f.Add("cpns/%/up")
	topics := topics{"cpns"}
	f.Fuzz(func(t *testing.T, topic string) {
		entity, ok := topics.parseUp(topic)
		if ok && (topics.up(entity) != topic || checkEntity(entity) != nil) {
			t.Errorf("parseUp(%q) = %q, which has the topic %q", topic, entity, topics.up(entity))
		}
	})
}

func TestCheckPrefix(t *testing.T) {
	for _, s := range []string{"cpns", "house/7/cpns", "Zürich"} {
		if err := checkPrefix(s); err != nil {
			t.Errorf("prefix %q: %v", s, err)
		}
	}
	for _, s := range []string{"", "/cpns", "cpns/", "$SYS", "a+b", "a/#", "a\x00", "\xff", strings.Repeat("p", maxPrefix+1)} {
		if checkPrefix(s) == nil {
			t.Errorf("prefix %q is accepted", s)
		}
	}
}

// TestNameVectors takes the topics of the shared vectors, which were made by an
// implementation that is not this one.
func TestNameVectors(t *testing.T) {
	found := 0
	for _, dir := range []string{"testdata", os.Getenv("CPNS_VECTORS")} {
		files, err := filepath.Glob(filepath.Join(dir, "protocol*.json"))
		if err != nil || dir == "" {
			continue
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				Names []struct {
					Entity string `json:"entity_id"`
					Topic  string
				}
			}
			if err := json.Unmarshal(text, &file); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, v := range file.Names {
				found++
				if got := escape(v.Entity); got != v.Topic {
					t.Errorf("escape(%q) = %q, want %q", v.Entity, got, v.Topic)
				}
				if got, ok := (topics{"cpns"}).parseUp("cpns/" + v.Topic + "/up"); !ok || got != v.Entity {
					t.Errorf("parseUp of %q is %q, %v, want %q", v.Topic, got, ok, v.Entity)
				}
			}
		}
	}
	if found == 0 {
		t.Error("zero vectors found")
	}
}
