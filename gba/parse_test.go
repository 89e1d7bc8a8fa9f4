package gba

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestChallenges(t *testing.T) {
	nonce := base64.StdEncoding.EncodeToString(make([]byte, 32))
	good := `Digest realm="bsf.example", nonce="` + nonce + `", algorithm=AKAv1-MD5, qop="auth,auth-int", opaque="a\"b"`
	c, err := parseChallenge(good)
	if err != nil || c.realm != "bsf.example" || c.opaque != `a"b` {
		t.Fatalf("%+v, %v", c, err)
	}
	for name, header := range map[string]string{
		"not Digest":      `Basic realm="x"`,
		"empty":           ``,
		"algorithm":       strings.Replace(good, "AKAv1-MD5", "MD5", 1),
		"no algorithm":    strings.Replace(good, ", algorithm=AKAv1-MD5", "", 1),
		"auth only":       strings.Replace(good, "auth,auth-int", "auth", 1),
		"nonce of 31":     strings.Replace(good, nonce, base64.StdEncoding.EncodeToString(make([]byte, 31)), 1),
		"nonce no base64": strings.Replace(good, nonce, "!!"+nonce, 1),
		"nonce twice":     good + `, nonce="` + nonce + `"`,
		"no end":          good + `, x="`,
		"no value":        good + `, x`,
		"no comma":        good + ` realm="y"`,
		"too long":        good + strings.Repeat(" ", 5000) + `, x="y"`,
		"too many":        good + strings.Repeat(`, ,`, 3) + manyParams(40),
	} {
		if c, err := parseChallenge(header); err == nil {
			t.Errorf("%s: taken as %+v", name, c)
		}
	}
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(", p" + strings.Repeat("x", i) + "=1")
	}
	return b.String()
}

func TestHeadersCarryNoControlBytes(t *testing.T) {
	if h, err := announcement("user\r\nX-Evil: 1", "r", "/"); err == nil {
		t.Errorf("made %q", h)
	}
	if h, err := announcement(`a"b\c`, "r", "/"); err != nil || !strings.Contains(h, `username="a\"b\\c"`) {
		t.Errorf("made %q, %v", h, err)
	}
}

func TestInfo(t *testing.T) {
	good := `<?xml version="1.0"?><BootstrappingInfo xmlns="uri:3gpp-gba"><btid>x@bsf</btid><lifetime>2026-12-31T23:59:59Z</lifetime></BootstrappingInfo>`
	i, err := parseInfo([]byte(good))
	if err != nil || i.btid != "x@bsf" || i.lifetime.Year() != 2026 {
		t.Fatalf("%+v, %v", i, err)
	}
	for name, body := range map[string]string{
		"empty":          "",
		"no XML":         "hello",
		"another root":   strings.ReplaceAll(good, "BootstrappingInfo", "Other"),
		"a DTD":          strings.Replace(good, "<Boot", `<!DOCTYPE x [<!ENTITY e "v">]><Boot`, 1),
		"an entity":      strings.Replace(good, "x@bsf", "&e;", 1),
		"no btid":        strings.Replace(good, "<btid>x@bsf</btid>", "", 1),
		"btid empty":     strings.Replace(good, "x@bsf", " ", 1),
		"btid twice":     strings.Replace(good, "<lifetime>", "<btid>y</btid><lifetime>", 1),
		"line break":     strings.Replace(good, "x@bsf", "x\n@bsf", 1),
		"long btid":      strings.Replace(good, "x@bsf", strings.Repeat("x", 129), 1),
		"lifetime words": strings.Replace(good, "2026-12-31T23:59:59Z", "tomorrow", 1),
		"cut":            good[:len(good)-5],
		"two roots":      good + good,
		"text after":     good + "x",
		"text before":    "x" + good,
		"cdata after":    good + "<![CDATA[]]>",
		"crossed":        strings.Replace(good, "</lifetime></Boot", "</Boot", 1),
		"another prefix": strings.Replace(good, "</btid>", "</g:btid>", 1),
		"no quotes":      strings.Replace(good, `"uri:3gpp-gba"`, "uri", 1),
		"no end quote":   strings.Replace(good, `gba"`, "gba", 1),
		"bad name":       strings.Replace(good, "<lifetime>", "<1/><lifetime>", 1),
		"two colons":     strings.Replace(good, "<lifetime>", "<a:b:c/><lifetime>", 1),
		"attributes run": strings.Replace(good, `gba"`, `gba"b="c"`, 1),
		"control byte":   strings.Replace(good, "<lifetime>", "\x01<lifetime>", 1),
		"no UTF-8":       strings.Replace(good, "<lifetime>", "\xff<lifetime>", 1),
		"bad reference":  strings.Replace(good, "x@bsf", "x&#0;", 1),
		"far reference":  strings.Replace(good, "x@bsf", "x&#x110000;", 1),
		"dashes":         strings.Replace(good, "<lifetime>", "<!-- -- --><lifetime>", 1),
		"comment open":   good + "<!-- ",
		"too deep":       strings.Replace(good, "<btid>", strings.Repeat("<a>", 20)+"<btid>", 1),
		"too long":       good + strings.Repeat(" ", 17<<10),
	} {
		if i, err := parseInfo([]byte(body)); err == nil {
			t.Errorf("%s: taken as %+v", name, i)
		}
	}
}

