package cpns

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

type step0Vectors struct {
	Codes []struct {
		Code   string    `json:"code"`
		Server string    `json:"server"`
		Pin    hexBytes  `json:"pin"`
		Secret *hexBytes `json:"secret"`
		ID     *string   `json:"id"`
	} `json:"codes"`
	FP                  hex32       `json:"fp"`
	Fingerprint         string      `json:"fingerprint"`
	ExporterPSK1        hexBytes    `json:"exporter_psk1"`
	Identity            PSKIdentity `json:"identity"`
	Confirmation        string      `json:"confirmation"`
	ExporterContextPSK1 hexBytes    `json:"exporter_context_psk1"`
	ExporterEnrolment   hex32       `json:"exporter_enrolment"`
	Secret              hexBytes    `json:"secret"`
	Proof               string      `json:"proof"`
}

func loadStep0(t testing.TB) *step0Vectors { return loadAllStep0(t)[0] }

// loadAllStep0 is that of every file of vectors that has some, ours first.
func loadAllStep0(t testing.TB) (all []*step0Vectors) {
	t.Helper()
	for _, file := range vectorFiles(t, "protocol*.json") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ Step0 *step0Vectors }
		if err := json.Unmarshal(content, &v); err != nil {
			t.Fatal(err)
		}
		if v.Step0 != nil {
			all = append(all, v.Step0)
		}
	}
	if len(all) == 0 || len(all[0].Codes) == 0 || all[0].Fingerprint == "" {
		t.Fatal("zero vectors found")
	}
	return all
}

func TestStep0(t *testing.T) {
	for _, v := range loadAllStep0(t) {
		testStep0(t, v)
	}
}

func testStep0(t *testing.T, v *step0Vectors) {
	fp := SPKIHash(v.FP)
	if got := fp.Fingerprint(); got != v.Fingerprint {
		t.Errorf("fingerprint %s, want %s", got, v.Fingerprint)
	}
	if got, err := ParseFingerprint(strings.ToLower(strings.ReplaceAll(v.Fingerprint, "-", " "))); got != v.Fingerprint || err != nil {
		t.Errorf("typed fingerprint: %q, %v", got, err)
	}
	for _, bad := range []string{"", v.Fingerprint[:38], v.Fingerprint + "A", "1" + v.Fingerprint[1:]} {
		if _, err := ParseFingerprint(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("fingerprint %q: got error %v, want ErrMalformed", bad, err)
		}
	}
	equal(t, "exporter's context", PSK1Context(fp, v.Identity), v.ExporterContextPSK1)
	confirmation := Confirmation(PSK1(v.ExporterPSK1), v.Identity)
	if got := Base64.EncodeToString(confirmation[:]); got != v.Confirmation {
		t.Errorf("confirmation %s, want %s", got, v.Confirmation)
	}
	secret := EnrolmentSecret(v.Secret)
	proof := EnrolmentProof(&secret, fp, (*[32]byte)(&v.ExporterEnrolment))
	if got := Base64.EncodeToString(proof[:]); got != v.Proof {
		t.Errorf("proof %s, want %s", got, v.Proof)
	}
}

func TestEnrolmentCodes(t *testing.T) {
	for _, v := range loadAllStep0(t) {
		testEnrolmentCodes(t, v)
	}
}

func testEnrolmentCodes(t *testing.T, v *step0Vectors) {
	for _, c := range v.Codes {
		want := EnrolmentCode{Server: c.Server, Pin: Pin(c.Pin)}
		if c.Secret != nil {
			s := EnrolmentSecret(*c.Secret)
			want.Secret = &s
		}
		if c.ID != nil {
			want.ID = GatewayID(*c.ID)
		}
		if got, err := want.Text(); got != c.Code || err != nil {
			t.Errorf("text %s, %v, want %s", got, err, c.Code)
		}
		for _, typed := range []string{c.Code, strings.ToLower(c.Code), strings.ReplaceAll(c.Code, "-", " "), strings.ReplaceAll(c.Code, "-", "") + "\n"} {
			got, err := ParseEnrolmentCode(typed)
			if err != nil {
				t.Fatalf("%q: %v", typed, err)
			}
			if got.Server != want.Server || got.Pin != want.Pin || got.ID != want.ID || (got.Secret == nil) != (want.Secret == nil) ||
				got.Secret != nil && *got.Secret != *want.Secret {
				t.Errorf("%q: got another code", typed)
			}
		}
	}
}

