package cpns

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// example is a file of the COSE working group's examples (testdata/cose-wg).
type example struct {
	Fail  bool `json:"fail"`
	Input struct {
		Plaintext string      `json:"plaintext"`
		Encrypted *exampleKey `json:"encrypted"`
		Enveloped *exampleKey `json:"enveloped"`
		MAC0      *exampleKey `json:"mac0"`
		RNGStream []hexBytes  `json:"rng_stream"`
	} `json:"input"`
	Intermediates struct {
		ToMAC hexBytes `json:"ToMac_hex"`
	} `json:"intermediates"`
	Output struct {
		CBOR hexBytes `json:"cbor"`
	} `json:"output"`
}

type exampleKey struct {
	External   hexBytes `json:"external"`
	Recipients []struct {
		Key struct {
			K string `json:"k"` // base64url
		} `json:"key"`
	} `json:"recipients"`
}

func loadExample(t *testing.T, name string) *example {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "cose-wg", name))
	if err != nil {
		t.Fatal(err)
	}
	var e example
	if err := json.Unmarshal(content, &e); err != nil {
		t.Fatal(err)
	}
	return &e
}

// key32 is the example's key, filled up to 32 bytes where its algorithm, which
// is not ours, has a shorter one.
func (k *exampleKey) key32(t *testing.T) *[32]byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(k.Recipients[0].Key.K)
	if err != nil {
		t.Fatal(err)
	}
	var key [32]byte
	copy(key[:], b)
	return &key
}

// untag takes the one-byte CBOR tag off an example: objects of this protocol
// have none.
func untag(b []byte, tag byte) []byte {
	if len(b) > 0 && b[0] == tag {
		return b[1:]
	}
	return b
}

const (
	tagEncrypt0 = 0xd0
	tagMAC0     = 0xd1
)

// openObject opens a COSE_Encrypt0 as a CPNS-1 message does.
func openObject(b []byte, key *[32]byte, externalAAD []byte) ([]byte, error) {
	var object encrypt0
	if err := decode(b, MaxLinkMessage, &object); err != nil {
		return nil, err
	}
	if err := object.check(); err != nil {
		return nil, malformed(err)
	}
	return object.open(key, externalAAD)
}

// verifyObject verifies a COSE_Mac0 as a CPNS-1 message does, but for the
// payload, which the examples have and the protocol has not.
func verifyObject(b []byte, key *[32]byte, externalAAD []byte) error {
	var object mac0
	if err := decode(b, MaxLinkMessage, &object); err != nil {
		return err
	}
	withoutPayload := object
	withoutPayload.payload = nil
	if err := withoutPayload.check(); err != nil {
		return malformed(err)
	}
	return object.verify(key, externalAAD)
}

// The Enc_structure that the file gives among its intermediates is an early
// draft's, with the context "Encrypt1"; its result is RFC 9052's.
func TestCOSEEncrypt0Example(t *testing.T) {
	e := loadExample(t, "chacha-poly-examples/chacha-poly-enc-01.json")
	key := e.Input.Encrypted.key32(t)

	want := untag(e.Output.CBOR, tagEncrypt0)
	sealed := sealEncrypt0(key, [IVSize]byte(e.Input.RNGStream[0]), nil, []byte(e.Input.Plaintext))
	equal(t, "COSE_Encrypt0", encode(&sealed), want)

	plaintext, err := openObject(want, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "plaintext", plaintext, []byte(e.Input.Plaintext))
}