func TestAuthenticateAnswers(t *testing.T) {
	good := unhex(t, "db04aabbccdd10"+strings.Repeat("11", 16)+"10"+strings.Repeat("22", 16)+"08"+strings.Repeat("33", 8))
	v, err := parseAuthenticate(good)
	if err != nil || len(v.RES) != 4 || v.CK[0] != 0x11 || v.IK[15] != 0x22 {
		t.Fatalf("%v, %v", v, err)
	}
	var sync *SyncError
	if _, err := parseAuthenticate(unhex(t, "dc0e"+strings.Repeat("44", 14))); !errors.As(err, &sync) || sync.AUTS[13] != 0x44 {
		t.Errorf("AUTS: %v", err)
	}
	for name, h := range map[string]string{
		"empty": "", "only a tag": "db", "RES of 3": "db03aabbcc10" + strings.Repeat("11", 16) + "10" + strings.Repeat("22", 16),
		"RES of 17": "db11" + strings.Repeat("aa", 17) + "10" + strings.Repeat("11", 16) + "10" + strings.Repeat("22", 16),
		"CK short":  "db04aabbccdd0f" + strings.Repeat("11", 15) + "10" + strings.Repeat("22", 16),
		"no IK":     "db04aabbccdd10" + strings.Repeat("11", 16), "length beyond": "db04aabbccddff11",
		"AUTS of 13": "dc0d" + strings.Repeat("44", 13), "another tag": "de0401020304",
	} {
		if v, err := parseAuthenticate(unhex(t, h)); err == nil || errors.As(err, &sync) {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

// TestInfoVariants: the same, as other writers of XML put it.
func TestInfoVariants(t *testing.T) {
	for name, body := range map[string]string{
		"bare":     `<BootstrappingInfo><btid>x@bsf</btid><lifetime>2026-12-31T23:59:59Z</lifetime></BootstrappingInfo>`,
		"prefixes": `<g:BootstrappingInfo xmlns:g='uri:3gpp-gba'><g:btid>x@bsf</g:btid><g:lifetime>2026-12-31T23:59:59Z</g:lifetime></g:BootstrappingInfo>`,
		"spread": "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<!-- a > b -->\r\n<BootstrappingInfo\r\n xmlns = \"uri:3gpp-gba\" >\r\n" +
			"\t<btid >\r\n x@bsf </btid\t>\r\n<lifetime>2026-12-31T23:59:59Z</lifetime></BootstrappingInfo >\r\n<?end?>",
		"references": `<BootstrappingInfo a="&quot;>"><btid>x&#64;b&#x73;f</btid><lifetime><![CDATA[2026-12-31T23:59:59Z]]></lifetime></BootstrappingInfo>`,
		"more":       `<BootstrappingInfo><other><btid>y</btid></other><empty/><btid>x@<i>y</i>bsf</btid><lifetime>2026-12-31T23:59:59.000+00:00</lifetime></BootstrappingInfo>`,
	} {
		if i, err := parseInfo([]byte(body)); err != nil || i.btid != "x@bsf" || i.lifetime.UTC().Format(time.RFC3339) != "2026-12-31T23:59:59Z" {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Digest realm="b", nonce="` + base64.StdEncoding.EncodeToString(make([]byte, 40)) + `", algorithm=AKAv1-MD5, qop="auth-int"`)
	f.Add(`Digest realm="b\"\\", nonce="` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `", opaque="o", algorithm=AKAv1-MD5, qop="auth,auth-int"`)
	f.Fuzz(func(t *testing.T, header string) {
		c, err := parseChallenge(header)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err != nil {
			return
		}
		// What is taken can be answered in one line, which says the same.
		x := &exchange{challenge: c, impi: "1@ims", method: "GET", uri: "/", cnonce: "00"}
		answer, err := x.authorization(x.a1(nil), "")
		if err != nil {
			return
		}
		p, err := parseParams(answer)
		if err != nil || strings.ContainsAny(answer, "\r\n") || p["realm"] != c.realm || p["nonce"] != c.nonce || p["opaque"] != c.opaque {
			t.Fatalf("%q is answered by %q: %v", header, answer, err)
		}
	})
}

// FuzzInfo: what is taken encoding/xml takes too, and reads the same from it.
func FuzzInfo(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0"?><BootstrappingInfo xmlns="uri:3gpp-gba"><btid>x@bsf</btid><lifetime>2026-12-31T23:59:59Z</lifetime></BootstrappingInfo>`))
	f.Add([]byte("\xef\xbb\xbf<!-- a -->\r\n<g:BootstrappingInfo a='b' ><g:btid>x&#64;<![CDATA[b]]>sf</g:btid><i/><g:lifetime>2026-12-31T23:59:59Z</g:lifetime></g:BootstrappingInfo ><?a b?>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		i, err := parseInfo(body)
		if err != nil {
			return
		}
		if i.btid == "" || strings.ContainsAny(i.btid, "\r\n ") {
			t.Fatalf("B-TID %q", i.btid)
		}
		btid, lifetime, err := readByLibrary(body)
		if err != nil {
			t.Fatalf("it is no XML: %v", err)
		}
		if want, err := newInfo(btid, lifetime); err != nil || *want != *i {
			t.Fatalf("%+v, encoding/xml reads %+v, %v", i, want, err)
		}
	})
}

// readByLibrary reads a BootstrappingInfo with encoding/xml.
func readByLibrary(body []byte) (btid, lifetime string, err error) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var path []string
	for {
		token, err := d.Token()
		if err == io.EOF {
			return btid, lifetime, nil
		}
		switch token := token.(type) {
		case nil:
			return "", "", err
		case xml.StartElement:
			path = append(path, token.Name.Local)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) == 2 && path[1] == "btid" {
				btid += string(token)
			}
			if len(path) == 2 && path[1] == "lifetime" {
				lifetime += string(token)
			}
		}
	}
}
