// Elfcheck holds programs for routers to what every one of them must be: for the
// processor that its name says, static, stripped, without the paths of the machine
// that built it, and on MIPS without an FPU instruction, which routers' cores do
// not have.
//
//	elfcheck [-path TEXT]… FILE…
//
// Files are named pngw-TARGET. Script cross.sh runs it on what it has built.
package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	var paths []string
	flag.Func("path", "what must not be in the file", func(v string) error {
		// A folder such as / or ~ is too short to say anything.
		if len(v) > 4 {
			paths = append(paths, v)
		}
		return nil
	})
	flag.Parse()
	failed := false
	for _, name := range flag.Args() {
		if err := check(name, paths); err != nil {
			fmt.Fprintf(os.Stderr, "elfcheck: %s: %v\n", name, err)
			failed = true
		}
	}
	if failed || flag.NArg() == 0 {
		os.Exit(1)
	}
}

// check returns all that is wrong with a file, joined.
func check(name string, paths []string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return err
	}
	faults := []error{checkTarget(filepath.Base(name), f, data)}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			faults = append(faults, errors.New("not static: a router has another C library, or none"))
			break
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil || f.Section(".zdebug_info") != nil {
		faults = append(faults, errors.New("not stripped"))
	}
	for _, path := range paths {
		if bytes.Contains(data, []byte(path)) {
			faults = append(faults, fmt.Errorf("contains the build's path %s", path))
		}
	}
	if f.Machine == elf.EM_MIPS {
		faults = append(faults, checkMIPS(f))
	}
	return errors.Join(faults...)
}

// A target is what a program must be built for.
type target struct {
	machine elf.Machine
	class   elf.Class
	order   elf.Data
	goarm   string // the oldest ARM that it runs on
}

func (t target) String() string {
	return strings.TrimSpace(fmt.Sprintf("%v, %v, %v %s", t.machine, t.class, t.order, t.goarm))
}

// targets are those of build/size-budget, but for the -usb of some.
var targets = map[string]target{
	"linux-mips":   {elf.EM_MIPS, elf.ELFCLASS32, elf.ELFDATA2MSB, ""},
	"linux-mipsle": {elf.EM_MIPS, elf.ELFCLASS32, elf.ELFDATA2LSB, ""},
	"linux-armv5":  {elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB, "5"},
	"linux-armv7":  {elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB, "7"},
	"linux-arm64":  {elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB, ""},
	"linux-amd64":  {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, ""},
}

// checkTarget compares a program with its name: under another's it would be packed
// for routers on which it ends as an illegal instruction, or is no program at all.
func checkTarget(name string, f *elf.File, data []byte) error {
	name, usb := strings.CutSuffix(strings.TrimPrefix(name, "pngw-"), "-usb")
	want, ok := targets[name]
	if !ok {
		return fmt.Errorf("%q is no target", name)
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("not a program of Go's: %w", err)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if got := (target{f.Machine, f.Class, f.Data, settings["GOARM"]}); got != want {
		return fmt.Errorf("built for another processor: %v, want %v", got, want)
	}
	if usb && settings["CGO_ENABLED"] != "1" {
		return errors.New("built without cgo, and so without USB")
	}
	return nil
}

// softFloat is what .MIPS.abiflags calls it (Val_GNU_MIPS_ABI_FP_SOFT).
const softFloat = 3

func checkMIPS(f *elf.File) error {
	// The linker's word first, and then the code itself, some of which is C.
	if s := f.Section(".MIPS.abiflags"); s != nil {
		flags, err := s.Data()
		if err != nil {
			return err
		}
		if len(flags) > 7 && flags[7] != softFloat {
			return fmt.Errorf("built for hard float (ABI %d): build with GOMIPS=softfloat", flags[7])
		}
	}
	text := f.Section(".text")
	if text == nil {
		return errors.New("no section .text")
	}
	code, err := text.Data()
	if err != nil {
		return err
	}
	for i := 0; i+4 <= len(code); i += 4 {
		if word := f.ByteOrder.Uint32(code[i:]); usesFPU(word) {
			return fmt.Errorf("FPU instruction %08x at %#x: build with GOMIPS=softfloat", word, text.Addr+uint64(i))
		}
	}
	return nil
}

// usesFPU tells whether an instruction goes to coprocessor 1, by its opcode.
func usesFPU(word uint32) bool {
	switch word >> 26 {
	case 0x11, // COP1: arithmetic, moves and branches
		0x31, 0x35, // LWC1, LDC1
		0x39, 0x3d: // SWC1, SDC1
		return true
	}
	return false
}
