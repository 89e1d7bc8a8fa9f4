package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
)

// maxConnections bounds the clients at one time; more wait in the kernel.
const maxConnections = 32

// Listen makes the socket, mode 0660, and its folder. A socket that a killed
// daemon left behind is replaced; one on which somebody answers is not, and
// neither is anything that is not a socket. The caller's umask must keep the
// group from writing, for the moment until the mode is set.
func Listen(path string) (net.Listener, error) {
	c, err := claimSocket(path)
	if err != nil {
		return nil, err
	}
	l, err := listen(path)
	if err != nil {
		return nil, errors.Join(err, c.release())
	}
	return &claimed{Listener: l, claim: c}, nil
}

func listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing a socket that was left: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("opening the socket to its group: %w", err)
	}
	return l, nil
}

// claimed is a listener that has the lock of its socket for as long as it is open.
type claimed struct {
	net.Listener
	once  sync.Once
	claim *claim
}

// Close removes the socket, and then the lock.
func (l *claimed) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { err = errors.Join(err, l.claim.release()) })
	return err
}

// Limit makes a listener of which at most n connections are open at a time.
func Limit(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, free: make(chan struct{}, n), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	free   chan struct{} // has an element for each open connection
	once   sync.Once
	closed chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: c, release: func() { <-l.free }}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *limitedConn) Close() error {
	defer c.once.Do(c.release)
	return c.Conn.Close()
}