// The working group's must-fail files for COSE_Encrypt0 are of AES-GCM only, so
// what each of them does to its message is done here to the one of
// ChaCha20-Poly1305.
func TestCOSEEncrypt0Failures(t *testing.T) {
	e := loadExample(t, "chacha-poly-examples/chacha-poly-enc-01.json")
	key := e.Input.Encrypted.key32(t)
	good := untag(e.Output.CBOR, tagEncrypt0)
	afterProtected := good[6:] // array of 3, bstr of 4 bytes: {1: 24}

	withProtected := func(protected ...byte) []byte {
		return slices.Concat([]byte{0x83, 0x40 | byte(len(protected))}, protected, afterProtected)
	}
	if _, err := openObject(withProtected(protectedEncrypt0...), key, nil); err != nil {
		t.Fatalf("the example itself: %v", err)
	}
	otherTag := slices.Clone(good)
	otherTag[len(otherTag)-1] ^= 1

	tests := []struct {
		name string
		b    []byte
	}{
		{"enc-fail-01: another CBOR tag", slices.Concat([]byte{0xd9, 0x03, 0xe3}, good)},
		{"its own CBOR tag", e.Output.CBOR},
		{"enc-fail-02: another authentication tag", otherTag},
		{"enc-fail-03: algorithm -999", withProtected(0xa1, 0x01, 0x39, 0x03, 0xe6)},
		{"enc-fail-04: algorithm Unknown", withProtected(0xa1, 0x01, 0x67, 'U', 'n', 'k', 'n', 'o', 'w', 'n')},
		{"enc-fail-06: a protected parameter added", withProtected(0xa2, 0x01, 0x18, 0x18, 0x03, 0x00)},
		{"no protected header", withProtected()},
	}
	for _, test := range tests {
		if _, err := openObject(test.b, key, nil); err == nil {
			t.Errorf("%s: it opens", test.name)
		}
	}
	if _, err := openObject(good, key, []byte{0}); err == nil {
		t.Error("it opens with another external_aad")
	}
	// enc-fail-07: a protected parameter removed, that is, one that was sealed.
	ciphertext := newAEAD(key).Seal(nil, e.Input.RNGStream[0], []byte(e.Input.Plaintext),
		arrayOfAll("Encrypt0", []byte{0xa2, 0x01, 0x18, 0x18, 0x03, 0x00}, []byte{}))
	iv := [IVSize]byte(e.Input.RNGStream[0])
	if _, err := openContent(key, &iv, nil, ciphertext); err == nil {
		t.Error("enc-fail-07: a protected parameter removed: it opens")
	}
}

// TestCOSEOthersRefused runs what of COSE the protocol leaves out: other
// algorithms, also in the unprotected header, and COSE_Encrypt.
func TestCOSEOthersRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/cose-wg/encrypted-tests/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("zero examples found: %v", err)
	}
	for _, file := range files {
		e := loadExample(t, filepath.Join("encrypted-tests", filepath.Base(file)))
		external := e.Input.Encrypted.External
		if _, err := openObject(untag(e.Output.CBOR, tagEncrypt0), e.Input.Encrypted.key32(t), external); err == nil {
			t.Errorf("%s: it opens", file)
		}
	}
	e := loadExample(t, "chacha-poly-examples/chacha-poly-01.json")
	if _, err := openObject(e.Output.CBOR, e.Input.Enveloped.key32(t), nil); err == nil {
		t.Error("a COSE_Encrypt opens")
	}
}

func TestCOSEMAC0Examples(t *testing.T) {
	e := loadExample(t, "mac0-tests/HMac-01.json")
	key := e.Input.MAC0.key32(t)
	payload := []byte(e.Input.Plaintext)
	equal(t, "MAC_structure", macStructure(nil, payload), e.Intermediates.ToMAC)
	object := mac0{protected: protectedMAC0, payload: payload, tag: macTag(key, nil, payload)}
	equal(t, "COSE_Mac0", encode(&object), untag(e.Output.CBOR, tagMAC0))

	files, err := filepath.Glob("testdata/cose-wg/mac0-tests/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("zero examples found: %v", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		e := loadExample(t, filepath.Join("mac0-tests", name))
		err := verifyObject(untag(e.Output.CBOR, tagMAC0), e.Input.MAC0.key32(t), e.Input.MAC0.External)
		// mac-pass-*.json have the algorithm in the unprotected header: COSE
		// allows it, this protocol does not.
		if verifies := name == "HMac-01.json"; (err == nil) != verifies {
			t.Errorf("%s: got error %v, want it to verify: %t", name, err, verifies)
		}
	}
}
