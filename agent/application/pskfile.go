package application

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

// The file has a line for each device, IDENTITY:KEY, the key in hex: what mosquitto calls
// its psk_file. It is replaced whole by a rename, so that a reader finds the old one or
// the new one.

// newExt is what the next file is called after the file.
const newExt = ".new"

// Magic numbers of file systems that are in memory.
const (
	tmpfs = 0x01021994
	ramfs = 0x858458f6
)

// Check says whether a file at path can be kept: its folder is there, and in memory.
func Check(path string) error {
	err := inMemory(folder(path))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: make that folder, for the agent's user to write and the application's to read", err)
	}
	return err
}

// inMemory tells whether a folder is.
func inMemory(dir string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	if magic := uint32(s.Type); magic != tmpfs && magic != ramfs {
		return fmt.Errorf("%s is on a disk or on flash, where keys would outlive the power: want a folder in memory, such as below /var/run", dir)
	}
	return nil
}

func folder(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 1)] }

// adopt takes over what is in the file, of devices that are known and not under alarm.
func (k *Keeper) adopt(known []agent.PNE) error {
	if k.cfg.Path == "" {
		return nil
	}
	if err := Check(k.cfg.Path); err != nil {
		return err
	}
	text, err := readOwn(k.cfg.Path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			k.cfg.Log.Warn("what is in an application's file is not taken over", "application", k.cfg.Name, "reason", err)
		}
		return nil
	}
	defer clear(text)
	devices := map[string]cpns.EntityID{}
	for _, p := range known {
		if id, ok := cpns.ApplicationIdentity(p.Entity); ok && p.State != agent.StateAlarm {
			devices[id] = p.Entity
		}
	}
	for line := range bytes.Lines(text) {
		id, digits, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":"))
		e, ok := devices[string(id)]
		var key cpns.ApplicationKey
		if !ok || len(digits) != hex.EncodedLen(len(key)) {
			continue
		}
		if _, err := hex.Decode(key[:], digits); err == nil {
			k.keys[e] = &key
		}
	}
	return nil
}

// maxFile bounds what is read of a file, in bytes: ten thousand devices.
const maxFile = 2 << 20

// readOwn reads a file that is this user's and nobody else's to write.
func readOwn(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if s := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || int(s.Uid) != os.Getuid() || info.Mode()&0o022 != 0 {
		return nil, errors.New("others could have written it")
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// write writes the file where it has changed, and tells the application.
func (k *Keeper) write() error {
	k.mu.Lock()
	if !k.stale || k.cfg.Path == "" {
		k.mu.Unlock()
		return nil
	}
	text := k.text()
	k.stale = false
	k.mu.Unlock()
	defer clear(text)
	err := replace(k.cfg.Path, text)
	if err == nil {
		err = k.tell()
	}
	if err != nil {
		k.mu.Lock()
		k.stale = true
		k.mu.Unlock()
	}
	return err
}

// text is the file's. k.mu is held.
func (k *Keeper) text() []byte {
	ids := make([]cpns.EntityID, 0, len(k.keys))
	for e := range k.keys {
		ids = append(ids, e)
	}
	slices.Sort(ids)
	const line = 128 + 1 + 2*32 + 1
	text := make([]byte, 0, line*len(ids)) // never moved: what is left behind could not be overwritten
	for _, e := range ids {
		id, _ := cpns.ApplicationIdentity(e) // Observe and adopt have seen that it has one
		text = append(append(text, id...), ':')
		text = append(hex.AppendEncode(text, k.keys[e][:]), '\n')
	}
	return text
}

// replace puts text in the place of a file that the folder's group may read, and nobody
// else. It is in memory, where nothing has to be synced.
func replace(path string, text []byte) error {
	next := path + newExt
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o640), f.Close()); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return os.Rename(next, path)
}

// takesHangup reports whether SIGHUP does not simply end a process. A broker that is
// starting has its file of its process, and not yet its handler: it is waited for, for two
// seconds. Of a process that cannot be looked at it is believed.
func takesHangup(pid int) bool {
	for range 8 {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return true
		}
		_, caught, _ := strings.Cut(string(status), "\nSigCgt:")
		caught, _, _ = strings.Cut(strings.TrimSpace(caught), "\n")
		mask, err := strconv.ParseUint(caught, 16, 64)
		if err != nil || mask&(1<<(syscall.SIGHUP-1)) != 0 {
			return true
		}
		time.Sleep(settle)
	}
	return false
}

// tell has the application read its file. One that does not run reads it when it starts.
func (k *Keeper) tell() error {
	if k.cfg.PID != "" {
		text, err := os.ReadFile(k.cfg.PID)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || pid <= 1 {
			return fmt.Errorf("%s has no number of a process", k.cfg.PID)
		}
		if !takesHangup(pid) {
			return fmt.Errorf("process %d of %s does not take SIGHUP, which would end it", pid, k.cfg.PID)
		}
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("telling process %d of %s to read its keys: %w", pid, k.cfg.PID, err)
		}
	}
	if k.cfg.Notify == "" {
		return nil
	}
	f, err := os.OpenFile(k.cfg.Notify, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // nobody is there to be told
	case errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("nobody reads %s: the application does not hear that its keys are new", k.cfg.Notify)
	case err != nil:
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Type() != fs.ModeNamedPipe {
		err = fmt.Errorf("%s is no FIFO", k.cfg.Notify)
	}
	if err == nil {
		if _, err = f.Write([]byte("\n")); errors.Is(err, syscall.EAGAIN) {
			err = nil // it is full of what says the same
		}
	}
	return errors.Join(err, f.Close())
}
