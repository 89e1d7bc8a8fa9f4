package lab

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/gba"
)

// TestMilenage is test set 1 of TS 35.208, through the soft SIM.
func TestMilenage(t *testing.T) {
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	s := &Subscriber{K: unhex("465b5ce8b199b49faa5f0a2ee238a6bc"), OPc: unhex("cd63cb71954a9f4e48a5994e37a02baf"), AMF: 0xb9b9}
	rand := unhex("23553cbe9637a89d218ae64dae47bf35")
	// AUTN = SQN ^ f5 | AMF | f1
	autn := unhex("55f328b43577" + "b9b9" + "4a9ffac354dfafb3")
	res, ck, ik, err := s.authenticate(rand, autn)
	if err != nil || hex.EncodeToString(res) != "a54211d5e3ba50bf" || hex.EncodeToString(ck) != "b40ba9a3c58b2a05bbf0d987b21bf8cb" ||
		hex.EncodeToString(ik) != "f769bcd751044604127672711c6d3441" {
		t.Fatalf("%x %x %x %v", res, ck, ik, err)
	}
	autn[15] ^= 1
	if _, _, _, err := s.authenticate(rand, autn); err != errMAC {
		t.Errorf("a wrong MAC: %v", err)
	}
	autn[15] ^= 1
	auts, _, _, err := s.authenticate(rand, autn)
	if err != errSync {
		t.Fatalf("the same challenge again: %v", err)
	}
	// SQN ^ f5*, then f1* with AMF 0, which the set does not have.
	if got := hex.EncodeToString(auts[:6]); got != "ba853f3c123c" {
		t.Errorf("AUTS begins with %s", got)
	}
}

func subscriber() *Subscriber {
	return &Subscriber{
		IMSI: "001010123456789", IMPI: "001010123456789@ims.mnc001.mcc001.3gppnetwork.org",
		K: bytes.Repeat([]byte{0x5a}, 16), OPc: bytes.Repeat([]byte{0xa5}, 16), AMF: 0x8000, sqn: 64, simSQN: 64,
	}
}

// rig is an operator, and a modem with a SIM of its.
type rig struct {
	sim   *Subscriber
	modem Modem
	bsf   *BSF
	web   *httptest.Server
	card  *gba.Modem
}

func newRig(t *testing.T) *rig {
	r := &rig{sim: subscriber()}
	r.modem.SIM = r.sim
	r.bsf = NewBSF("127.0.0.1", time.Hour, []*Subscriber{r.sim})
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", r.bsf.Ub)
	mux.HandleFunc(RetrievalPath, r.bsf.Nbsp)
	r.web = httptest.NewServer(mux)
	t.Cleanup(r.web.Close)
	r.card = &gba.Modem{Open: func(context.Context) (gba.Port, error) {
		here, there := net.Pipe()
		go func() { r.modem.Serve(there); there.Close() }()
		return here, nil
	}}
	return r
}

func (r *rig) bootstrap(ctx context.Context) (*gba.Bootstrapped, error) {
	return gba.Bootstrap(ctx, gba.Config{BSF: r.web.URL, Card: r.card, HTTP: http.DefaultClient, Now: time.Now})
}

var nafID = gba.NAFID("cpns.example.net", [5]byte{0x03, 0, 0, 0, 1})

// ask is what a NAF asks the BSF.
func (r *rig) ask(t *testing.T, btid string) (status int, key string) {
	t.Helper()
	body := fmt.Sprintf(`{"btId":%q,"nafId":{"nafFqdn":"cpns.example.net","uaSecProtId":"0300000001"},"gbaUAware":false}`, btid)
	resp, err := http.Post(r.web.URL+RetrievalPath, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct {
		Key string `json:"meKeyMaterial"`
	}
	json.NewDecoder(resp.Body).Decode(&a)
	return resp.StatusCode, a.Key
}

// TestBootstrap: SIM and operator agree, whatever the modem is like, and the NAF
// gets the same key from the BSF.
func TestBootstrap(t *testing.T) {
	for name, quirks := range map[string]Quirks{
		"plain": {}, "CSIM only": {NoCCHO: true}, "echo": {AlwaysEcho: true}, "unsolicited": {Unsolicited: true, AlwaysEcho: true},
		"busy at first": {Busy: 1}, "prefix": {Prefix: true, Handle: 257},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.modem.Quirks = quirks
			b, err := r.bootstrap(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			key, err := b.KsNAF(nafID)
			if err != nil {
				t.Fatal(err)
			}
			if status, want := r.ask(t, b.BTID); status != http.StatusOK || hex.EncodeToString(key[:]) != want {
				t.Errorf("the NAF gets %d, another key", status)
			}
			if b.IMPI != r.sim.IMPI || !b.Expires.After(time.Now()) {
				t.Errorf("IMPI %s, good until %s", b.IMPI, b.Expires)
			}
			if r.modem.session || r.modem.channel {
				t.Error("the channel to the SIM stays open")
			}
			if text := fmt.Sprintf("%v %+v %x", b, b, b); strings.Contains(text, hex.EncodeToString(key[:4])) || !strings.Contains(text, "redacted") {
				t.Errorf("it prints as %s", text)
			}
		})
	}
}

