//go:build linux && qemu

package qemu

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A host has what is not the router: CPNS Server, broker and devices.
type host struct {
	t            *testing.T
	folder       string
	address      string // this machine's, as the guest has it
	server, mqtt string // the same, with their ports
	code         string // that an image has, "" for none
}

const (
	user     = "alice"
	password = "correct horse"
	gateway  = "gw-0001"
)

// newHost starts server and broker, the former knowing the devices.
func newHost(t *testing.T, devices ...string) *host {
	t.Helper()
	return newHostAt(t, "10.0.2.2", devices...)
}

// newHostAt is newHost for a guest that has this machine at another address.
func newHostAt(t *testing.T, address string, devices ...string) *host {
	t.Helper()
	h := &host{t: t, folder: t.TempDir(), address: address}
	build := exec.Command("go", "build", "-o", h.folder+"/", "../../cmd/cpns-server", "../../cmd/pne")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	csv := "entity_id,tk\n"
	for _, device := range devices {
		var tk [32]byte
		rand.Read(tk[:])
		h.write(device+".tk", hex.EncodeToString(tk[:])+"\n")
		csv += device + "," + hex.EncodeToString(tk[:]) + "\n"
	}
	h.write("tks.csv", csv)

	h.cpns("init --data server --host "+address, "")
	h.cpns("user add --password-file - --data server "+user, password+"\n")
	h.cpns("gateway add --data server "+gateway+" --psk-out psk1", "")
	h.cpns("pne import --data server tks.csv", "")
	port := freePort(t)
	h.start("./cpns-server", "run", "--data", "server", "--listen", "127.0.0.1:"+port, "--daily-claims", "10000")
	h.server = net.JoinHostPort(address, port)
	h.listens(port)

	port = freePort(t)
	h.write("mosquitto.conf", "listener "+port+" 127.0.0.1\nallow_anonymous true\nuser root\n")
	broker, err := exec.LookPath("mosquitto")
	if err != nil {
		broker = "/usr/sbin/mosquitto" // which a user's PATH may lack
	}
	h.start(broker, "-c", "mosquitto.conf")
	h.mqtt = net.JoinHostPort(address, port)
	h.listens(port)
	return h
}

// files are what a person copies onto the router, and for a router with a second
// serial line, links over that and USB.
func (h *host) files(serial string) map[string]string {
	files := h.filesOf(serial, fmt.Sprintf("option id '%s'\n\toption server 'https://%s'\n\toption ca '/etc/pngw/ca.pem'\n\toption psk_file '/etc/pngw/psk1'", gateway, h.server))
	files["etc/pngw/ca.pem"], files["etc/pngw/psk1"] = h.read("server/ca.pem"), h.read("psk1")
	return files
}

// image is what an image for many routers has in place of that: a code without a secret.
func (h *host) image(serial string) map[string]string {
	// The server takes connections a moment before it has written down its port.
	h.code = strings.TrimSpace(h.cpns("gateway invite --data server --introduce --server "+h.server, ""))
	return h.filesOf(serial, "option enrol '"+h.code+"'")
}

func (h *host) filesOf(serial, known string) map[string]string {
	config := fmt.Sprintf(`config service 'service'
	option enabled '1'
	option gomemlimit '12MiB'

config gateway 'main'
	%s
	option socket '/var/run/pngw/pngw.sock'

config link 'broker'
	option type 'mqtt'
	option url 'mqtt://%s'
`, known, h.mqtt)
	if serial != "" {
		config += "\nconfig link 'rs232'\n\toption type 'serial'\n\toption device '" + serial + "'\n"
	}
	if serial != "" && withUSB() {
		config += "\nconfig link 'usb'\n\toption type 'usb'\n"
	}
	return map[string]string{
		"etc/config/pngw":   config,
		"etc/pngw/alice.pw": password + "\n",
	}
}

// pne starts a device with a link: --serial or --mqtt and its value.
func (h *host) pne(device string, link ...string) *exec.Cmd {
	args := append([]string{"--entity-id", device, "--tk-file", device + ".tk", "--state", device + ".state", "--hello-interval", "1s"}, link...)
	return h.start("./pne", args...)
}

// overMQTT is pne's link to the broker.
func (h *host) overMQTT() []string {
	return []string{"--mqtt", "mqtt://" + strings.Replace(h.mqtt, h.address, "127.0.0.1", 1)}
}

// cpns runs a command of the server's operator and returns what it prints.
func (h *host) cpns(line, input string) string {
	h.t.Helper()
	cmd := exec.Command("./cpns-server", strings.Fields(line)...)
	cmd.Dir = h.folder
	cmd.Stdin = strings.NewReader(input)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("cpns-server %s: %v\n%s%s", line, err, out, said.Bytes())
	}
	return string(out)
}

// start runs a program until the test ends; what it says is shown if that failed.
func (h *host) start(program string, args ...string) *exec.Cmd {
	h.t.Helper()
	log, err := os.CreateTemp(h.folder, filepath.Base(program)+".*.log")
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = h.folder, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		h.t.Fatalf("%v; see scripts/setup.sh", err)
	}
	h.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); h.t.Failed() && len(text) > 0 {
			h.t.Logf("%s %s:\n%s", program, strings.Join(args, " "), text[max(0, len(text)-500):])
		}
	})
	return cmd
}

func (h *host) listens(port string) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatal(err)
		}
	}
}

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.folder, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) read(name string) string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.folder, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
