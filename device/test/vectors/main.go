// Vectors turns the protocol's vectors into what programs in C take:
//
//	vectors header > FILE    the first case of protocol.json, as a C header
//	vectors corpus FOLDER    what a fuzzer begins with, one file for each message
package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cpns.example.net/pngw/transport"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "header":
		return header()
	case len(args) == 2 && args[0] == "corpus":
		return corpus(args[1])
	}
	return errors.New("usage: vectors header | vectors corpus FOLDER")
}

func read(name string, into any) error {
	text, err := os.ReadFile(filepath.Join("cpns/testdata", name))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// firstCase is the first case of protocol.json, and its part about X25519.
func firstCase() (v, x map[string]any, err error) {
	var file struct{ Cases []map[string]any }
	if err := read("protocol.json", &file); err != nil {
		return nil, nil, err
	}
	if len(file.Cases) == 0 {
		return nil, nil, errors.New("zero vectors found")
	}
	v = file.Cases[0]
	x, _ = v["x25519"].(map[string]any)
	return v, x, nil
}

func header() error {
	v, x, err := firstCase()
	if err != nil {
		return err
	}
	fmt.Printf("static const char vector_entity[] = %q;\n", v["entity_id"])
	x["random"] = fmt.Sprint(x["pne_private"], x["nonce"])
	for _, part := range []struct {
		of     map[string]any
		prefix string
		names  []string
	}{
		{v, "vector_", []string{"tk", "nonce", "rand_pne", "hello", "notification", "acknowledgement", "auth_challenge", "auth_response", "eukey_update", "update_acknowledgement"}},
		{x, "vector_x25519_", []string{"random", "hello_hash", "notification", "acknowledgement"}},
	} {
		for _, name := range part.names {
			b, err := hex.DecodeString(strings.ReplaceAll(fmt.Sprint(part.of[name]), " ", ""))
			if err != nil || len(b) == 0 {
				return fmt.Errorf("%s: %d bytes, %v", name, len(b), err)
			}
			fmt.Printf("static const unsigned char %s%s[] __attribute__((unused)) = {%s};\n", part.prefix, name, list(b))
		}
	}
	return nil
}

func list(b []byte) string {
	text := make([]string, len(b))
	for i, c := range b {
		text[i] = fmt.Sprint(c)
	}
	return strings.Join(text, ", ")
}

// corpus writes each message as the fuzzer takes it: a byte that says what state the
// device is in, and a byte stream.
func corpus(folder string) error {
	v, x, err := firstCase()
	if err != nil {
		return err
	}
	var refused struct{ Cases []struct{ Hex string } }
	if err := read("refused.json", &refused); err != nil {
		return err
	}
	var streams [][]byte
	add := func(messages ...any) error {
		var stream []byte
		for _, m := range messages {
			b, err := hex.DecodeString(fmt.Sprint(m))
			if err != nil {
				return err
			}
			stream = transport.EncodeFrame(stream, b)
		}
		streams = append(streams, stream)
		return nil
	}
	for _, messages := range [][]any{
		{v["identify"]}, {v["identify_any"]}, {v["hello"]}, {v["notification"]}, {v["acknowledgement"]}, {v["auth_challenge"]}, {v["auth_response"]},
		{v["eukey_update"]}, {v["eukey_update_stay"]}, {x["notification"]},
		{v["notification"], v["auth_challenge"], v["eukey_update"], v["eukey_update"]},
		{v["notification"], v["notification"], v["auth_challenge"], v["eukey_update_stay"], v["auth_challenge"]},
	} {
		if err := add(messages...); err != nil {
			return err
		}
	}
	for _, c := range refused.Cases {
		if len(c.Hex) <= 2*transport.MaxMessage {
			if err := add(c.Hex); err != nil {
				return err
			}
		}
	}
	for i, stream := range streams {
		for state := range byte(3) {
			file := filepath.Join(folder, fmt.Sprintf("%03d-%d", i, state))
			if err := os.WriteFile(file, append([]byte{state}, stream...), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
