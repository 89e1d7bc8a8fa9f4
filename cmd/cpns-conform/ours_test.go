//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/againstserver"
	"cpns.example.net/pngw/scripts/nullmodem"
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

var whole = flag.Bool("whole", false, "try every case on our own gateway, on a line and at a broker: ten minutes")

// TestOurs: our own server and gateway, as they are shipped but for their version, pass.
func TestOurs(t *testing.T) {
	bin := t.TempDir()
	cmd := exec.Command("go", "build", "-buildvcs=false", "-tags=nethttpomithttp2", "-o", bin+"/", "../cpns-server", "../pngw")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		tryServer(newBench(t, bin))
	})
	t.Run("gateway on a line", func(t *testing.T) {
		t.Parallel()
		cable, err := nullmodem.New()
		if err != nil {
			t.Fatal(err)
		}
		defer cable.Close()
		tryGateway(newBench(t, bin), "option type 'serial'\noption device '"+cable.A()+"'\n", cable.Vacate, "--serial", cable.B())
	})
	if !*whole {
		return
	}
	t.Run("gateway at a broker", func(t *testing.T) {
		t.Parallel()
		broker := mosquitto.Start(t, nil, "allow_anonymous true", "max_queued_messages 0")
		url := "mqtt://" + broker.Addr()
		tryGateway(newBench(t, bin), "option type 'mqtt'\noption url '"+url+"'\n", func() error { return nil }, "--mqtt", url)
	})
}

// A bench has our own programs in a folder of a test's own.
type bench struct {
	*testing.T
	bin, dir string
}

