//go:build linux && qemu

package qemu

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// told is what the user was told of a device: the newest set and key.
type told struct {
	Entity string `json:"entity_id"`
	Step   string `json:"step"`
	Result string `json:"result"`
	State  string `json:"state"`
	Epoch  int    `json:"epoch"`
	Index  int    `json:"index"`
}

func (k told) before(l told) bool {
	return k.Epoch < l.Epoch || k.Epoch == l.Epoch && k.Index < l.Index
}

// The devices of a power cut test: the live ones are there and are moved on,
// the spare ones are assigned again and again.
const (
	live  = "live-1 live-2"
	spare = 8
)

// TestPowerCut takes the power away, ROUNDS times, while keys are assigned and
// devices are moved on. After each time the store opens, no record is damaged,
// every key that the user was told about is there, and the devices that are
// there still hold keys that the gateway knows how to go on from.
func TestPowerCut(t *testing.T) {
	rounds := 20
	if s := os.Getenv("ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil || rounds < 2 {
			t.Fatalf("ROUNDS=%s: want a number from 2", s)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEED=%d", seed)
	for i, b := range []*board{&sabrelite, &malta} {
		t.Run(b.name, func(t *testing.T) {
			powerCuts(t, b, (rounds+i)/2, rand.New(rand.NewPCG(seed, uint64(i))))
		})
	}
}

func powerCuts(t *testing.T, b *board, rounds int, random *rand.Rand) {
	t.Parallel()
	devices := strings.Fields(live)
	for i := range spare {
		devices = append(devices, fmt.Sprintf("spare-%d", i))
	}
	h := newHost(t, devices...)
	for _, device := range strings.Fields(live) {
		h.pne(device, h.overMQTT()...)
	}
	r := newRouter(t, b, h.files(""))
	g := r.boot(t)
	g.ready()
	g.setClock()
	g.sh(provision+" --wait 60s %s", live)

	known := map[string]told{}
	keys := 0
	for round := range rounds {
		g.send("while :; do " + provision + " --json --wait 0s spare-$((i %% 8)) spare-$(((i + 1) %% 8)); " +
			"pngw authenticate --json " + live + "; i=$((i + 2)); done")
		// A moment between two promises, whatever the emulator's speed.
		promises := random.IntN(12)
		for deadline := time.Now().Add(patience); g.remember(map[string]told{}) < promises; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the user is told of no keys:\n%s", g.said.Bytes())
			}
		}
		time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
		g.cut()
		n := g.remember(known)
		keys += n

		g = r.boot(t)
		g.ready()
		g.setClock()
		g.compare(known)
		t.Logf("round %d: cut after %d keys told, looked at %.1f s after power on", round+1, n, time.Since(g.started).Seconds())
	}
	t.Logf("%d power cuts, %d keys told", rounds, keys)
	if keys < rounds {
		t.Errorf("only %d keys were told in %d rounds: too few for a test", keys, rounds)
	}
}

const provision = "pngw provision --user alice --password-file /etc/pngw/alice.pw"

// remember takes what the user was told since the last command: the lines that
// arrived whole. It returns how many of them promise a key.
func (g *guest) remember(known map[string]told) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	epochs := map[string]int{}
	for line := range strings.Lines(string(g.said.Bytes()[g.read:])) {
		var k told
		if !strings.HasSuffix(line, "\n") || json.Unmarshal([]byte(strings.TrimSpace(line)), &k) != nil {
			continue
		}
		switch {
		case k.Step == "keys_checked":
			epochs[k.Entity] = k.Epoch
			continue
		case k.Step == "sealed":
			k.Epoch, k.Index = epochs[k.Entity], 0
		case k.Result != "authenticated":
			continue
		}
		n++
		if known[k.Entity].before(k) {
			known[k.Entity] = k
		}
	}
	return n
}

// compare holds the store against what the user was told.
func (g *guest) compare(known map[string]told) {
	t := g.t
	t.Helper()
	var status struct {
		Faults    []string `json:"faults"`
		Unwritten []string `json:"unwritten"`
	}
	if err := json.Unmarshal([]byte(g.sh("pngw status --json")), &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Faults) > 0 || len(status.Unwritten) > 0 {
		t.Errorf("after a power cut: %+v", status)
	}
	var list []told
	if err := json.Unmarshal([]byte(g.sh("pngw list --json")), &list); err != nil {
		t.Fatal(err)
	}
	there := map[string]told{}
	for _, k := range list {
		there[k.Entity] = k
	}
	for entity, k := range known {
		if there[entity].before(k) {
			t.Errorf("%s: the user was told of %+v, the store has %+v", entity, k, there[entity])
		}
	}
	// Proof that the keys are the right ones: the devices say so.
	g.until("pngw authenticate %s", live)
}
