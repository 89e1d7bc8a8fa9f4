package device

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A port is a way to build the device.
type port struct {
	name  string
	flags []string // of the C compiler
	libs  []string
}

// MBEDTLS names a folder with the source and the built library of another Mbed TLS than
// the system's: 3, where that has 2.28.
var ports = []port{
	{"bearssl", nil, []string{"-lbearssl"}},
	{"bearssl-hmac", []string{"-DCPNS_BEARSSL_HMAC", "-DCPNS_BEARSSL_FAST"}, []string{"-lbearssl"}},
	psa(os.Getenv("MBEDTLS")),
}

func psa(folder string) port {
	if folder == "" {
		return port{"psa", []string{"-DCPNS_PSA"}, []string{"-lmbedcrypto"}}
	}
	return port{"psa", []string{"-DCPNS_PSA", "-isystem", folder + "/include"}, []string{folder + "/library/libmbedcrypto.a"}}
}

// missing skips a test for want of something, but never in CI.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s, and CI must not skip", what)
	}
	t.Skipf("%s; see scripts/setup.sh", what)
}

// builds has what was built once for all tests of this run.
var builds struct {
	sync.Mutex
	folder   string
	programs map[string]string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if builds.folder != "" {
		os.RemoveAll(builds.folder)
	}
	os.Exit(code)
}

// strict is how all C is compiled here.
var strict = []string{"-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Iinclude", "-Istorage"}

// wrapped lets the harness have the cryptography fail.
var wrapped = []string{"-Wl,--wrap=cpns_sha256", "-Wl,--wrap=cpns_hmac", "-Wl,--wrap=cpns_hkdf", "-Wl,--wrap=cpns_open", "-Wl,--wrap=cpns_x25519"}

// build compiles the library with a port and one more file, under the sanitizers,
// unless CPNS_DEVICE_HARNESS names a program that was built elsewhere.
func build(t testing.TB, p port, files ...string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	name := p.name + "-" + strings.TrimSuffix(filepath.Base(files[len(files)-1]), ".c")
	if program := builds.programs[name]; program != "" {
		return program
	}
	if _, err := exec.LookPath("cc"); err != nil {
		missing(t, "no C compiler")
	}
	if builds.folder == "" {
		folder, err := os.MkdirTemp("", "cpns-device-")
		if err != nil {
			t.Fatal(err)
		}
		builds.folder, builds.programs = folder, make(map[string]string)
	}
	program := filepath.Join(builds.folder, name)
	sources, err := filepath.Glob("src/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	crypto, err := filepath.Glob("ports/" + strings.SplitN(p.name, "-", 2)[0] + "/*.c")
	if err != nil || len(crypto) == 0 {
		t.Fatalf("no port: %v", err)
	}
	args := append(append([]string{}, strict...), p.flags...)
	args = append(append(args, sources...), crypto...)
	args = append(append(args, files...), "-o", program)
	args = append(args, wrapped...)
	out, err := exec.Command("cc", append(args, p.libs...)...).CombinedOutput()
	switch {
	case err != nil && bytes.Contains(out, []byte("No such file or directory")) && bytes.Contains(out, []byte("#include <")),
		err != nil && bytes.Contains(out, []byte("cannot find -l")):
		missing(t, p.name+"'s library is not installed")
	case err != nil:
		t.Fatalf("cc: %v\n%s", err, out)
	}
	builds.programs[name] = program
	return program
}

// A harness is one device in a process of its own.
type harness struct {
	t      testing.TB
	in     io.WriteCloser
	out    *bufio.Reader
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

func startHarness(t testing.TB, p port) *harness {
	t.Helper()
	program := os.Getenv("CPNS_DEVICE_HARNESS")
	command := strings.Fields(program)
	if program == "" {
		command = []string{build(t, p, "storage/cpns_flash.c", "storage/cpns_file.c", "test/harness.c")}
	}
	h := &harness{t: t, cmd: exec.Command(command[0], command[1:]...)}
	h.cmd.Stderr = &h.stderr
	in, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.in, h.out = in, bufio.NewReaderSize(out, 1<<16)
	t.Cleanup(h.end)
	return h
}

// end ends the process, in which the sanitizers must have found nothing.
func (h *harness) end() {
	if h.cmd.ProcessState != nil {
		return
	}
	h.in.Close()
	if err := h.cmd.Wait(); err != nil {
		h.t.Errorf("the device ended with %v\n%s", err, h.stderr.Bytes())
	}
}

// An event is what the device tells of, as cpns_event_t has it.
type event struct {
	kind, why, status, typ, everybody int
	epoch, index                      uint32
}

// The kinds of cpns_kind_t.
const (
	kindIgnored = iota
	kindMalformed
	kindRepeated
	kindIdentify
	kindStored
	kindAuthenticated
	kindStayed
	kindRefused
	kindHello
	kindNoHello
	kindRecordLost
	kindSlotFailed
)

// Of cpns_why_t.
const (
	whyNotStored = 7
	whyCrypto    = 9
)

// An answer is what a command brought about.
type answer struct {
	said   [][]byte
	events []event
	result []string
}

// do runs a command.
func (h *harness) do(format string, args ...any) (a answer) {
	h.t.Helper()
	if _, err := fmt.Fprintf(h.in, format+"\n", args...); err != nil {
		h.fail(err)
	}
	for {
		line, err := h.out.ReadString('\n')
		if err != nil {
			h.fail(err)
		}
		line = strings.TrimSpace(line)
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case ".":
			return a
		case "S":
			a.said = append(a.said, unhex(h.t, rest))
		case "E":
			var e event
			if _, err := fmt.Sscan(rest, &e.kind, &e.why, &e.status, &e.typ, &e.everybody, &e.epoch, &e.index); err != nil {
				h.fail(fmt.Errorf("%q: %w", line, err))
			}
			a.events = append(a.events, e)
		case "R":
			a.result = append(a.result, rest)
		default:
			h.fail(fmt.Errorf("it printed %q", line))
		}
	}
}

func (h *harness) fail(err error) {
	h.t.Helper()
	h.in.Close()
	if ended := h.cmd.Wait(); ended != nil {
		err = errors.Join(err, ended)
	}
	h.t.Fatalf("%v\n%s", err, h.stderr.Bytes())
}

// link is cpns_link_t.
type link int

const (
	serial link = iota
	stream
	messages
)

// configure says what the next boot is of.
func (h *harness) configure(entity string, tk []byte, l link, flags string) {
	h.t.Helper()
	if flags == "" {
		flags = "-"
	}
	h.do("configure %s %x %d %s", entity, tk, l, flags)
}

// boot switches the device on.
func (h *harness) boot(now uint32) answer {
	h.t.Helper()
	a := h.do("boot %d", now)
	if len(a.result) != 1 || a.result[0] != "0" {
		h.t.Fatalf("it does not start: %v", a.result)
	}
	return a
}

func (h *harness) message(now uint32, msg []byte) answer {
	h.t.Helper()
	return h.do("message %d %x", now, msg)
}

// held is what the command held says: whether there is an EUKey, its epoch and
// index, the gateway, whether a session key is there, and that.
func (h *harness) held() string {
	h.t.Helper()
	return h.do("held").result[0]
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
