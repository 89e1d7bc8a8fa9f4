package board

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// stableIDs reads all sources of the package comment. What cannot be read for lack of rights is named by
// source; whatever else goes wrong with a file means that the board has not got it.
func (b *Board) stableIDs() (ids, unreadable []string) {
	for _, source := range []struct {
		name string
		read func(*Board) ([]string, error)
	}{
		{"dt-serial", func(b *Board) ([]string, error) {
			return b.texts("sys/firmware/devicetree/base/serial-number", "proc/device-tree/serial-number")
		}},
		{"soc-serial", func(b *Board) ([]string, error) { return b.texts(b.glob("sys/devices/soc*/serial_number")...) }},
		{"emmc-cid", (*Board).eMMC},
		{"mtd-otp", (*Board).flashOTP},
		{"dmi-uuid", func(b *Board) ([]string, error) { return b.texts("sys/class/dmi/id/product_uuid") }},
		{"dmi-product-serial", func(b *Board) ([]string, error) { return b.texts("sys/class/dmi/id/product_serial") }},
		{"dmi-board-serial", func(b *Board) ([]string, error) { return b.texts("sys/class/dmi/id/board_serial") }},
		{"mac", (*Board).hardwareAddresses},
	} {
		values, err := source.read(b)
		if errors.Is(err, fs.ErrPermission) {
			unreadable = append(unreadable, source.name)
		}
		for _, v := range values {
			ids = append(ids, source.name+":"+v)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), unreadable
}

// minID is how many bytes an id has at least: what is shorter counts boards, or nothing at all.
const minID = 4

// texts returns the meaningful texts of the files that are long enough for an id.
func (b *Board) texts(files ...string) (values []string, err error) {
	for _, file := range files {
		data, readErr := b.read(file)
		err = errors.Join(err, readErr)
		if text := meaningful(string(data)); len(text) >= minID {
			values = append(values, strings.ToLower(text))
		}
	}
	return values, err
}

// eMMC returns the card identification of every mmcblk that is soldered: the type is MMC, that of a card SD.
// The number in mmcblk0 depends on the order of probing and is not used.
func (b *Board) eMMC() (values []string, err error) {
	for _, device := range b.glob("sys/block/mmcblk*/device") {
		if b.firstText(filepath.Join(device, "type")) != "MMC" {
			continue
		}
		cid, cidErr := b.texts(filepath.Join(device, "cid"))
		values, err = append(values, cid...), errors.Join(err, cidErr)
	}
	return values, err
}

// flashOTP returns the hash of what the maker of a flash chip wrote into its one-time programmable area,
// which the kernel (from 5.14) shows as an nvmem device. An area without content is all ones or all zeros.
func (b *Board) flashOTP() (values []string, err error) {
	for _, file := range b.glob("sys/bus/nvmem/devices/*factory-otp*/nvmem") {
		content, readErr := b.read(file)
		err = errors.Join(err, readErr)
		if len(content) < 8 || len(bytes.Trim(content, string(content[:1]))) == 0 {
			continue
		}
		sum := sha256.Sum256(content)
		values = append(values, hex.EncodeToString(sum[:16]))
	}
	return values, err
}

// hardwareAddresses returns the permanent MAC addresses of radios and wired interfaces. On most routers
// without a serial number these are all that tells two of them apart.
func (b *Board) hardwareAddresses() (values []string, err error) {
	add := func(file string) {
		data, readErr := b.read(file)
		err = errors.Join(err, readErr)
		if mac := universalMAC(strings.TrimSpace(string(data))); mac != "" {
			values = append(values, mac)
		}
	}
	// A radio's macaddress is the permanent one, whatever its interfaces are set to.
	for _, radio := range b.glob("sys/class/ieee80211/*") {
		if b.isBuiltIn(radio) {
			add(filepath.Join(radio, "macaddress"))
		}
	}
	for _, wired := range b.glob("sys/class/net/*") {
		if !b.isBuiltIn(wired) || b.exists(filepath.Join(wired, "phy80211")) {
			continue
		}
		// 0 is NET_ADDR_PERM: neither random nor taken from elsewhere nor set by a person.
		if b.firstText(filepath.Join(wired, "addr_assign_type")) == "0" && b.firstText(filepath.Join(wired, "type")) == "1" {
			add(filepath.Join(wired, "address"))
		}
	}
	return values, err
}

// isBuiltIn tells whether a class entry of sysfs belongs to a device (a bridge does not) that is not on USB.
func (b *Board) isBuiltIn(entry string) bool {
	if !b.exists(filepath.Join(entry, "device")) {
		return false
	}
	path, err := filepath.EvalSymlinks(filepath.Join(b.root, entry))
	if err != nil {
		return false
	}
	root, err := filepath.EvalSymlinks(b.root)
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(strings.Split(strings.TrimPrefix(path, root), "/"), func(part string) bool {
		return len(part) > 3 && strings.HasPrefix(part, "usb") && part[3] >= '0' && part[3] <= '9'
	})
}

func (b *Board) exists(file string) bool {
	_, err := os.Stat(filepath.Join(b.root, file))
	return err == nil
}

// meaningful returns a text of firmware without its padding, or "" where it only holds the place of one.
func meaningful(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return -1
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	plain := strings.ToLower(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" .-_:/", r) {
			return -1
		}
		return r
	}, text))
	switch plain {
	case "none", "na", "null", "unknown", "default", "defaultstring", "empty", "invalid", "undefined", "oem",
		"notspecified", "notapplicable", "notavailable", "tobefilledbyoem", "systemserialnumber", "serialnumber",
		"baseboardserialnumber", "chassisserialnumber", "systemproductname", "systemmanufacturer",
		"123456789", "1234567890", "12345678", "0123456789", "0123456789abcdef", "1234567890abcdef",
		"03000200040005000006000700080009", "00020003000400050006000700080009":
		return ""
	}
	// One character over and over, as in 00000000 or xxxxxxx, names nothing; a single one may be meant.
	if plain == "" || len(plain) > 1 && strings.Trim(plain, plain[:1]) == "" {
		return ""
	}
	return text
}

// readStart returns the first limit bytes of a file.
func readStart(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