// TestResynchronise: a SIM that is ahead says so once, and is believed; twice is
// too often.
func TestResynchronise(t *testing.T) {
	r := newRig(t)
	r.sim.Advance()
	if _, err := r.bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := 0
	r.sim.Advance()
	r.bsf.Spoil = func(http.Header, []byte) []byte {
		asked++
		r.sim.mu.Lock()
		r.sim.simSQN += 1000 * sqnStep
		r.sim.mu.Unlock()
		return nil
	}
	var sync *gba.SyncError
	if _, err := r.bootstrap(t.Context()); !errors.As(err, &sync) || asked != 2 {
		t.Errorf("after %d challenges: %v", asked, err)
	}
}

func TestRefused(t *testing.T) {
	replace := func(header, old, new string) func(h http.Header, body []byte) []byte {
		return func(h http.Header, body []byte) []byte {
			if v := h.Get(header); v != "" {
				h.Set(header, strings.Replace(v, old, new, 1))
			}
			return body
		}
	}
	inBody := func(old, new string) func(h http.Header, body []byte) []byte {
		return func(_ http.Header, body []byte) []byte { return bytes.Replace(body, []byte(old), []byte(new), 1) }
	}
	tests := map[string]struct {
		change func(*rig)
		want   string
	}{
		"wrong key at the operator": {func(r *rig) {
			r.bsf.subscribers[r.sim.IMPI] = &Subscriber{IMPI: r.sim.IMPI, K: make([]byte, 16), OPc: make([]byte, 16)}
		}, "does not know the network's challenge"},
		"another subscriber": {func(r *rig) { delete(r.bsf.subscribers, r.sim.IMPI) }, "refuses this subscriber (403)"},
		"PIN":                {func(r *rig) { r.modem.Quirks.CPIN = "SIM PIN" }, "locked by its PIN"},
		"PUK":                {func(r *rig) { r.modem.Quirks.CPIN = "SIM PUK" }, "locked by its PUK"},
		"no card":            {func(r *rig) { r.modem.Quirks.CME = "10" }, "there is no SIM in it"},
		"modem says what":    {func(r *rig) { r.modem.Quirks.CME = "strange failure" }, "strange failure"},
		"no way to the SIM":  {func(r *rig) { r.modem.Quirks.NoCSIM = true }, "knows neither AT+CCHO nor AT+CSIM"},
		"rspauth wrong":      {func(r *rig) { r.bsf.Spoil = replace("Authentication-Info", `rspauth="`, `rspauth="0`) }, "does not prove that it knows the SIM"},
		"rspauth missing":    {func(r *rig) { r.bsf.Spoil = replace("Authentication-Info", `rspauth=`, `other=`) }, "does not prove that it knows the SIM"},
		"B-TID changed":      {func(r *rig) { r.bsf.Spoil = inBody("<btid>", "<btid>x") }, "does not prove that it knows the SIM"},
		"nonce short":        {func(r *rig) { r.bsf.Spoil = replace("Www-Authenticate", `nonce="`, `nonce="AAAA", x="`) }, "32 or more"},
		"algorithm":          {func(r *rig) { r.bsf.Spoil = replace("Www-Authenticate", "AKAv1-MD5", "MD5") }, "must be AKAv1-MD5"},
		"long answer": {func(r *rig) {
			r.bsf.Spoil = func(http.Header, []byte) []byte { return bytes.Repeat([]byte(" "), 17<<10) }
		}, "longer than 16384 bytes"},
		"lifetime over": {func(r *rig) { r.bsf.Lifetime = -time.Hour }, "is the router's clock right?"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			test.change(r)
			b, err := r.bootstrap(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v, want %q", b, err, test.want)
			}
			if r.modem.session || r.modem.channel {
				t.Error("the channel to the SIM stays open")
			}
		})
	}
}

// TestRedirect: a BSF that sends elsewhere is not followed.
func TestRedirect(t *testing.T) {
	r := newRig(t)
	r.web.Config.Handler = http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound)
	var status *gba.StatusError
	if _, err := r.bootstrap(t.Context()); !errors.As(err, &status) || status.Status != http.StatusFound {
		t.Errorf("%v", err)
	}
}

// TestHanging: a modem or a BSF that says nothing ends with the context.
func TestHanging(t *testing.T) {
	r := newRig(t)
	r.card.Open = func(context.Context) (gba.Port, error) {
		here, there := net.Pipe()
		go io.Copy(io.Discard, there)
		return here, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.bootstrap(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent modem: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := r.bootstrap(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a silent modem: %v", err)
	}
	r = newRig(t)
	release := make(chan struct{})
	defer close(release)
	r.web.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := r.bootstrap(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent BSF: %v", err)
	}
}
