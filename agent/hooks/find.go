package hooks

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// find lists the hooks, in the order of their names. The folder is read for
// each event, so that a hook counts from when it is put there. What is refused
// is said once, and again when the reason changes.
func (r *Runner) find() (paths []string) {
	paths, refused := Look(r.cfg.Dir)
	for path, reason := range refused {
		if r.refused[path] != reason {
			r.cfg.Log.Warn("hook not run", "hook", path, "reason", reason)
		}
	}
	r.refused = refused
	return paths
}

// Look lists what in a folder is run, in its order, and what is not, with the reason.
func Look(dir string) (paths []string, refused map[string]string) {
	refused = map[string]string{}
	entries, reason := list(dir)
	if reason != "" {
		refused[dir] = reason
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		if reason := unfit(path, e); reason != "" {
			refused[path] = reason
		} else {
			paths = append(paths, path)
		}
	}
	return paths, refused
}

// list reads the folder, and says why not. One that is not there is empty.
func list(dir string) (entries []fs.DirEntry, reason string) {
	info, err := os.Stat(dir)
	if err == nil {
		if reason := mayChange(info); reason != "" {
			return nil, reason
		}
		entries, err = os.ReadDir(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err.Error()
	}
	return entries, ""
}

// unfit says why a file is not run, "" if it is. A symbolic link is not: its
// target may lie where others can exchange it.
func unfit(path string, e fs.DirEntry) string {
	if !isHookName(e.Name()) {
		return "its name has other characters than letters, digits, _ and -"
	}
	info, err := e.Info()
	switch {
	case err != nil:
		return err.Error()
	case !info.Mode().IsRegular():
		return "it is not a regular file"
	case info.Mode()&0o100 == 0:
		return "it is not executable"
	}
	if reason := mayChange(info); reason != "" {
		return reason
	}
	// The kernel takes the CR for a part of the interpreter's name, or of its option.
	if first, err := firstLine(path); err == nil && strings.HasPrefix(first, "#!") && strings.HasSuffix(first, "\r") {
		return "its lines end in CR LF, as on Windows: take the CRs out, for example by dos2unix"
	}
	return ""
}

// firstLine is a file's first line, or as much of it as the kernel looks at.
func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// mayChange says who could change a file or folder and so have the agent run
// something else, "" where that is only root and the agent's own user.
func mayChange(info fs.FileInfo) string {
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 && int(owner) != os.Getuid() {
		return fmt.Sprintf("it belongs to user %d: want root or the agent's own user", owner)
	}
	if info.Mode()&0o022 != 0 {
		return fmt.Sprintf("its mode is %04o: others than its owner may write to it", info.Mode().Perm())
	}
	return ""
}

// isHookName is the rule of run-parts, which leaves out what editors and
// package managers put beside a file.
func isHookName(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
