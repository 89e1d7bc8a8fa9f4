//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/scripts/nullmodem"
)

// patience is how long a script waits for something that must come. It only
// costs time where the test fails.
const patience = 2 * time.Minute

type rigKey struct{}

// rig is what one script has running. Only the script's goroutine uses it.
type rig struct {
	tb      testing.TB
	work    string // the script's folder
	serve   string // address of the CPNS Server
	mqtt    string // address of the broker
	relay   string // address of what relays to the server
	front   string // address of a proxy
	bsf     string // address of a mobile operator's BSF
	daemons map[string]*process
	cables  map[string]*nullmodem.Cable
	tap     *recorder
	thief   *thief
	pages   map[string]map[string]bool // commands of pages that scripts type, and whether they have
	disks   []string                   // mounted
	entered []string                   // passwords in use
	cycled  []string                   // programs that take devices' power away
}

func newRig(env *testscript.Env) (*rig, error) {
	r := &rig{
		tb:      env.T().(testing.TB),
		work:    env.WorkDir,
		daemons: make(map[string]*process),
		cables:  make(map[string]*nullmodem.Cable),
		pages:   make(map[string]map[string]bool),
	}
	if err := os.Mkdir(r.path("log"), 0o755); err != nil {
		return nil, err
	}
	for _, address := range []*string{&r.serve, &r.mqtt, &r.relay, &r.front, &r.bsf} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		*address = l.Addr().String()
	}
	for _, name := range []string{"alice", "bob", "wrong"} {
		password := fmt.Sprintf("%s likes %s", name, randomHex(8))
		r.entered = append(r.entered, password)
		if err := os.WriteFile(r.path(name+".pw"), []byte(password+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	env.Setenv("PATH", searchPath(raceBin))
	env.Setenv("SERVER", r.serve)
	env.Setenv("RELAY", r.relay)
	env.Setenv("FRONT", r.front)
	env.Setenv("BSF", r.bsf)
	env.Setenv("BROKER", "mqtt://"+r.mqtt)
	env.Setenv("BROKERHOST", r.mqtt)
	return r, nil
}

func (r *rig) path(elem ...string) string { return filepath.Join(append([]string{r.work}, elem...)...) }

// searchPath has Debian's daemons too, which a user's PATH may lack.
func searchPath(bin string) string { return bin + ":" + os.Getenv("PATH") + ":/usr/sbin:/sbin" }

func plain(ts *testscript.TestScript, _ *rig, _ []string) { ts.Setenv("PATH", searchPath(plainBin)) }

// finish ends what still runs, the devices before their links, and holds what
// every story must leave behind: clean ends, no race, no secret in the open.
func (r *rig) finish() {
	r.switchOff()
	for name, p := range r.daemons {
		if err := p.end(); err != nil {
			r.tb.Errorf("ending %s: %v", name, err)
		}
	}
	for _, c := range r.cables {
		if err := c.Close(); err != nil {
			r.tb.Errorf("pulling a cable: %v", err)
		}
	}
	if r.tap != nil {
		r.tap.close()
	}
	if r.thief != nil {
		r.thief.listener.Close()
	}
	r.checkRaces()
	r.checkSecrets()
	if untyped := r.untyped(); len(untyped) > 0 && !r.tb.Failed() {
		r.tb.Errorf("commands of documents that the script does not type: %q", untyped)
	}
	for _, folder := range r.disks {
		if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
			r.tb.Errorf("unmounting %s: %v", folder, err)
		}
	}
	if r.tb.Failed() {
		r.showLogs()
	}
}

// showLogs puts the end of every daemon's log into the test's.
func (r *rig) showLogs() {
	logs, _ := filepath.Glob(r.path("log", "*"))
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			r.tb.Error(err)
		}
		const most = 8 << 10
		r.tb.Logf("%s:\n%s", filepath.Base(log), text[max(0, len(text)-most):])
	}
}
