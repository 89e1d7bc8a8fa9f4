package board

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// LacksButton says why no key is what cfg asks for, and which there are; "" where there is
// one, or where nothing tells which there are.
func (b *Board) LacksButton(cfg *ButtonConfig) string {
	if len(b.Inputs(cfg)) > 0 {
		return ""
	}
	// The module's events go by name. What it has been given is in the device tree.
	if _, err := os.Stat(filepath.Join(b.root, "sys/module/gpio_button_hotplug")); err == nil && cfg.Key.Name != "" {
		var there []string
		for _, file := range b.glob("proc/device-tree/*/*/linux,code") {
			code, _ := b.read(file)
			if len(code) != 4 {
				continue
			}
			k := keyOf(uint16(binary.BigEndian.Uint32(code)))
			if k.Code == cfg.Key.Code {
				return ""
			}
			there = append(there, k.String())
		}
		if len(there) == 0 {
			return ""
		}
		return "this router has other buttons: " + strings.Join(there, ", ")
	}
	return "no input device has it" + b.otherInputs(cfg)
}

// maxNamed bounds what is named of devices, and of each device's keys.
const maxNamed = 8

// otherInputs are the input devices that are not what cfg asks for.
func (b *Board) otherInputs(cfg *ButtonConfig) string {
	var own, others []string
	for _, event := range b.glob("sys/class/input/event*") {
		device := event + "/device/"
		name, bitmap := b.firstText(device+"name"), b.firstText(device+"capabilities/key")
		var names []string
		for code := uint16(1); code <= maxKey && len(names) < maxNamed; code++ {
			if has(bitmap, code) {
				names = append(names, keyOf(code).String())
			}
		}
		switch {
		case len(names) == 0:
		case b.firstText(device+"id/bustype") == busHost && len(own) < maxNamed:
			own = append(own, name+" has "+strings.Join(names, ", "))
		case has(bitmap, cfg.Key.Code) && len(others) < maxNamed:
			others = append(others, fmt.Sprintf("%s is no button of the board's own, and has it: option button_device '%s' takes it", name, name))
		}
	}
	if len(own) == 0 {
		own = []string{"this board has no button that the kernel shows"}
	}
	return "; " + strings.Join(append(own, others...), "; ")
}

// keyOf is the key of a code.
func keyOf(code uint16) Key {
	switch code {
	case keyRestart:
		return Key{code, "reset"}
	case keyPower:
		return Key{code, "power"}
	}
	for _, k := range keys {
		if k.Code == code {
			return k
		}
	}
	return Key{Code: code}
}

func (k Key) String() string {
	if k.Name != "" {
		return k.Name
	}
	return "0x" + strconv.FormatUint(uint64(k.Code), 16)
}
