//go:build linux

// Command ujail stands in for OpenWrt's of the same name, which procd starts a
// service by that asks for a jail: a root of its own, made of what is named and of
// little else, the service its first process. It takes those of the real one's
// options that the package's init script comes to:
//
//	-r PATH, -w PATH   shows a file or folder, to read or to write; one that is not
//	                   there is left out
//	-p, -s             shows /proc, and /sys
//	-l, -u             shows /dev/log, and ubus; without them there it fails
//	-o                 leaves the rest of the root read-only
//	-c                 no new privileges
//	-U USER, -G GROUP  who the service is; the user's other groups come with it
//	-e NAME            passes a variable of the environment on, and no other
//	-n NAME, -t SECONDS, -C FILE   are for messages, stopping and capabilities, of
//	                   which a service that is not root has none
//
// As the real one it binds files by their inode: what is renamed over them later is
// not seen.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// jail is what the options say.
type jail struct {
	mounts              map[string]mount // by where they are shown
	proc, sys, readOnly bool
	noNewPrivs          bool
	user, group         string
	env                 []string
	command             []string
}

type mount struct {
	source   string
	writable bool
	needed   bool
}

// inside is set in the environment of the process that makes the jail for itself.
const inside = "_UJAIL_INSIDE"

func main() {
	if err := run(); err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			os.Exit(ended.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "ujail:", err)
		os.Exit(1)
	}
}

func run() error {
	j, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	if os.Getenv(inside) != "" {
		return j.enter()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC, Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	return cmd.Wait()
}

func parse(args []string) (*jail, error) {
	j := &jail{mounts: map[string]mount{}}
	for len(args) > 0 {
		option := args[0]
		args = args[1:]
		value := ""
		switch option {
		case "--":
			j.command = args
			if len(args) == 0 {
				return nil, errors.New("no command")
			}
			return j, nil
		case "-r", "-w", "-U", "-G", "-e", "-n", "-t", "-C":
			if len(args) == 0 {
				return nil, fmt.Errorf("%s lacks its value", option)
			}
			value, args = args[0], args[1:]
		}
		switch option {
		case "-r", "-w":
			source, target, ok := strings.Cut(value, ":")
			if !ok {
				target = source
			}
			j.show(source, target, option == "-w", false)
		case "-p":
			j.proc = true
		case "-s":
			j.sys = true
		case "-o":
			j.readOnly = true
		case "-c":
			j.noNewPrivs = true
		case "-l":
			j.show("/dev/log", "/dev/log", true, true)
		case "-u":
			j.show("/var/run/ubus/ubus.sock", "/var/run/ubus/ubus.sock", true, true)
		case "-U":
			j.user = value
		case "-G":
			j.group = value
		case "-e":
			if v, ok := os.LookupEnv(value); ok {
				j.env = append(j.env, value+"="+v)
			}
		case "-n", "-t", "-C":
		default:
			return nil, fmt.Errorf("unknown option %s", option)
		}
	}
	return nil, errors.New("no command")
}

func (j *jail) show(source, target string, writable, needed bool) {
	if _, there := j.mounts[target]; !there {
		j.mounts[target] = mount{source, writable, needed}
	}
}

// enter makes the jail around this process and becomes the command.
func (j *jail) enter() error {
	uid, gids, err := j.identity()
	if err != nil {
		return err
	}
	j.show(j.command[0], j.command[0], false, true)
	j.show("/etc/passwd", "/etc/passwd", false, true)
	j.show("/etc/group", "/etc/group", false, true)
	if err := j.build(); err != nil {
		return err
	}
	if j.noNewPrivs {
		if _, _, e := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); e != 0 {
			return fmt.Errorf("no new privileges: %w", e)
		}
	}
	if err := syscall.Setgroups(gids); err != nil {
		return err
	}
	if err := syscall.Setgid(gids[0]); err != nil {
		return err
	}
	if err := syscall.Setuid(uid); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", j.command[0], syscall.Exec(j.command[0], j.command, j.env))
}

func (j *jail) identity() (uid int, gids []int, err error) {
	u, err := user.Lookup(j.user)
	if err != nil {
		return 0, nil, err
	}
	g, err := user.LookupGroup(j.group)
	if err != nil {
		return 0, nil, err
	}
	others, err := u.GroupIds()
	if err != nil {
		return 0, nil, err
	}
	uid, err = strconv.Atoi(u.Uid)
	for _, id := range append([]string{g.Gid}, others...) {
		n, _ := strconv.Atoi(id)
		gids = append(gids, n)
	}
	return uid, gids, err
}

// build makes the root, and makes it this process's.
func (j *jail) build() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts to ourselves: %w", err)
	}
	root, err := os.MkdirTemp("/tmp", "ujail-")
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOATIME, "mode=0755"); err != nil {
		return fmt.Errorf("mounting the root: %w", err)
	}
	if err := j.system(root); err != nil {
		return err
	}
	targets := make([]string, 0, len(j.mounts))
	for target := range j.mounts {
		targets = append(targets, target)
	}
	slices.Sort(targets) // a folder before what is in it
	for _, target := range targets {
		if err := bind(root, target, j.mounts[target]); err != nil {
			return err
		}
	}
	old := root + "/old"
	if err := os.Mkdir(old, 0o755); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, old); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root: %w", err)
	}
	os.Remove("/old")
	if j.readOnly {
		return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}
	return nil
}

// system mounts what is the kernel's, and makes the devices that every jail has.
func (j *jail) system(root string) error {
	for _, m := range []struct {
		where, kind, data string
		flags             uintptr
		wanted            bool
	}{
		{"/dev", "tmpfs", "size=1M,mode=0755", unix.MS_NOEXEC | unix.MS_NOSUID, true},
		{"/proc", "proc", "", unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSUID, j.proc},
		{"/sys", "sysfs", "", unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSUID | unix.MS_RDONLY, j.sys},
	} {
		if !m.wanted {
			continue
		}
		if err := os.MkdirAll(root+m.where, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, root+m.where, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.where, err)
		}
	}
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		path := root + "/dev/" + name
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			return fmt.Errorf("making /dev/%s: %w", name, err)
		}
		os.Chmod(path, 0o666)
	}
	return nil
}

// bind shows a file or a folder. What a path leads to by links is shown under the
// path itself.
func bind(root, target string, m mount) error {
	info, err := os.Stat(m.source)
	if err != nil {
		if m.needed {
			return err
		}
		return nil
	}
	at := root + target
	if info.IsDir() {
		err = os.MkdirAll(at, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(at), 0o755); err == nil {
		var f *os.File
		if f, err = os.OpenFile(at, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644); err == nil {
			f.Close()
		} else if errors.Is(err, os.ErrExist) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(m.source, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("showing %s: %w", m.source, err)
	}
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND)
	if !m.writable {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", at, "", flags, ""); err != nil && !m.writable {
		return fmt.Errorf("closing %s to writing: %w", m.source, err)
	}
	return nil
}
