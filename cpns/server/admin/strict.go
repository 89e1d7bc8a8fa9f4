package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"reflect"
	"strings"
	"unicode/utf8"
)

// deepest is how many arrays and objects may be within each other.
const deepest = 8

// decodeStrict reads one JSON value into v: UTF-8 as it is, every member known and there
// once, by its exact name, and nothing behind it. What package json lets pass, another
// program may read otherwise.
func decodeStrict(body []byte, v any) error {
	if !utf8.Valid(body) {
		return malformed("the body is not UTF-8")
	}
	if err := checkMembers(body); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return jsonProblem(err)
	}
	if reflect.ValueOf(v).Kind() != reflect.Pointer {
		return errors.New("decoding into no pointer")
	}
	return nil
}

// checkMembers goes through a JSON text: one object, no member twice in one object, no
// name that package json would take for another, not too deep, nothing behind the end.
func checkMembers(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	type level struct {
		members map[string]bool // nil in an array
		name    bool            // a name comes next
	}
	var open []level
	for first := true; ; first = false {
		token, err := d.Token()
		if err != nil {
			return jsonProblem(err)
		}
		if first && token != json.Delim('{') {
			return malformed("the body is not a JSON object")
		}
		inObject := len(open) > 0 && open[len(open)-1].members != nil
		if inObject && open[len(open)-1].name && token != json.Delim('}') {
			top := &open[len(open)-1]
			name := token.(string)
			switch {
			case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
				return malformed("there is no member %q here", name)
			case top.members[name]:
				return malformed("the member %q is there twice", name)
			}
			top.members[name], top.name = true, false
			continue
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if len(open) == deepest {
				return malformed("the body has too many levels")
			}
			next := level{}
			if token == json.Delim('{') {
				next = level{make(map[string]bool), true}
			}
			open = append(open, next)
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) == 0 {
			break
		}
		open[len(open)-1].name = open[len(open)-1].members != nil
	}
	if _, err := d.Token(); err != io.EOF {
		return malformed("there is something behind the JSON object")
	}
	return nil
}

// jsonProblem says what is wrong with a body, and nothing of what is in it: that may be
// a secret.
func jsonProblem(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return malformed("the member %q is no %s", wrong.Field, kindName(wrong.Type))
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return malformed("there is no member %s here", name)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed("the body ends before its JSON does")
	}
	return malformed("the body is not JSON")
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String, reflect.Array, reflect.Struct:
		return "string of its kind"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "array or string of its kind"
	}
	return "number that fits"
}

// parseQuery reads the parameters of a URL, strictly.
func parseQuery(raw string) (url.Values, error) {
	if raw == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, malformed("the parameters behind ? are not encoded as they have to be")
	}
	for _, all := range values {
		for _, v := range all {
			if !utf8.ValidString(v) {
				return nil, malformed("the parameters behind ? are not UTF-8")
			}
		}
	}
	return values, nil
}
