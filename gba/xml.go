package gba

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A reader of the little XML that a BSF answers with: elements, text, comments. It
// takes less than XML is, and nothing that is not XML; what would have to be looked up
// elsewhere (a document type, an entity of one's own) is refused. encoding/xml would
// be a third of what this package adds to a router's program.

const maxDepth = 8 // elements in each other

var errXML = errors.New("it is no XML document")

// leaves gives the text of the elements right below the root, by their names
// without prefixes. The root has to be called so; a name of those that is there
// twice is refused, others are passed over.
func leaves(document []byte, root string, names ...string) (map[string]string, error) {
	if !isText(document) {
		return nil, errXML
	}
	r := &xmlReader{rest: bytes.TrimPrefix(document, []byte("\xef\xbb\xbf")), root: root, texts: map[string]*strings.Builder{}}
	for _, n := range names {
		r.texts[n] = nil
	}
	for len(r.rest) > 0 {
		if err := r.next(); err != nil {
			return nil, err
		}
	}
	if !r.begun || len(r.path) > 0 {
		return nil, errXML
	}
	found := map[string]string{}
	for name, text := range r.texts {
		if text != nil {
			found[name] = text.String()
		}
	}
	return found, nil
}

// isText reports whether all of it are characters that XML may have.
func isText(b []byte) bool {
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && n == 1 || !isCharacter(c) {
			return false
		}
		b = b[n:]
	}
	return true
}

func isCharacter(c rune) bool {
	return c == '\t' || c == '\n' || c == '\r' || c >= ' ' && c <= 0xd7ff || c >= 0xe000 && c <= 0xfffd || c >= 0x10000 && c <= utf8.MaxRune
}

type xmlReader struct {
	rest  []byte
	root  string
	path  []string // names of the elements that are open, with their prefixes
	begun bool     // there has been a root
	texts map[string]*strings.Builder
}

// next reads what is up to the next "<", or what begins with one.
func (r *xmlReader) next() error {
	if r.rest[0] != '<' {
		i := bytes.IndexByte(r.rest, '<')
		if i < 0 {
			i = len(r.rest)
		}
		raw := r.rest[:i]
		r.rest = r.rest[i:]
		text, err := unescape(raw)
		if err != nil || bytes.Contains(raw, []byte("]]>")) {
			return errXML
		}
		return r.text(text)
	}
	switch {
	case r.skip("<!--"):
		comment, ok := r.until("-->")
		if !ok || bytes.Contains(comment, []byte("--")) || bytes.HasSuffix(comment, []byte("-")) {
			return errXML
		}
		return nil
	case r.skip("<![CDATA["):
		text, ok := r.until("]]>")
		if !ok || len(r.path) == 0 {
			return errXML
		}
		return r.text(string(text))
	case r.skip("<!"):
		return errors.New("it has a document type declaration")
	case r.skip("<?"):
		instruction, ok := r.until("?>")
		if name := nameAt(instruction); !ok || name == "" || len(name) < len(instruction) && !isSpace(instruction[len(name)]) {
			return errXML
		}
		return nil
	case r.skip("</"):
		name := r.name()
		r.space()
		if name == "" || !r.skip(">") || len(r.path) == 0 || r.path[len(r.path)-1] != name {
			return errXML
		}
		r.path = r.path[:len(r.path)-1]
		return nil
	}
	r.skip("<")
	return r.element()
}

// element reads a tag that opens an element, behind its "<".
func (r *xmlReader) element() error {
	name := r.name()
	if name == "" {
		return errXML
	}
	for {
		apart := r.space()
		switch {
		case r.skip("/>"):
			err := r.open(name)
			r.path = r.path[:max(0, len(r.path)-1)]
			return err
		case r.skip(">"):
			return r.open(name)
		}
		attribute := r.name()
		r.space()
		if !apart || attribute == "" || !r.skip("=") {
			return errXML
		}
		r.space()
		quote := `"`
		if !r.skip(quote) {
			if quote = "'"; !r.skip(quote) {
				return errXML
			}
		}
		value, ok := r.until(quote)
		if _, err := unescape(value); !ok || err != nil || bytes.IndexByte(value, '<') >= 0 {
			return errXML
		}
	}
}

func (r *xmlReader) open(name string) error {
	_, local, prefixed := strings.Cut(name, ":")
	if !prefixed {
		local = name
	}
	switch {
	case len(r.path) == 0 && r.begun:
		return errXML
	case len(r.path) == 0 && local != r.root:
		return fmt.Errorf("it is a %q, not a %s", clip(local), r.root)
	case len(r.path) == maxDepth:
		return errors.New("its elements are nested too deeply")
	case len(r.path) == 1:
		if text, wanted := r.texts[local]; wanted && text != nil {
			return fmt.Errorf("%s comes twice", local)
		} else if wanted {
			r.texts[local] = &strings.Builder{}
		}
	}
	r.begun = true
	r.path = append(r.path, name)
	return nil
}

func (r *xmlReader) text(text string) error {
	switch len(r.path) {
	case 0:
		if strings.Trim(text, " \t\r\n") != "" {
			return errXML
		}
	case 2:
		_, local, prefixed := strings.Cut(r.path[1], ":")
		if !prefixed {
			local = r.path[1]
		}
		if b := r.texts[local]; b != nil {
			b.WriteString(text)
		}
	}
	return nil
}

func (r *xmlReader) skip(what string) bool {
	after, ok := bytes.CutPrefix(r.rest, []byte(what))
	r.rest = after
	return ok
}

func (r *xmlReader) until(end string) (before []byte, ok bool) {
	before, r.rest, ok = bytes.Cut(r.rest, []byte(end))
	return before, ok
}

func (r *xmlReader) space() (any bool) {
	for len(r.rest) > 0 && isSpace(r.rest[0]) {
		r.rest, any = r.rest[1:], true
	}
	return any
}

func (r *xmlReader) name() string {
	name := nameAt(r.rest)
	r.rest = r.rest[len(name):]
	return name
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// nameAt is the name that b begins with, in ASCII, "" for none. It has one prefix at
// most.
func nameAt(b []byte) string {
	i, colon, first := 0, false, true
	for ; i < len(b); i++ {
		c := b[i]
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (first || !(c == '-' || c == '.' || c >= '0' && c <= '9')) {
			if c != ':' || first || colon {
				break
			}
			colon, first = true, true
			continue
		}
		first = false
	}
	if first { // it ends in a colon, or there is none
		return ""
	}
	return string(b[:i])
}

// unescape puts characters in the place of references to them.
func unescape(raw []byte) (string, error) {
	if bytes.IndexByte(raw, '&') < 0 {
		return string(raw), nil
	}
	var b strings.Builder
	for {
		text, after, more := bytes.Cut(raw, []byte("&"))
		b.Write(text)
		if !more {
			return b.String(), nil
		}
		name, rest, ok := bytes.Cut(after, []byte(";"))
		c := character(string(name))
		if !ok || !isCharacter(c) {
			return "", errXML
		}
		b.WriteRune(c)
		raw = rest
	}
}

// character is what a reference names, 0 for nothing that is known.
func character(name string) rune {
	switch name {
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "amp":
		return '&'
	case "apos":
		return '\''
	case "quot":
		return '"'
	}
	digits, base := strings.TrimPrefix(name, "#x"), 16
	if digits == name {
		if digits, base = strings.TrimPrefix(name, "#"), 10; digits == name {
			return 0
		}
	}
	n, err := strconv.ParseUint(digits, base, 21)
	if err != nil {
		return 0
	}
	return rune(n)
}
