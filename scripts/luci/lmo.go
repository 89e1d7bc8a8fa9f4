package main

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// encodeLMO makes LuCI's binary catalogue. Texts come first, each padded to four bytes;
// then, ordered by hash, an entry a message, of four 32-bit words, big-endian: the hash of
// the message's id, 1 plus the number of its plural form, where its text is and how long
// that is; and at the end where the entries begin. An entry of hash 0 has the plural
// formula. A text that is its id is left out.
func encodeLMO(messages []message) []byte {
	type entry struct{ hash, plural, offset, length uint32 }
	var out []byte
	var entries []entry
	add := func(hash, plural uint32, text string) {
		entries = append(entries, entry{hash, plural, uint32(len(out)), uint32(len(text))})
		out = append(out, text...)
		out = append(out, make([]byte, -len(text)&3)...)
	}
	for _, m := range messages {
		if m.id == "" {
			for line := range strings.Lines(m.text) {
				if formula, ok := strings.CutPrefix(line, "Plural-Forms: "); ok {
					add(0, 0, strings.TrimSuffix(formula, "\n"))
				}
			}
		} else if m.text != "" && m.text != m.id {
			add(hash(escape(m.id)), 1, escape(m.text))
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.hash, b.hash) })
	at := uint32(len(out))
	for _, e := range entries {
		for _, word := range [...]uint32{e.hash, e.plural, e.offset, e.length} {
			out = binary.BigEndian.AppendUint32(out, word)
		}
	}
	return binary.BigEndian.AppendUint32(out, at)
}

// escape leaves a text as LuCI keeps it: quotes and backslashes bare, line ends escaped.
func escape(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }

// hash is Paul Hsieh's SuperFastHash, begun with the length, by which LuCI finds a message.
func hash(text string) uint32 {
	h := uint32(len(text))
	word := func(i int) uint32 { return uint32(text[i]) | uint32(text[i+1])<<8 }
	n := len(text) &^ 3
	for i := 0; i < n; i += 4 {
		h += word(i)
		h = h<<16 ^ word(i+2)<<11 ^ h
		h += h >> 11
	}
	signed := func(i int) uint32 { return uint32(int32(int8(text[i]))) }
	switch len(text) - n {
	case 3:
		h += word(n)
		h ^= h << 16
		h ^= signed(n+2) << 18
		h += h >> 11
	case 2:
		h += word(n)
		h ^= h << 11
		h += h >> 17
	case 1:
		h += signed(n)
		h ^= h << 10
		h += h >> 1
	}
	h ^= h << 3
	h += h >> 5
	h ^= h << 4
	h += h >> 17
	h ^= h << 25
	return h + h>>6
}
