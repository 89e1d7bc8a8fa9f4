package main

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"cpns.example.net/pngw/transport"
)

const integrating = "../../docs/integrating.md"

// fenced returns the contents of a document's code blocks of one language.
func fenced(t *testing.T, path, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(text, -1) {
		blocks = append(blocks, string(m[1]))
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no block of %s", path, language)
	}
	return blocks
}

// workedBytes reads the blocks of lines "name hex"; an indented line goes on
// with the one before.
func workedBytes(t *testing.T, path string) map[string][]byte {
	t.Helper()
	worked := map[string][]byte{}
	for _, block := range fenced(t, path, "bytes") {
		name := ""
		for line := range strings.Lines(block) {
			words := strings.Fields(line)
			if len(words) > 0 && line[0] != ' ' {
				name, words = words[0], words[1:]
			}
			b, err := hex.DecodeString(strings.Join(words, ""))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			worked[name] = append(worked[name], b...)
		}
	}
	return worked
}

// TestIntegratingBytes holds every byte of docs/integrating.md to the vectors,
// or to a computation that uses nothing of package cpns.
func TestIntegratingBytes(t *testing.T) {
	text, err := os.ReadFile("../../cpns/testdata/protocol.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			User                string
			ID                  string `json:"entity_id"`
			EUKeys              []string
			TK, PSK1, Nonce     string
			IV                  struct{ Notification, Request, Update string }
			Hello, Notification string
			Acknowledgement     string
			AckFailed           []string `json:"acknowledgement_failed"`
			AuthChallenge       string   `json:"auth_challenge"`
			AuthResponse        string   `json:"auth_response"`
			RandGW              string   `json:"rand_gw"`
			RandPNE             string   `json:"rand_pne"`
			EUKeyUpdate         string   `json:"eukey_update"`
			UpdateAck           string   `json:"update_acknowledgement"`
			SessionKey          string   `json:"session_key"`
			Stay                string   `json:"eukey_update_stay"`
			StayAck             string   `json:"stay_acknowledgement"`
			StaySessionKey      string   `json:"stay_session_key"`
			PasswordHash        string   `json:"password_hash"`
			Request             string
			X25519              struct {
				Private         string `json:"pne_private"`
				SharedSecret    string `json:"shared_secret"`
				Hello           string
				Notification    string
				Acknowledgement string
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("no vectors found")
	}
	v := file.Cases[0]
	raw := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := func(secret, salt []byte, info string) []byte {
		k, err := hkdf.Key(sha256.New, secret, salt, info, 32)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	tag := func(key, covers []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(covers)
		return mac.Sum(nil)
	}
	const (
		notificationInfo = "CPNS EUKey Assignment Notification\x00"
		ackInfo          = "CPNS EUKey Acknowledgement\x00"
	)
	x := v.X25519
	hello, xHello := sha256.Sum256(raw(v.Hello)), sha256.Sum256(raw(x.Hello))
	randoms := append(raw(v.RandGW), raw(v.RandPNE)...)
	request := sha256.Sum256(raw(v.Request))
	salt := sha256.Sum256([]byte("CPNS User\x00" + v.User))
	want := map[string][]byte{
		"TK":          raw(v.TK),
		"nonce":       raw(v.Nonce),
		"hello-key":   key(raw(v.TK), raw(v.Nonce), "CPNS Hello\x00"+v.ID),
		"hello":       raw(v.Hello),
		"hello-hash":  hello[:],
		"hello-frame": transport.EncodeFrame(nil, raw(v.Hello)),
		"counter-1":   tag(raw(v.TK), []byte("CPNS PNE Random\x00\x00\x00\x00\x00\x00\x00\x00\x01"))[:16],

		"notification":    raw(v.Notification),
		"open-key":        key(raw(v.TK), hello[:], notificationInfo+v.ID),
		"EUKey-1":         raw(v.EUKeys[0]),
		"ack-key":         key(raw(v.EUKeys[0]), hello[:], ackInfo+v.ID),
		"acknowledgement": raw(v.Acknowledgement),
		"ack-failed":      raw(v.AckFailed[0]),

		"auth-challenge":    raw(v.AuthChallenge),
		"rand-pne":          raw(v.RandPNE),
		"auth-response":     raw(v.AuthResponse),
		"eukey-update":      raw(v.EUKeyUpdate),
		"update-key":        key(append(raw(v.TK), raw(v.EUKeys[0])...), randoms, "CPNS EUKey Update\x00"+v.ID),
		"EUKey-2":           raw(v.EUKeys[1]),
		"update-ack":        raw(v.UpdateAck),
		"session-key":       raw(v.SessionKey),
		"eukey-update-stay": raw(v.Stay),
		"stay-ack":          raw(v.StayAck),
		"stay-session-key":  raw(v.StaySessionKey),

		"x25519-private":      raw(x.Private),
		"x25519-hello":        raw(x.Hello),
		"x25519-notification": raw(x.Notification),
		"x25519-Z":            raw(x.SharedSecret),
		"x25519-open-key":     key(append(raw(v.TK), raw(x.SharedSecret)...), xHello[:], notificationInfo+v.ID),
		"x25519-ack":          raw(x.Acknowledgement),

		"PSK1":          raw(v.PSK1),
		"request":       raw(v.Request),
		"request-key":   key(raw(v.PSK1), nil, "CPNS EUKey Assignment Request"),
		"response-key":  key(raw(v.PSK1), request[:], "CPNS EUKey Assignment Response"),
		"salt":          salt[:16],
		"password-hash": raw(v.PasswordHash),
	}
	got := workedBytes(t, integrating)

	// What the vectors do not have is right if it opens, or makes, what they have.
	open := func(key, aad string, iv, sealed []byte) []byte {
		aead, err := chacha20poly1305.New(want[key])
		if err != nil {
			t.Fatal(err)
		}
		plaintext, err := aead.Open(nil, iv, sealed, got[aad])
		if err != nil {
			t.Errorf("%s, %s: %v", key, aad, err)
		}
		want[aad] = got[aad]
		return plaintext
	}
	covers := func(name string, key []byte, message string) {
		if !bytes.HasSuffix(want[message], tag(key, got[name])) {
			t.Errorf("%s: not what the tag of %s covers", name, message)
		}
		want[name] = got[name]
	}
	end := func(message string, n int) []byte { return want[message][len(want[message])-n:] }
	if key := open("open-key", "open-aad", raw(v.IV.Notification), end("notification", 48)); !bytes.Equal(key, want["EUKey-1"]) {
		t.Errorf("the notification opens to %x", key)
	}
	if key := open("update-key", "update-aad", raw(v.IV.Update), end("eukey-update", 48)); !bytes.Equal(key, want["EUKey-2"]) {
		t.Errorf("the update opens to %x", key)
	}
	covers("hello-covers", want["hello-key"], "hello")
	covers("ack-covers", want["ack-key"], "acknowledgement")
	covers("update-ack-covers", key(raw(v.EUKeys[1]), randoms, ackInfo+v.ID), "update-ack")
	want["request-plaintext"] = open("request-key", "request-aad", raw(v.IV.Request), end("request", 0x7e))

	for name, b := range want {
		if !bytes.Equal(got[name], b) || len(b) == 0 {
			t.Errorf("%s:\n got %x\nwant %x", name, got[name], b)
		}
	}
	for name := range got {
		if want[name] == nil {
			t.Errorf("%s: nothing holds these bytes", name)
		}
	}
}
