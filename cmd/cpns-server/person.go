package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// operatorName is who gives a command, as the audit log shows it: the user whose process
// this is, and the person behind root or a service's user.
//
// Two things tell of that person. The login UID is the kernel's: it is set once, when
// somebody logs in, passes on to all that is started from there, through sudo and su, and
// only a process with CAP_AUDIT_CONTROL changes it. SUDO_USER is a word in the
// environment: right where sudo wrote it, and whatever one likes where somebody with the
// same rights did. So the first is shown as it is, the second as what sudo says, and
// only where the first does not say the same.
func operatorName() string {
	p := person{process: nameOf(os.Getuid()), lookup: nameOf}
	if text, err := os.ReadFile("/proc/self/loginuid"); err == nil {
		p.loginUID = strings.TrimSpace(string(text))
	}
	p.sudoUser, p.sudoUID = os.Getenv("SUDO_USER"), os.Getenv("SUDO_UID")
	return p.String()
}

type person struct {
	process           string
	loginUID          string // as the kernel writes it, "" where it does not
	sudoUser, sudoUID string // from the environment
	lookup            func(uid int) string
}

// noLogin is the login UID of what nobody started who had logged in: a service, a timer.
const noLogin = "4294967295"

func (p person) String() string {
	login := ""
	if uid, err := strconv.ParseUint(p.loginUID, 10, 31); err == nil && p.loginUID != noLogin {
		login = p.lookup(int(uid))
	}
	var behind []string
	if login != "" && login != p.process {
		behind = append(behind, "login "+login)
	}
	if sudo := p.sudo(); sudo != "" && sudo != login {
		behind = append(behind, "sudo says "+sudo)
	}
	if len(behind) == 0 {
		return p.process
	}
	return p.process + " (" + strings.Join(behind, ", ") + ")"
}

// sudo is what the environment says of the person, in words that cannot be mistaken for
// this program's own; "" where it says nothing.
func (p person) sudo() string {
	name := p.sudoUser
	if len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._@\\$") != "" {
		name = "a name that is none"
	}
	if p.sudoUID == "" {
		return name
	}
	uid, err := strconv.ParseUint(p.sudoUID, 10, 31)
	switch {
	case err != nil:
		return strings.TrimSpace(name + " with a UID that is none")
	case p.lookup(int(uid)) == name:
		return name
	case name == "":
		return p.lookup(int(uid))
	}
	return fmt.Sprintf("%s with the UID %d", name, uid)
}

func nameOf(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", uid)
}