func newBench(t *testing.T, bin string) *bench {
	t.Helper()
	b := &bench{t, bin, t.TempDir()}
	for _, name := range []string{"alice", "bob"} {
		b.write(name+".pw", hex.EncodeToString(random(8))+"\n")
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(name, text string) {
	b.Helper()
	if err := os.WriteFile(b.path(name), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

// command is a program of ours, or the kit, in the test's folder. It dies with the test.
func (b *bench) command(name string, args ...string) *exec.Cmd {
	program := filepath.Join(b.bin, name)
	if name == "cpns-conform" {
		program = name // this test's own
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = b.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (b *bench) run(name string, args ...string) string {
	b.Helper()
	out, err := b.command(name, args...).CombinedOutput()
	if err != nil {
		b.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// A daemon is a program that runs in the background, from one life to the next.
type daemon struct {
	b    *bench
	name string
	args []string
	log  bytes.Buffer

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
}

func (b *bench) daemon(name string, args ...string) *daemon {
	b.Helper()
	d := &daemon{b: b, name: name, args: args}
	if err := d.start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		d.kill()
		if b.Failed() {
			text := d.log.String()
			b.Logf("%s:\n%s", name, text[max(0, len(text)-4096):])
		}
	})
	return d
}

func (d *daemon) start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cmd = d.b.command(d.name, d.args...)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	d.ended = ended
	go func(cmd *exec.Cmd) {
		defer close(ended)
		cmd.Wait()
	}(d.cmd)
	return nil
}

// kill ends it as a power cut does.
func (d *daemon) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cmd.Process.Kill()
	<-d.ended
}

// await waits until somebody answers at an address.
func (b *bench) await(network, address string) {
	b.Helper()
	for over := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(over) {
			b.Fatal(err)
		}
	}
}

// tryServer has the kit try cpns-server, on all cases.
func tryServer(b *bench) {
	address := "127.0.0.1:" + mosquitto.FreePort(b)
	tk := hex.EncodeToString(random(16))
	b.write("meter-1.tk", tk+"\n")
	b.write("tks.csv", fmt.Sprintf("entity_id,tk,owner\nmeter-1,%s,alice\nmeter-2,%x,bob\n", tk, random(16)))
	b.run("cpns-server", "init", "--data", "server")
	b.run("cpns-server", "user", "add", "--data", "server", "--password-file", "alice.pw", "alice")
	b.run("cpns-server", "user", "add", "--data", "server", "--password-file", "bob.pw", "bob")
	b.run("cpns-server", "gateway", "add", "--data", "server", "gw-1", "--psk-out", "psk1")
	b.run("cpns-server", "gateway", "add", "--data", "server", "gw-2", "--psk-out", "psk2")
	b.run("cpns-server", "pne", "import", "--data", "server", "tks.csv")
	b.write("code", b.run("cpns-server", "gateway", "invite", "--data", "server", "--id", "gw-3", "--server", address))
	b.daemon("cpns-server", "run", "--data", "server", "--listen", address)
	b.await("tcp", address)

	with := []string{"server", "https://" + address, "--ca", "server/ca.pem", "--user", "alice", "--password-file", "alice.pw",
		"--entity-id", "meter-1", "--tk-file", "meter-1.tk", "--others-entity-id", "meter-2"}
	said := b.run("cpns-conform", append(with, "--gateway-id", "gw-1", "--psk-file", "psk1", "--second-gateway-id", "gw-2", "--second-psk-file", "psk2",
		"--code-file", "code", "--key-file", "key.pem", "--lock-out", "--flood", "--slow", "1m")...)
	if want := fmt.Sprintf("\n%d passed, 0 failed, 0 not applicable", len(againstserver.Suite.Cases)); !strings.Contains(said, want) {
		b.Errorf("it does not say%s:\n%s", want, said)
	}
	// Known by its key from before, without a CA, and with nothing but the code.
	without := append(with[:2:2], with[4:]...)
	said = b.run("cpns-conform", append(without, "--code-file", "code", "--key-file", "key.pem", "--only", "assigned*,enrol-*")...)
	if !strings.Contains(said, " 0 failed, 0 not applicable") {
		b.Errorf("it says\n%s", said)
	}
}

// some are the cases that the gateway is tried on unless all are wanted: one of each kind.
const some = "request-auth,request-lost,response-chain,response-older,notification-key,notification-x25519,ack-mac,ack-counts,auth-next,auth-alarm,link-*,restart-stored"

// tryGateway has the kit try pngw on a link.
func tryGateway(b *bench, link string, vacate func() error, args ...string) {
	address := "127.0.0.1:" + mosquitto.FreePort(b)
	args = append([]string{"gateway", "--dir", "kit", "--gateway-id", "gw-0001", "--listen", address}, args...)
	b.run("cpns-conform", append(args, "--prepare")...)
	b.write("pngw.conf", strings.ReplaceAll(`config gateway 'main'
option id 'gw-0001'
option server 'https://`+address+`'
option ca 'DIR/kit/ca.pem'
option psk_file 'DIR/kit/psk1'
option store 'DIR/store'
option root_key 'DIR/root.key'
option socket 'DIR/socket'
config link 'link'
`+link, "DIR", b.dir))
	b.run("pngw", "init", "--config", "pngw.conf")
	if err := vacate(); err != nil {
		b.Fatal(err)
	}
	gateway := b.daemon("pngw", "run", "--config", "pngw.conf")
	b.await("unix", b.path("socket"))

	// The command that restarts leaves a file, and waits until it is gone.
	ctx, cancel := context.WithCancel(b.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
			if _, err := os.Stat(b.path("restart")); err != nil {
				continue
			}
			gateway.kill()
			os.Remove(b.path("socket"))
			if err := errors.Join(vacate(), gateway.start(), os.Remove(b.path("restart"))); err != nil {
				b.Error(err)
			}
		}
	})
	defer watching.Wait()
	defer cancel()

	pngw := filepath.Join(b.bin, "pngw")
	args = append(args,
		"--do", pngw+` provision --config pngw.conf --user "$CPNS_USER" --password-file "$CPNS_PASSWORD_FILE" --wait 5s "$CPNS_ENTITY_ID"`,
		"--authenticate", pngw+` authenticate --config pngw.conf --wait 5s "$CPNS_ENTITY_ID"`,
		"--state", pngw+` list --config pngw.conf | grep "$CPNS_ENTITY_ID"`,
		"--restart", `touch restart; while [ -e restart ] || ! [ -e socket ]; do sleep 0.05; done`)
	if !*whole {
		args = append(args, "--quiet", "1s", "--only", some)
	}
	said := b.run("cpns-conform", args...)
	if !strings.Contains(said, " 0 failed, ") {
		b.Errorf("it says\n%s", said)
	}
}
