package keystore

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// An entry of the log (docs/keystore-format.md):
//
//	size of the box (2) | sequence number (5) | id (3) | CRC-32 of these ten (4) | random (7) | box
//
// The box is the sealed contents and a tag. Number and random bytes are the nonce;
// the number is in the associated data as well. Size and id are not authenticated:
// they say where the next entry is, and whose record it was, where a box does not
// open.
const (
	headSize = 14
	randSize = 7
	seqSize  = 5
	idSize   = 3

	// noRecord is the id of an entry that is about no record, and unnamed of one
	// whose name has no id: there are no more in this log.
	noRecord = 0
	unnamed  = 1<<24 - 1

	entryOverhead = headSize + randSize + tagSize
	maxContents   = 1<<16 - 1 - tagSize
)

// What an entry says. The first byte of its contents is its kind, and whether it is
// the first that was written since a sync.
const (
	kindPut     = iota + 1 // name, value
	kindDelete             // name
	kindDamaged            // name: the record did not open when the log was compacted
	kindNames              // id of the first, names: who is meant by ids
	kindVoid               // first and last number of entries that a power cut has torn
	kindBegin              // the first entry of a log
	kindEnd                // the last one of those that a log was made with

	firstOfBatch = 0x80
)

// entryPage is what an entry does not cross the end of, unless it is longer, nor
// touch: where a write reaches the end of a page jffs2 writes the whole page again.
const entryPage = 4096

// place is where an entry of that size goes that may begin at off: there, or at the
// next page.
func place(off int64, size int) int64 {
	if in := off % entryPage; in != 0 && in+int64(size) >= entryPage {
		return off - in + entryPage
	}
	return off
}

// A head is an entry's head, taken apart.
type head struct {
	size int // of the whole entry
	seq  uint64
	id   uint32
}

// parseHead is false for what is no head.
func parseHead(b []byte) (h head, ok bool) {
	if len(b) < headSize || crc32.ChecksumIEEE(b[:headSize-4]) != binary.BigEndian.Uint32(b[headSize-4:]) {
		return head{}, false
	}
	h = head{size: headSize + randSize + int(binary.BigEndian.Uint16(b)), seq: number(b[2:][:seqSize]), id: uint32(number(b[2+seqSize:][:idSize]))}
	return h, h.size > entryOverhead
}

func number(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

func appendNumber(b []byte, n uint64, size int) []byte {
	for size--; size >= 0; size-- {
		b = append(b, byte(n>>(8*size)))
	}
	return b
}

// appendEntry seals contents and appends the entry to dst.
func appendEntry(dst []byte, aead cipher.AEAD, seq uint64, id uint32, contents []byte) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(contents)+tagSize))
	dst = appendNumber(dst, seq, seqSize)
	dst = appendNumber(dst, uint64(id), idSize)
	dst = binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
	dst = append(dst, make([]byte, randSize)...)
	random := dst[len(dst)-randSize:]
	rand.Read(random)
	return aead.Seal(dst, nonce(seq, random), contents, associated(seq))
}

// openEntry opens an entry of that number; what its head says does not count.
func openEntry(aead cipher.AEAD, seq uint64, entry []byte) ([]byte, error) {
	if len(entry) <= entryOverhead {
		return nil, ErrDamaged
	}
	contents, err := aead.Open(nil, nonce(seq, entry[headSize:][:randSize]), entry[headSize+randSize:], associated(seq))
	if err != nil {
		return nil, ErrDamaged
	}
	return contents, nil
}

func nonce(seq uint64, random []byte) []byte {
	return append(appendNumber(make([]byte, 0, seqSize+randSize), seq, seqSize), random...)
}

func associated(seq uint64) []byte {
	return appendNumber([]byte(magic), seq, seqSize)
}

// named is the contents of an entry about a record.
func named(kind byte, name string, value []byte) []byte {
	b := make([]byte, 0, 2+len(name)+len(value))
	return append(append(append(b, kind, byte(len(name))), name...), value...)
}

// cutName takes a name off what follows a kind.
func cutName(b []byte) (name string, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) || checkName(string(b[1:][:b[0]])) != nil {
		return "", nil, false
	}
	return string(b[1:][:b[0]]), b[1+int(b[0]):], true
}

// checkName holds that a name is 1 to MaxName bytes of printable ASCII.
func checkName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("record name of %d bytes: want 1 to %d", len(name), MaxName)
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return fmt.Errorf("record name %q: want printable ASCII", name)
		}
	}
	return nil
}
