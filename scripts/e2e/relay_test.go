//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A thief is a relay of TCP between $RELAY and $SERVER that loses answers when it is
// told to: the server has had the request and has answered, and the gateway gets the
// end of the connection.
type thief struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	open  map[net.Conn]bool // to gateways
	lose  int               // of the connections to come
	taken int
}

// quietFor is how long a server has said nothing that has answered: it keeps the
// connection for what else the gateway asks.
const quietFor = time.Second

// relay begins it. Between the parties it stands for a line that breaks.
func relay(ts *testscript.TestScript, r *rig, _ []string) {
	l, err := net.Listen("tcp", r.relay)
	ts.Check(err)
	t := &thief{listener: l, server: r.serve, open: map[net.Conn]bool{}}
	r.thief = t
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go t.carry(c)
		}
	}()
}

func (t *thief) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", t.server)
	if err != nil {
		return
	}
	defer server.Close()
	t.mu.Lock()
	t.open[client] = true
	loses := t.lose > 0
	if loses {
		t.lose--
	}
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.open, client)
		t.mu.Unlock()
	}()
	// In TLS 1.3 the client speaks twice before it has an answer: its hello, and after
	// the server's, the end of its handshake with the request.
	spoken := make(chan struct{})
	go func() {
		buf := make([]byte, 16<<10)
		for flights := 0; ; {
			n, err := client.Read(buf)
			if n > 0 {
				if flights++; flights == 2 {
					close(spoken)
				}
				server.Write(buf[:n])
			}
			if err != nil {
				server.(*net.TCPConn).CloseWrite()
				return
			}
		}
	}()
	if !loses {
		io.Copy(client, server)
		return
	}
	buf := make([]byte, 16<<10)
	for {
		n, err := server.Read(buf)
		select {
		case <-spoken:
			server.SetReadDeadline(time.Now().Add(quietFor))
			if err != nil { // it has said all, and closed, or is quiet
				t.mu.Lock()
				t.taken++
				t.mu.Unlock()
				return
			}
			continue
		default:
		}
		client.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// lose has the answers on the next connections lost, and ends those that there are.
func lose(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "lose N")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	r.thief.mu.Lock()
	defer r.thief.mu.Unlock()
	r.thief.lose, r.thief.taken = n, 0
	for c := range r.thief.open {
		c.Close()
	}
}

// lost waits until as many are.
func lost(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "lost N")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	eventually(ts, fmt.Sprintf("%d answers to be lost", n), func() bool {
		r.thief.mu.Lock()
		defer r.thief.mu.Unlock()
		return r.thief.taken == n
	})
}
