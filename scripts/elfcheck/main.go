// Elfcheck holds programs for routers to what every one of them must be: for the
// oldest processor of the kind that its name says, built as the build's scripts say
// and not as the environment of whoever built it, static, stripped, without the
// paths of the machine that built it, and on MIPS without an FPU instruction, which
// routers' cores do not have.
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
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	level   string // the go command's variable for the oldest processor that it runs on
}

func (t target) String() string {
	return fmt.Sprintf("%v, %v, %v, %s", t.machine, t.class, t.order, t.level)
}

// targets are those of build/size-budget, but for the -usb of some.
var targets = map[string]target{
	"linux-mips":   {elf.EM_MIPS, elf.ELFCLASS32, elf.ELFDATA2MSB, "GOMIPS=softfloat"},
	"linux-mipsle": {elf.EM_MIPS, elf.ELFCLASS32, elf.ELFDATA2LSB, "GOMIPS=softfloat"},
	"linux-armv5":  {elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB, "GOARM=5"},
	"linux-armv7":  {elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB, "GOARM=7"},
	"linux-arm64":  {elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB, "GOARM64=v8.0"},
	"linux-amd64":  {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, "GOAMD64=v1"},
}

// settings are how every program is built, but for what differs with its target.
// The go command writes an experiment, a detector or a FIPS mode into a program only
// where it is not its own default.
var settings = map[string]string{
	"-buildmode":   "exe",
	"-compiler":    "gc",
	"-trimpath":    "true",
	"GOOS":         "linux",
	"GOEXPERIMENT": "",
	"GOFIPS140":    "",
	"-race":        "",
	"-msan":        "",
	"-asan":        "",
	"-cover":       "",
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
	built := map[string]string{}
	for _, s := range info.Settings {
		built[s.Key] = s.Value
	}
	variable, _, _ := strings.Cut(want.level, "=")
	if got := (target{f.Machine, f.Class, f.Data, variable + "=" + built[variable]}); got != want {
		return fmt.Errorf("built for another processor: %v, want %v", got, want)
	}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if built[key] != settings[key] {
			faults = append(faults, fmt.Errorf("built with %s=%s, want %q", key, built[key], settings[key]))
		}
	}
	// A build with USB has names looked up by Go all the same, and not by its C library.
	tags, cgo := "nethttpomithttp2", "0"
	if usb {
		tags, cgo = "nethttpomithttp2,usb,netgo,osusergo", "1"
	}
	if built["-tags"] != tags {
		faults = append(faults, fmt.Errorf("built with -tags %q, want %q", built["-tags"], tags))
	}
	if built["CGO_ENABLED"] != cgo {
		faults = append(faults, fmt.Errorf("built with CGO_ENABLED=%s, want %s", built["CGO_ENABLED"], cgo))
	}
	return errors.Join(faults...)
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
