package idna_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"cpns.example.net/pngw/build/overlay/idna"
)

// Samples of RFC 3492, section 7.1, whose letters have no capitals among them.
var samples = map[string]string{
	"ليهمابتكلموشعربي؟": "egbpdaj6bu4bxfgehfvwxn",
	"他们为什么不说中文":         "ihqwcrb4cv8a8dqg056pqjye",
	"他們爲什麽不說中文":         "ihqwctvzc91f659drss3x8bo0yb",
	"3年b組金八先生":          "3b-ww4c5e180e575a65lsy2b",
	"ひとつ屋根の下2":          "2-u9tlzr9756bt3uc0v",
	"そのスピードで":           "d9juau41awczczp",
}

func TestSamples(t *testing.T) {
	for name, want := range samples {
		if got, err := idna.ToASCII("a." + name + ".example"); err != nil || got != "a.xn--"+want+".example" {
			t.Errorf("%s is %q, %v, want xn--%s", name, got, err, want)
		}
	}
}

// This test is built with Go's own package in net/http.
func TestAsNetHTTP(t *testing.T) {
	for _, name := range []string{
		"cpns.example", "CPNS.Example", "10.0.2.2", "bücher.example", "BÜCHER.example", "faß.example", "ΒΌΛΟΣ.example",
		"例え.テスト", "пример.испытание", "مثال.إختبار", "xn--bcher-kva.example", "a.ü.b.é", strings.Repeat("ü", 20) + ".example",
	} {
		var dialed string
		transport := &http.Transport{DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			dialed, _, _ = net.SplitHostPort(address)
			return nil, io.EOF
		}}
		r, err := http.NewRequest("GET", "http://"+name+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		transport.RoundTrip(r)
		if got, err := idna.Lookup.ToASCII(name); err != nil || got != dialed {
			t.Errorf("%s is looked up as %q, %v; by net/http as %q", name, got, err, dialed)
		}
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, host, _ := strings.Cut(b.String(), "\r\nHost: ")
		host, _, _ = strings.Cut(host, "\r\n")
		if got, err := idna.ToASCII(name); err != nil || got != host {
			t.Errorf("%s is asked for as %q, %v; by net/http as %q", name, got, err, host)
		}
	}
}

func TestNoName(t *testing.T) {
	for _, name := range []string{"a.\xff\xfe", strings.Repeat("ü", 200)} {
		if got, err := idna.ToASCII(name); err == nil {
			t.Errorf("%q is %q", name, got)
		}
	}
}