// TestMistypedCodes: every letter of a code, wrong in every way, is noticed, and
// its group is named.
func TestMistypedCodes(t *testing.T) {
	code := loadStep0(t).Codes[0].Code
	groups := strings.Split(code, "-")
	for g := 1; g < len(groups); g++ {
		for i := range groups[g] {
			for _, letter := range []string{"A", "7", "Q"} {
				if groups[g][i:i+1] == letter {
					continue
				}
				bad := append([]string{}, groups...)
				bad[g] = groups[g][:i] + letter + groups[g][i+1:]
				wantMistyped(t, strings.Join(bad, "-"), g)
			}
			if i+1 < len(groups[g]) && groups[g][i] != groups[g][i+1] {
				bad := append([]string{}, groups...)
				bad[g] = groups[g][:i] + groups[g][i+1:i+2] + groups[g][i:i+1] + groups[g][i+2:]
				wantMistyped(t, strings.Join(bad, "-"), g)
			}
		}
	}
	for typed, want := range map[string]string{
		"":                                 "does not begin with CPNS1",
		"CPNS2" + code[5:]:                 "another version",
		code[:len(code)-2]:                 "a letter is wrong or missing",
		code + "A":                         "a letter is wrong or missing",
		"CPNS1-":                           "a letter is wrong or missing",
		strings.Replace(code, "O", "0", 1): "is it the letter O?",
		strings.Replace(code, "QR2WG", "QR2é8", 1): "group 1 (QR2",
		code + strings.Repeat("A", 2000):           "too many",
	} {
		if _, err := ParseEnrolmentCode(typed); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got error %v, want %q", typed, err, want)
		}
	}
}

func wantMistyped(t *testing.T, typed string, group int) {
	t.Helper()
	_, err := ParseEnrolmentCode(typed)
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "group ") || !strings.Contains(err.Error(), " "+strings.Split(typed, "-")[group]+")") &&
		!strings.Contains(err.Error(), "("+strings.Split(typed, "-")[group]+")") {
		t.Fatalf("%s: got error %v, want group %d named", typed, err, group)
	}
}

// TestCodesRefused: what is sealed by good check bytes and is no code all the same.
func TestCodesRefused(t *testing.T) {
	pin, secret := Pin{1}, EnrolmentSecret{2}
	for name, payload := range map[string][]byte{
		"two elements":     arrayOfAll("h:1", pin),
		"five elements":    arrayOfAll("h:1", pin, secret, "id", 1),
		"pin of 15 bytes":  arrayOfAll("h:1", pin[:15], nil),
		"secret too short": arrayOfAll("h:1", pin, secret[:15]),
		"empty ID":         arrayOfAll("h:1", pin, secret, ""),
		"ID with a space":  arrayOfAll("h:1", pin, secret, "a b"),
		"ID null":          arrayOfAll("h:1", pin, secret, nil),
		"no port":          arrayOfAll("host", pin, secret),
		"port 0":           arrayOfAll("host:0", pin, secret),
		"port 065":         arrayOfAll("host:065", pin, secret),
		"port 65536":       arrayOfAll("host:65536", pin, secret),
		"no host":          arrayOfAll(":1", pin, secret),
		"a URL":            arrayOfAll("https://host:1", pin, secret),
		"control bytes":    arrayOfAll("ho\x1bst:1", pin, secret),
		"bare IPv6":        arrayOfAll("::1:443", pin, secret),
		"no IPv6":          arrayOfAll("[1.2.3.4]:443", pin, secret),
		"a zone":           arrayOfAll("[fe80::1%eth0]:443", pin, secret),
		"81 bytes":         arrayOfAll(strings.Repeat("a.", 39)+"a:1", pin, secret),
		"a map":            marshal(map[int]int{1: 2}),
	} {
		sum := HashSPKI(payload)
		typed := codePrefix + codeAlphabet.EncodeToString(append(payload, sum[:4]...))
		if c, err := ParseEnrolmentCode(typed); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v, want ErrMalformed", name, c, err)
		}
	}
	for _, server := range []string{"[::1]:443", "127.0.0.1:1", "cpns.example.net:65535"} {
		text, err := (&EnrolmentCode{Server: server}).Text()
		if err != nil {
			t.Errorf("%s: %v", server, err)
		}
		if got, err := ParseEnrolmentCode(text); err != nil || got.Server != server {
			t.Errorf("%s: got %+v, %v", server, got, err)
		}
	}
}

func FuzzEnrolmentCode(f *testing.F) {
	for _, c := range loadStep0(f).Codes {
		f.Add(c.Code)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		c, err := ParseEnrolmentCode(typed)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("refused with %v, want ErrMalformed", err)
			}
			return
		}
		text, err := c.Text()
		if err != nil {
			t.Fatalf("accepted, but has no text: %v", err)
		}
		again, err := ParseEnrolmentCode(text)
		if err != nil || again.Server != c.Server || again.ID != c.ID {
			t.Fatalf("%q reads as another: %v", text, err)
		}
	})
}
