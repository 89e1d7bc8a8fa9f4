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
			ID                  string   `json:"entity_id"`
			EUKeys              []string `json:"eukeys"`
			TK, PSK1, Nonce     string
			IV                  struct{ Notification, Request string }
			Hello, Notification string
			Acknowledgement     string
			AckFailed           string `json:"acknowledgement_failed"`
			AuthChallenge       string `json:"auth_challenge"`
			AuthResponse        string `json:"auth_response"`
			RandPNE             string `json:"rand_pne"`
			EUKeyUpdate         string `json:"eukey_update"`
			UpdateAck           string `json:"update_acknowledgement"`
			SessionKey          string `json:"session_key"`
			PasswordHash        string `json:"password_hash"`
			Request             string
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
	request := sha256.Sum256(raw(v.Request))
	salt := sha256.Sum256([]byte("CPNS User\x00" + v.User))
	want := map[string][]byte{
		"nonce":           raw(v.Nonce),
		"hello":           raw(v.Hello),
		"hello-frame":     transport.EncodeFrame(nil, raw(v.Hello)),
		"TK":              raw(v.TK),
		"notification":    raw(v.Notification),
		"open-key":        key(raw(v.TK), raw(v.Nonce), "CPNS EUKey Assignment Notification\x00"+v.ID),
		"EUKey-1":         raw(v.EUKeys[0]),
		"ack-key":         key(raw(v.EUKeys[0]), raw(v.Nonce), "CPNS EUKey Acknowledgement\x00"+v.ID),
		"acknowledgement": raw(v.Acknowledgement),
		"ack-failed":      raw(v.AckFailed),
		"auth-challenge":  raw(v.AuthChallenge),
		"rand-pne":        raw(v.RandPNE),
		"auth-response":   raw(v.AuthResponse),
		"eukey-update":    raw(v.EUKeyUpdate),
		"update-ack":      raw(v.UpdateAck),
		"session-key":     raw(v.SessionKey),
		"PSK1":            raw(v.PSK1),
		"request":         raw(v.Request),
		"request-key":     key(raw(v.PSK1), nil, "CPNS EUKey Assignment Request"),
		"response-key":    key(raw(v.PSK1), request[:], "CPNS EUKey Assignment Response"),
		"salt":            salt[:16],
		"password-hash":   raw(v.PasswordHash),
	}
	got := workedBytes(t, integrating)

	// What the vectors do not have is right if it opens what they have.
	open := func(key string, iv, aad, sealed []byte) []byte {
		aead, err := chacha20poly1305.New(want[key])
		if err != nil {
			t.Fatal(err)
		}
		plaintext, err := aead.Open(nil, iv, sealed, aad)
		if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		return plaintext
	}
	notification := want["notification"]
	want["open-aad"] = got["open-aad"]
	if !bytes.Equal(open("open-key", raw(v.IV.Notification), got["open-aad"], notification[len(notification)-48:]), want["EUKey-1"]) {
		t.Error("open-aad: does not open the notification")
	}
	want["ack-covers"] = got["ack-covers"]
	mac := hmac.New(sha256.New, want["ack-key"])
	mac.Write(got["ack-covers"])
	if !bytes.HasSuffix(want["acknowledgement"], mac.Sum(nil)) {
		t.Error("ack-covers: not what the acknowledgement's MAC covers")
	}
	requestAAD := []byte("\x83\x68Encrypt0\x44\xa1\x01\x18\x18\x40")
	_, sealed, _ := bytes.Cut(want["request"], []byte{0x58, 0x7e})
	want["request-plaintext"] = open("request-key", raw(v.IV.Request), requestAAD, sealed)

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
