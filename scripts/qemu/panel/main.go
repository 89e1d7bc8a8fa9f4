//go:build linux

// Panel is an input device of the kernel's, by uinput: one key, and one light, which the
// kernel shows in /sys/class/leds as NAME::numlock. It ends, and the device is gone, when
// standard input does.
//
//	panel NAME BUS KEY     such as: panel keys 0x19 0x211
//
// Lines of standard input press the key and let it go: press, release. What becomes of the
// light is told on standard output, a line each: light 1, light 0. Its ioctls are those of
// ARM and x86.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// Of linux/uinput.h and linux/input-event-codes.h.
const (
	setEvent, setKey, setLight = 0x40045564, 0x40045565, 0x40045569
	create                     = 0x5501

	evSyn, evKey, evLED = 0, 1, 0x11
	numLock             = 0
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "panel:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 4 {
		return fmt.Errorf("usage: panel NAME BUS KEY")
	}
	bus, err := strconv.ParseUint(os.Args[2], 0, 16)
	if err != nil {
		return err
	}
	key, err := strconv.ParseUint(os.Args[3], 0, 16)
	if err != nil {
		return err
	}
	fd, err := syscall.Open("/dev/uinput", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	control := func(request, value uintptr) {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, value); e != 0 && err == nil {
			err = fmt.Errorf("ioctl %x: %w", request, e)
		}
	}
	control(setEvent, evKey)
	control(setKey, uintptr(key))
	control(setEvent, evLED)
	control(setLight, numLock)
	// struct uinput_user_dev: name, bus and three numbers more, effects, 4 times 64 axes.
	device := make([]byte, 80+8+4+4*4*64)
	copy(device[:79], os.Args[1])
	binary.NativeEndian.PutUint16(device[80:], uint16(bus))
	if _, e := syscall.Write(fd, device); e != nil && err == nil {
		err = e
	}
	control(create, 0)
	if err != nil {
		return err
	}
	go watch(fd)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		value := uint32(0)
		if commands.Text() == "press" {
			value = 1
		}
		if _, err := syscall.Write(fd, append(event(evKey, uint16(key), value), event(evSyn, 0, 0)...)); err != nil {
			return err
		}
	}
	return commands.Err()
}

const size = 2*strconv.IntSize/8 + 8 // of an input_event

func event(kind, code uint16, value uint32) []byte {
	var b bytes.Buffer
	b.Write(make([]byte, size-8))
	binary.Write(&b, binary.NativeEndian, struct {
		Kind, Code uint16
		Value      uint32
	}{kind, code, value})
	return b.Bytes()
}

// watch tells what the kernel does to the light.
func watch(fd int) {
	var e [size]byte
	for {
		if n, err := syscall.Read(fd, e[:]); err != nil || n != size {
			return
		}
		if at := e[size-8:]; binary.NativeEndian.Uint16(at) == evLED {
			fmt.Println("light", binary.NativeEndian.Uint32(at[4:]))
		}
	}
}
