// Package permission says who may use a file, to somebody who was refused.
package permission

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Group is a file's group: its name, or its number where it has no name.
func Group(path string) (name string, gid uint32, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	gid = info.Sys().(*syscall.Stat_t).Gid
	name = strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(name); err == nil {
		name = g.Name
	}
	return name, gid, nil
}

// Device says what makes a device's file usable for this program.
func Device(path string) string {
	name, gid, err := Group(path)
	if err != nil {
		return "its folder is closed to this program"
	}
	info, err := os.Stat(path)
	if err != nil {
		return "its folder is closed to this program"
	}
	if gid == 0 || info.Mode().Perm()&0o060 != 0o060 {
		return fmt.Sprintf("its group is %s and its mode %v: have a hotplug script or udev rule give it to this program's group, such as dialout, with mode 0660", name, info.Mode().Perm())
	}
	return fmt.Sprintf("run this program in group %s (gid %d)", name, gid)
}
