// Package idna takes the place of the package of that name in Go's own library when pngw
// is built for routers (scripts/overlay.sh, docs/decisions/0042): net/http links it for
// names of servers that are not ASCII, with 190 kB of tables that say how Unicode's
// characters are to be mapped, composed and ordered. Here such a name becomes its xn--
// form by RFC 3492 as it is written, but for capital letters: that is the name's
// registered form, as long as whoever wrote it composed its letters. It has the names that net/http and what is vendored with it are
// compiled against; a Go that wants more of them does not compile, and says which.
package idna

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Profile says how names are mapped.
type Profile struct{ lower bool }

// Lookup is for names that are looked up, Punycode takes names as they are.
var (
	Lookup   = &Profile{lower: true}
	Punycode = &Profile{}
)

var (
	errName  = errors.New("idna: no host name; write it in its xn-- form")
	errLabel = errors.New("idna: a part of the host name is longer than 63 bytes in its xn-- form")
)

// ToASCII is Punycode's.
func ToASCII(name string) (string, error) { return Punycode.ToASCII(name) }

// ToASCII returns name with each of its parts that is not ASCII in the xn-- form.
func (p *Profile) ToASCII(name string) (string, error) {
	labels := strings.Split(name, ".")
	for i, label := range labels {
		if isASCII(label) {
			continue
		}
		if !utf8.ValidString(label) {
			return "", errName
		}
		if p.lower {
			label = strings.ToLower(label)
		}
		label = "xn--" + encode([]rune(label))
		if len(label) > 63 {
			return "", errLabel
		}
		labels[i] = label
	}
	return strings.Join(labels, "."), nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// The parameters of RFC 3492, section 5.
const (
	base, tMin, tMax  = 36, 1, 26
	skew, damp        = 38, 700
	firstBias, firstN = 72, utf8.RuneSelf
	digits            = "abcdefghijklmnopqrstuvwxyz0123456789"
)

// encode is the procedure of RFC 3492, section 6.3. A name of a few hundred bytes cannot
// overflow what it counts by: at most as many steps as there are code points a letter.
func encode(input []rune) string {
	var out []byte
	for _, r := range input {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		}
	}
	done := len(out)
	first := done
	if done > 0 {
		out = append(out, '-')
	}
	n, delta, bias := rune(firstN), int64(0), int64(firstBias)
	for done < len(input) {
		next := rune(unicode.MaxRune)
		for _, r := range input {
			if r >= n {
				next = min(next, r)
			}
		}
		delta += int64(next-n) * int64(done+1)
		n = next
		for _, r := range input {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			q := delta
			for k := int64(base); ; k += base {
				t := min(max(k-bias, tMin), tMax)
				if q < t {
					break
				}
				out = append(out, digits[t+(q-t)%(base-t)])
				q = (q - t) / (base - t)
			}
			out = append(out, digits[q])
			bias = adapt(delta, int64(done+1), done == first)
			delta = 0
			done++
		}
		delta++
		n++
	}
	return string(out)
}

// adapt is that of section 6.1.
func adapt(delta, points int64, first bool) int64 {
	if first {
		delta /= damp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := int64(0)
	for ; delta > (base-tMin)*tMax/2; k += base {
		delta /= base - tMin
	}
	return k + (base-tMin+1)*delta/(delta+skew)
}
