package gba

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// maxInfo is the largest answer of a BSF that is read, in bytes.
const maxInfo = 16 << 10

// info is the BSF's answer (TS 24.109 annex C): BootstrappingInfo with btid and
// lifetime.
type info struct {
	btid     string
	lifetime time.Time
}

// parseInfo reads the document token by token: names and depths are all that it
// needs, and what would have to be resolved (a DTD, an entity) is refused.
func parseInfo(body []byte) (*info, error) {
	if len(body) > maxInfo {
		return nil, fmt.Errorf("%d bytes, at most %d", len(body), maxInfo)
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	texts := map[string]*strings.Builder{}
	var path []string
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, errors.New("it is no XML document")
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, errors.New("it has a document type declaration")
		case xml.StartElement:
			path = append(path, token.Name.Local)
			if len(path) > 8 {
				return nil, errors.New("its elements are nested too deeply")
			}
			if len(path) == 1 && token.Name.Local != "BootstrappingInfo" {
				return nil, fmt.Errorf("it is a %q, not a BootstrappingInfo", clip(token.Name.Local))
			}
			if name := token.Name.Local; len(path) == 2 && (name == "btid" || name == "lifetime") {
				if texts[name] != nil {
					return nil, fmt.Errorf("%s comes twice", name)
				}
				texts[name] = &strings.Builder{}
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) == 2 && texts[path[1]] != nil {
				texts[path[1]].Write(token)
			}
		}
	}
	if texts["btid"] == nil || texts["lifetime"] == nil {
		return nil, errors.New("btid or lifetime is missing")
	}
	return newInfo(texts["btid"].String(), texts["lifetime"].String())
}

func newInfo(btid, lifetime string) (*info, error) {
	i := &info{btid: strings.TrimSpace(btid)}
	if len(i.btid) == 0 || len(i.btid) > 128 {
		return nil, fmt.Errorf("a B-TID of %d bytes, must be 1 to 128", len(i.btid))
	}
	for _, b := range []byte(i.btid) {
		if b < 0x21 || b > 0x7e {
			return nil, fmt.Errorf("a B-TID with a byte 0x%02x", b)
		}
	}
	var err error
	if i.lifetime, err = time.Parse(time.RFC3339, strings.TrimSpace(lifetime)); err != nil {
		return nil, fmt.Errorf("a lifetime of %q, must be like 2026-12-31T23:59:59Z", clip(lifetime))
	}
	return i, nil
}
