package uci

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Decoder takes the options of one section by name. Every name that is asked for is a known one; what is
// wrong is collected, so that a person sees all of it at once:
//
//	d := uci.NewDecoder(section)
//	id := d.Required("id")
//	baud := d.Int("baud", 115200, 300, 4_000_000)
//	if err := d.Err(); err != nil { ... }
//
// An option with an empty value counts as not given, as with libuci. After an error the values returned are
// the defaults.
type Decoder struct {
	section Section
	known   map[string]bool
	errs    []*SyntaxError
}

// NewDecoder returns a decoder that has read nothing yet.
func NewDecoder(s Section) *Decoder {
	return &Decoder{section: s, known: make(map[string]bool)}
}

// String returns the value of an option, or def where it is not given.
func (d *Decoder) String(name, def string) string {
	if v, ok := d.value(name); ok {
		return v
	}
	return def
}

// Required returns the value of an option that has to be given.
func (d *Decoder) Required(name string) string {
	v, ok := d.value(name)
	if !ok {
		d.errorAt(d.section.Line, "section %s needs an option %s", d.section.title(), name)
	}
	return v
}

// Bool returns an option's truth in any of the spellings that OpenWrt's scripts take.
func (d *Decoder) Bool(name string, def bool) bool {
	v, ok := d.value(name)
	if !ok {
		return def
	}
	switch v {
	case "1", "on", "true", "yes", "enabled":
		return true
	case "0", "off", "false", "no", "disabled":
		return false
	}
	d.Errorf(name, "%q: want 1 or 0", v)
	return def
}

// Int returns an option that is a decimal number from lowest to highest.
func (d *Decoder) Int(name string, def, lowest, highest int) int {
	v, ok := d.value(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < lowest || n > highest {
		d.Errorf(name, "%q: want a number from %d to %d", v, lowest, highest)
		return def
	}
	return n
}

// Duration returns an option such as 90s, 15m or 24h; 0 needs no unit, nothing may be negative.
func (d *Decoder) Duration(name string, def time.Duration) time.Duration {
	v, ok := d.value(name)
	if !ok {
		return def
	}
	t, err := time.ParseDuration(v)
	if err != nil || t < 0 {
		d.Errorf(name, "%q: want a time such as 90s, 15m or 24h", v)
		return def
	}
	return t
}

// Errorf notes that an option's value is wrong for a reason that only the caller knows.
func (d *Decoder) Errorf(name, format string, args ...any) {
	line := d.section.Line
	if o, ok := d.option(name); ok {
		line = o.Line
	}
	d.errorAt(line, "option %s: %s", name, fmt.Sprintf(format, args...))
}

// Err returns what was wrong, in the order of the lines, and every option that nobody asked for; nil where
// the section is right. Each part is a *SyntaxError (see errors.Join). Call it after the last option is taken.
func (d *Decoder) Err() error {
	var all []*SyntaxError
	// One after the other: they are few, and a sort of its own takes 4 kB on a router.
	add := func(e *SyntaxError) {
		all = append(all, e)
		for i := len(all) - 1; i > 0 && all[i-1].Line > e.Line; i-- {
			all[i-1], all[i] = e, all[i-1]
		}
	}
	for _, e := range d.errs {
		add(e)
	}
	for _, o := range d.section.Options {
		if d.known[o.Name] {
			continue
		}
		add(&SyntaxError{File: d.section.File, Line: o.Line, Msg: fmt.Sprintf(
			"section %s has no option %q: it takes %s", d.section.title(), o.Name, d.knownNames())})
	}
	joined := make([]error, len(all))
	for i, e := range all {
		joined[i] = e
	}
	return errors.Join(joined...)
}

// value returns the single value of an option, and false where it is not given or is a list.
func (d *Decoder) value(name string) (string, bool) {
	o, ok := d.option(name)
	if !ok {
		return "", false
	}
	if o.List {
		d.Errorf(name, "is a list here: want one value, written as option %s", name)
		return "", false
	}
	return o.Values[0], o.Values[0] != ""
}

func (d *Decoder) option(name string) (Option, bool) {
	d.known[name] = true
	for _, o := range d.section.Options {
		if o.Name == name {
			return o, true
		}
	}
	return Option{}, false
}

func (d *Decoder) errorAt(line int, format string, args ...any) {
	d.errs = append(d.errs, &SyntaxError{File: d.section.File, Line: line, Msg: fmt.Sprintf(format, args...)})
}

func (d *Decoder) knownNames() string {
	names := make([]string, 0, len(d.known))
	for name := range d.known {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// title names the section as its config line does.
func (s Section) title() string {
	if s.Name == "" {
		return s.Type
	}
	return s.Type + " '" + s.Name + "'"
}
