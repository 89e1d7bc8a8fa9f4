package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
	"cpns.example.net/pngw/cpns/server/servertest"
	"cpns.example.net/pngw/cpns/server/sqlite"
)

var million = flag.Int("million", 3000, "devices of TestMillion")

// As many devices as a large fleet has are imported, listed and served, from a file and
// from PostgreSQL; neither the listing nor the server takes more memory for it. make
// million does it with a million of them.
func TestMillion(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { testMillion(t, "") })
	t.Run("PostgreSQL", func(t *testing.T) {
		settings := pgtest.Settings{"shared_buffers": "256MB", "max_wal_size": "4GB"}
		if *million < 100_000 {
			settings = pgtest.Fast
		}
		testMillion(t, pgtest.Start(t, settings).NewDatabase())
	})
}

const (
	memoryMost   = 64 << 20  // of a server, and of a listing
	importMemory = 200 << 20 // of an import: 32 bytes of each device, and what maps take for them
)

func testMillion(t *testing.T, store string) {
	data := filepath.Join(t.TempDir(), "data")
	run := func(args ...string) *exec.Cmd {
		args = append(args, "--data", data)
		if store != "" {
			args = append(args, "--store", store)
		}
		return exec.Command("cpns-server", args...)
	}
	// timed runs a command and says how long it took, and what it needed.
	timed := func(what string, cmd *exec.Cmd) (memory int64) {
		t.Helper()
		var stderr bytes.Buffer
		if cmd.Stderr == nil {
			cmd.Stderr = &stderr
		}
		begin := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, stderr.Bytes())
		}
		used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		memory = used.Maxrss << 10
		t.Logf("%s: %v, %v of it this program's processor time, %d MB", what, time.Since(begin).Round(time.Millisecond),
			(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(time.Millisecond), memory>>20)
		return memory
	}
	timed("init", exec.Command("cpns-server", "init", "--data", data))
	fleet := fillFleet(t, data, store)
	csv := filepath.Join(t.TempDir(), "pnes.csv")
	writeDevices(t, csv, *million)
	if memory := timed("import", run("pne", "import", csv)); memory > importMemory && !underRace {
		t.Errorf("an import of %d devices took %d MB", *million, memory>>20)
	}

	list := func(wanted int, flags ...string) {
		t.Helper()
		out := new(lineCounter)
		cmd := run(append([]string{"pne", "list", "--json"}, flags...)...)
		cmd.Stdout = out
		if memory := timed("list "+strings.Join(flags, " "), cmd); memory > memoryMost && !underRace {
			t.Errorf("a listing of %d devices took %d MB", *million, memory>>20)
		}
		if out.objects != wanted {
			t.Errorf("list %v: %d devices, want %d", flags, out.objects, wanted)
		}
	}
	list(*million + len(fleet.PNEs))
	list(10, "--prefix", fmt.Sprintf("dev-%06d", 12))
	list(0, "--state", "assigned")

	r := &replica{t: t, data: data, store: store}
	r.start()
	defer r.kill()
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 32}}
	var gateways sync.WaitGroup
	for g := range fleet.Gateways {
		gateways.Go(func() {
			for _, e := range fleet.PNEs {
				req, err := fleet.Request(g, e, time.Now())
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := fleet.Send(t.Context(), client, r.address(), req); err != nil || got.Status != cpns.Success {
					t.Errorf("assigning: %v, %v", got, err)
					return
				}
			}
		})
	}
	gateways.Wait()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if peak == nil {
		t.Fatal("the kernel does not say what the server takes")
	}
	kB, _ := strconv.Atoi(string(peak[1]))
	t.Logf("the server: %d MB", kB>>10)
	if kB<<10 > memoryMost && !underRace {
		t.Errorf("the server takes %d MB", kB>>10)
	}
	timed("backup", run("backup", filepath.Join(t.TempDir(), "backup")))
	timed("check", run("check"))
}

// fillFleet puts a fleet into a new store that the folder's program is to serve.
func fillFleet(t *testing.T, data, url string) *servertest.Fleet {
	t.Helper()
	var store server.Store
	var err error
	if url != "" {
		store, err = postgres.Create(t.Context(), postgres.Config{URL: url})
	} else {
		for _, name := range []string{"", "-wal", "-shm"} {
			os.Remove(dataFolder(data).database() + name)
		}
		store, err = sqlite.Create(t.Context(), dataFolder(data).database())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	fleet := servertest.Fill(t, store, 16, 40)
	key := filepath.Join(data, "master.key")
	os.Remove(key)
	write(t, key, hex.EncodeToString(fleet.Key[:])+"\n", 0o400)
	return fleet
}

// writeDevices writes a list of devices with keys that are all different.
func writeDevices(t *testing.T, path string, n int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "entity_id,tk")
	for i := range n {
		fmt.Fprintf(w, "dev-%07d,%08x%08x%08x%08x\n", i, i, 0x9e3779b9*uint32(i+1), 0x7f4a7c15^uint32(i), 3*i)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// A lineCounter counts the devices of a listing, without keeping it.
type lineCounter struct {
	objects int
	last    []byte // what may be the first half of one
}

func (c *lineCounter) Write(p []byte) (int, error) {
	const of = `"entity_id"`
	text := append(c.last, p...)
	c.objects += bytes.Count(text, []byte(of))
	c.last = append([]byte{}, text[max(0, len(text)-len(of)+1):]...)
	return len(p), nil
}
