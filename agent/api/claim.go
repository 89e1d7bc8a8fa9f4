package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrRunning says that another agent has the socket.
var ErrRunning = errors.New("another agent runs there already")

// lockExt is what the lock beside a socket is called after it.
const lockExt = ".lock"

// claimTime bounds the wait for a lock whose holder does not answer: a check of
// the configuration has it for a moment.
const claimTime = 5 * time.Second

// Check tells whether Listen could make the socket now. It makes the folder, and
// leaves nothing else.
func Check(path string) error {
	c, err := claimSocket(path)
	if err != nil {
		return err
	}
	return c.release()
}

// A claim is the right to make a socket, and to remove one that was left there. It
// is a lock on a file beside the socket, which ends with its holder, whatever that
// ends by. Without it, of several agents that find one left-over socket, one could
// remove the socket that another has just made.
type claim struct{ lock *os.File }

// claimSocket makes the socket's folder and takes the lock. Anything that is not
// a socket stays, and so does a socket on which somebody answers.
func claimSocket(path string) (*claim, error) {
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("making the socket's folder: %w", err)
	}
	c, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	if err := checkFree(path); err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", path, err), c.release())
	}
	return c, nil
}

// lockFile takes the lock of a socket. Where another has it who answers on the
// socket that is an agent, and else somebody who is going to be one, or not.
func lockFile(path string) (*claim, error) {
	name := path + lockExt
	for end := time.Now().Add(claimTime); ; time.Sleep(20 * time.Millisecond) {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, fmt.Errorf("making the lock of the socket: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && isAt(f, name) {
			return &claim{f}, nil
		}
		f.Close()
		switch {
		case err == nil: // its holder has just removed it
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return nil, fmt.Errorf("locking %s: %w", name, err)
		case answers(path) == nil || time.Now().After(end):
			return nil, fmt.Errorf("socket %s: %w", path, ErrRunning)
		}
	}
}

// isAt tells whether name is still the file that f is.
func isAt(f *os.File, name string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(name)
	return err == nil && os.SameFile(mine, there)
}

// release gives the lock back. The file goes first: whoever waits for it then
// finds that it is another.
func (c *claim) release() error {
	return errors.Join(os.Remove(c.lock.Name()), c.lock.Close())
}

// checkFree tells why no socket can be made at path. A socket that was left there
// is no reason.
func checkFree(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("something that is not a socket is there, and stays")
	}
	err = answers(path)
	if err == nil {
		return ErrRunning
	}
	// Only a refused connection shows that nobody has the socket open; a full
	// backlog, say, is a program that is busy.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return nil
}

// answers connects to the socket, and tells why that fails.
func answers(path string) error {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// makeFolder makes a folder, and those above it, that everybody may enter,
// whatever the umask is: who may use the socket is said by the socket's own mode.
func makeFolder(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", dir)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return nil // another was faster, and sets its mode
	} else if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}
