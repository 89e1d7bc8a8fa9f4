//go:build linux

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/keystore"
)

// ownSecrets are the files whose purpose is to hold a secret, by base name:
// what a person or the factory brings, what a device keeps (a device has no
// sealed store), and the keys that open what is sealed. All else is searched.
var ownSecrets = []string{"*.tk", "tks.csv", "psk1", "*.pw", "*.state", "root.key", "master.key", "sims.json", "*.keylog"}

// checkSecrets searches every other file of the script, logs and all that
// commands printed among them, for every secret that was in play.
func (r *rig) checkSecrets() {
	needles := make(map[string][]byte) // by what to call them
	for what, secret := range r.secrets() {
		for form, needle := range forms(secret) {
			needles[what+" "+form] = needle
		}
	}
	err := filepath.WalkDir(r.work, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || holdsItsOwn(d.Name()) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for what, needle := range needles {
			if bytes.Contains(text, needle) {
				r.tb.Errorf("%s is in %s", what, strings.TrimPrefix(path, r.work+"/"))
			}
		}
		return nil
	})
	if err != nil {
		r.tb.Errorf("searching for secrets: %v", err)
	}
}

func holdsItsOwn(name string) bool {
	for _, pattern := range ownSecrets {
		if ok, _ := filepath.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// secrets gathers them from the files that hold them and, for the EUKeys, from
// the gateway's store, which its own packages open.
func (r *rig) secrets() map[string][]byte {
	secrets := make(map[string][]byte)
	for _, password := range r.entered {
		user, _, _ := strings.Cut(password, " ")
		hash := cpns.HashPassword(cpns.UserID(user), []byte(password))
		secrets["the password of "+user] = []byte(password)
		secrets["Hash(Password) of "+user] = hash[:]
	}
	for _, pattern := range []string{"*.tk", "psk1", "server/master.key"} {
		files, _ := filepath.Glob(r.path(pattern))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				r.tb.Error(err)
			}
			secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil {
				r.tb.Errorf("%s: %v", file, err)
			}
			secrets["the secret of "+filepath.Base(file)] = secret
		}
	}
	for what, secret := range r.simSecrets() {
		secrets[what] = secret
	}
	rootKey, err := os.ReadFile(r.path("root.key"))
	if errors.Is(err, fs.ErrNotExist) {
		return secrets // a story without a gateway
	}
	deviceSecret, secretErr := board.New("/").DeviceSecret(r.path("root.key"))
	if err := errors.Join(err, secretErr); err != nil {
		r.tb.Error(err)
		return secrets
	}
	secrets["the root key"], secrets["the device secret"] = rootKey, deviceSecret[:]
	keys, err := r.storedKeys((*keystore.Secret)(&deviceSecret))
	if err != nil {
		r.tb.Errorf("opening the gateway's store: %v", err)
	}
	for what, key := range keys {
		secrets[what] = key[:]
	}
	return secrets
}

var quotedKey = regexp.MustCompile(`"([0-9a-f]{32})"`)

// simSecrets are the keys of SIMs, and those that servers were told (Ks_NAF).
func (r *rig) simSecrets() map[string][]byte {
	secrets := make(map[string][]byte)
	add := func(what, text string) {
		secret, err := hex.DecodeString(text)
		if err != nil {
			r.tb.Errorf("%s: %v", what, err)
		}
		secrets[fmt.Sprintf("%s %d", what, len(secrets))] = secret
	}
	sims, _ := os.ReadFile(r.path("sims.json"))
	for _, m := range quotedKey.FindAllSubmatch(sims, -1) {
		add("K or OPc", string(m[1]))
	}
	told, _ := os.ReadFile(r.path("naf.keylog"))
	for _, line := range strings.Fields(string(told)) {
		add("Ks_NAF", line)
	}
	return secrets
}

// storedKeys are all EUKeys of all sets in the gateway's store.
func (r *rig) storedKeys(secret *keystore.Secret) (map[string]cpns.EUKey, error) {
	store, err := keystore.Open(r.path("keys", "store"), secret)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	names, err := store.List()
	if err != nil {
		return nil, err
	}
	keys := make(map[string]cpns.EUKey)
	for _, name := range names {
		if _, err := cpns.ParseEntityID(name); err != nil {
			continue // the gateway's own key pair, of which it shows the public half
		}
		value, err := store.Get(name)
		if err != nil {
			return nil, err
		}
		// A record is an array; its third and fourth elements are sets or null.
		var record []cbor.RawMessage
		if err := cbor.Unmarshal(value, &record); err != nil || len(record) < 4 {
			return nil, fmt.Errorf("the record of %s: %d elements, %w", name, len(record), err)
		}
		for _, raw := range record[2:4] {
			var s *struct {
				_               struct{} `cbor:",toarray"`
				Gateway         string
				Epoch, N, Index uint
				X25519          bool
				Last, TK        []byte
				Taken           int64
			}
			if err := cbor.Unmarshal(raw, &s); err != nil {
				return nil, fmt.Errorf("a set of %s: %w", name, err)
			}
			if s == nil {
				continue
			}
			last, n := cpns.EUKey(s.Last), cpns.Index(s.N)
			for k := cpns.Index(1); k <= n; k++ {
				keys[fmt.Sprintf("EUKey_%d of %s, epoch %d,", k, name, s.Epoch)] = cpns.EUKeyAt(&last, n, k)
			}
		}
	}
	return keys, nil
}

// forms are the ways in which a secret could stand in a file.
func forms(secret []byte) map[string][]byte {
	decimal := strings.Trim(fmt.Sprint(secret), "[]")
	forms := map[string][]byte{
		"in bytes":           secret,
		"in hex":             []byte(hex.EncodeToString(secret)),
		"in upper-case hex":  []byte(strings.ToUpper(hex.EncodeToString(secret))),
		"as %v prints bytes": []byte(decimal),
		"as a JSON array":    []byte(strings.ReplaceAll(decimal, " ", ",")),
	}
	// In the base64 of something longer a secret begins at any of three places
	// in a group; the characters that it shares with its neighbours are cut.
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for before, shared := range []int{0, 2, 3} {
			text := encoding.EncodeToString(append(make([]byte, before), secret...))
			forms[fmt.Sprintf("in %s at %d", name, before)] = []byte(text[shared : len(text)-1])
		}
	}
	return forms
}

func TestFormsAreFoundInLongerText(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789ABCDEF")
	for before := range 4 {
		around := append(append([]byte("xyz!")[:before], secret...), "tail"...)
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text, found := []byte(encoding.EncodeToString(around)), false
			for _, needle := range forms(secret) {
				found = found || bytes.Contains(text, needle)
			}
			if !found {
				t.Errorf("not found in the base64 of %q: %s", around, text)
			}
		}
	}
}
