package gba

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
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

func FuzzChallenge(f *testing.F) {
	f.Add(`Digest realm="b", nonce="` + base64.StdEncoding.EncodeToString(make([]byte, 40)) + `", algorithm=AKAv1-MD5, qop="auth-int"`)
	f.Fuzz(func(t *testing.T, header string) {
		if c, err := parseChallenge(header); (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
	})
}

func FuzzInfo(f *testing.F) {
	f.Add([]byte(`<BootstrappingInfo xmlns="uri:3gpp-gba"><btid>x@bsf</btid><lifetime>2026-12-31T23:59:59Z</lifetime></BootstrappingInfo>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if i, err := parseInfo(body); err == nil && (i.btid == "" || strings.ContainsAny(i.btid, "\r\n ")) {
			t.Fatalf("B-TID %q", i.btid)
		}
	})
}
