package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cpns.example.net/pngw/cpns"
)

// No key and no password is in a bundle, in any way in which they are written: of a
// gateway that has devices with keys and a user that it remembers, and in whose
// configuration somebody has put what does not belong there.
func TestBundle(t *testing.T) {
	dir, l := configured(t)
	conf := filepath.Join(dir, "pngw.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	const misplaced = "MDEyMzQ1Njc4OTo7PD0-P0BBQkNERUZHSElKS0xNTk8"
	brokers := "mqtt://gw:s3cr3t-of-broker@127.0.0.1:1"
	text = append(text, fmt.Sprintf("# the old key was %s %s\nconfig link 'broker'\n\toption type 'mqtt'\n\toption enabled '0'\n\toption url '%s'\n", misplaced, pskHex, brokers)...)
	if err := os.WriteFile(conf, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("pngw", append(args, "--config", conf)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 1 {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("init")
	startAgent(t, conf)
	if err := l.plugIn("urn:dev:lock-1", "state"); err != nil {
		t.Fatal(err)
	}
	run("provision", "--user", "alice", "--remember", "--password-file", "password", "urn:dev:lock-1")
	run("authenticate", "urn:dev:lock-1")
	bundle := filepath.Join(dir, "bundle.txt")
	run("doctor", "--bundle", bundle)
	got, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"===== doctor", "===== status", "urn:dev:lock-1", "pngw_healthy", `"what":"provision"`, "option server", "//[redacted]@127.0.0.1", "/proc/meminfo"} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("the bundle has no %q:\n%s", want, got)
		}
	}
	psk, _ := hex.DecodeString(pskHex)
	hash := cpns.HashPassword("alice", []byte(alicesPassword))
	rootKey, err := os.ReadFile(filepath.Join(dir, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	held := l.states["state"].EUKey
	session, ok := l.device.SessionKey()
	l.mu.Unlock()
	if held == (cpns.EUKey{}) || !ok {
		t.Fatal("the device has no keys: the test looks for nothing")
	}
	application := cpns.DeriveApplicationKey(&session, cpns.ApplicationTLS13)
	secrets := map[string][]byte{
		"PSK1": psk, "TK": tkOf("urn:dev:lock-1"), "EUKey": held[:], "session key": session[:], "application key": application[:],
		"Hash(Password)": hash[:], "root key": bytes.TrimSpace(rootKey), "password": []byte(alicesPassword), "misplaced": []byte(misplaced), "the broker's password": []byte("s3cr3t-of-broker"),
	}
	for what, secret := range secrets {
		for _, form := range []string{
			string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
			base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret), fmt.Sprint([]byte(secret)),
		} {
			if bytes.Contains(got, []byte(form)) {
				t.Errorf("%s is in the bundle", what)
			}
		}
	}
	info, err := os.Stat(bundle)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestScrub(t *testing.T) {
	for in, want := range map[string]string{
		"by CPNS1-QNZW6-5DIMV now": "by [redacted] now",
		"cpns1-qnzw6":              "[redacted]",
		"mqtts://me:pw@h/x and http://h:80/ 'http://u@p'": "mqtts://[redacted]@h/x and http://h:80/ 'http://[redacted]@p'",
		"a@b //c d@e": "a@b //c d@e",
		"CPNS1":       "CPNS1",
	} {
		if got := scrub(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"option psk_file '/etc/pngw/a-very-long-name-of-a-file/psk1'": "option psk_file '/etc/pngw/a-very-long-name-of-a-file/psk1'",
		"option psk_file '" + pskHex + "'":                            "option psk_file '[redacted]'",
		"x Zm9vYmFyZm9vYmFyZm9v/mFyZm9vYmFyZm9vYmE= y":                "x [redacted] y",
	} {
		if got := scrubKeys(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
