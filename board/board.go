// Package board knows the router that the agent runs on: which one it is, the device secret that the key
// store is sealed under, and whether its clock can be trusted. Command pngw calls it at init and at start.
//
// Everything is read relative to a root folder, "/" on a router, so that the tests run against the files of
// other boards. Nothing is cached.
//
// # Identity
//
// A stable id is a number that names this very board and does not change with a kernel upgrade, a renamed
// interface, a USB stick or an SD card:
//
//	dt-serial           device-tree/serial-number, which the boot loader sets from fuses or its environment
//	soc-serial          /sys/devices/soc*/serial_number, from the fuses of the system on chip
//	emmc-cid            card identification of soldered eMMC (SD cards have one too, and are left out)
//	mtd-otp             factory part of the one-time programmable area of a flash chip, by its hash
//	dmi-uuid            product_uuid, dmi-product-serial, dmi-board-serial: firmware of a PC
//	mac                 hardware addresses of what is soldered in or on PCI: of radios the permanent one, of
//	                    wired interfaces the one in use, only where the kernel says that it is the permanent one
//
// Left out on purpose: addresses that are set by a person, random, locally administered or on USB, and those
// that the makers of chips leave in their samples, which thousands of boards share (mac.go); the
// machine-id and the UUIDs of file systems, which are copied with the file system; partitions and fuses as a
// whole, which updates may rewrite; what vendors leave in place of a number ("To be filled by O.E.M.").
//
// An id is no secret: much of it is printed on the label or sent over the air. It keeps a copied file system
// from opening on another board, not from opening for somebody who has both the copy and the label. A board
// without any id has only a model, which it shares with thousands: there a copy opens.
package board

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Board is a router, seen through its files.
type Board struct {
	root string
}

// New returns the board whose files are under root: "/" but for tests.
func New(root string) *Board {
	return &Board{root: root}
}

// An Identity says which board this is.
type Identity struct {
	Model  string   // for people; "unknown board" where nothing says it
	Serial string   // for people; may be empty
	IDs    []string // stable ids as "source:value", sorted; empty where the board has none
}

// Fingerprint is a short name for the IDs that tells two boards apart and may be shown; "none" without IDs.
func (id Identity) Fingerprint() string {
	if len(id.IDs) == 0 {
		return "none"
	}
	sum := sha256.Sum256([]byte(strings.Join(id.IDs, "\n")))
	return hex.EncodeToString(sum[:3]) + "-" + hex.EncodeToString(sum[3:6])
}

// String names the board as messages do: the model and the fingerprint.
func (id Identity) String() string {
	return describe(id.Model, id.Fingerprint())
}

func describe(model, fingerprint string) string {
	return fmt.Sprintf("%s (fingerprint %s)", model, fingerprint)
}

// Identity reads which board this is. An id that the caller may not read, as DMI's without root, is left out.
func (b *Board) Identity() (Identity, error) {
	id, _, err := b.identity()
	return id, err
}

// identity also tells which sources could not be read.
func (b *Board) identity() (id Identity, unreadable []string, err error) {
	if _, err := os.Stat(b.root); err != nil {
		return Identity{}, nil, fmt.Errorf("reading the board's identity: %w", err)
	}
	id.Model = b.firstText("tmp/sysinfo/model", "sys/firmware/devicetree/base/model", "proc/device-tree/model")
	if id.Model == "" {
		id.Model = strings.TrimSpace(b.firstText("sys/class/dmi/id/sys_vendor") + " " + b.firstText("sys/class/dmi/id/product_name"))
	}
	if id.Model == "" {
		id.Model = b.cpuinfoModel()
	}
	if id.Model == "" {
		id.Model = "unknown board"
	}
	id.Serial = b.firstText("sys/firmware/devicetree/base/serial-number", "proc/device-tree/serial-number", "sys/class/dmi/id/product_serial")
	id.IDs, unreadable = b.stableIDs()
	return id, unreadable, nil
}

// cpuinfoModel takes the board's name from /proc/cpuinfo, where older MIPS and ARM kernels put it.
func (b *Board) cpuinfoModel() string {
	text, _ := b.read("proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "machine", "system type", "Hardware":
			return meaningful(value)
		}
	}
	return ""
}

// firstText returns the text of the first of the files that has a meaningful one.
func (b *Board) firstText(files ...string) string {
	for _, file := range files {
		data, _ := b.read(file)
		if text := meaningful(string(data)); text != "" {
			return text
		}
	}
	return ""
}

// maxFile bounds what is read of any file of the board, in bytes.
const maxFile = 4 << 10

// read returns the first maxFile bytes of a file.
func (b *Board) read(file string) ([]byte, error) {
	return readStart(filepath.Join(b.root, file), maxFile)
}

// glob returns the files that match, relative to the root.
func (b *Board) glob(pattern string) []string {
	matches, err := filepath.Glob(filepath.Join(b.root, pattern))
	if err != nil {
		panic(err) // only for a bad pattern
	}
	for i, m := range matches {
		if rel, err := filepath.Rel(b.root, m); err == nil {
			matches[i] = rel
		}
	}
	return matches
}
