package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// tool is a program that a page tells people to use, for tests that follow it.
func tool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: scripts/setup.sh installs it", err)
		}
		t.Skip(err)
	}
}

// blocks are the commands of a section of a page in docs.
func blocks(t *testing.T, page, section string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+section+"\n")
	if !found {
		t.Fatalf("%s has no section %q", page, section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var all []string
	for block := range strings.SplitSeq(rest, "\n\n") {
		if strings.HasPrefix(block, "    ") {
			all = append(all, strings.ReplaceAll(strings.TrimSpace(block), "\n    ", "\n"))
		}
	}
	return all
}

// Who follows docs/server.md in an empty folder has a server that is well.
func TestServerPage(t *testing.T) {
	tool(t, "curl")
	tool(t, "openssl")
	all := blocks(t, "server.md", "Try it in a folder")
	if len(all) != 4 {
		t.Fatalf("%d blocks of commands, want 4: %q", len(all), all)
	}
	setUp, run, ask := all[1], all[2], all[3] // all[0] builds the program
	dir := t.TempDir()

	// Nobody sits at a terminal here.
	cmd := exec.Command("sh", "-euc", strings.Replace(setUp, "user add", "user add --password-file -", 1))
	cmd.Dir = dir
	wantSays(t, output(t, cmd, false, "correct horse\n"), "meter-0001")

	// The port of the page may be in use here.
	words := strings.Fields(run + " --listen 127.0.0.1:0")
	server := exec.Command(words[0], words[1:]...)
	server.Dir = dir
	whileServing(t, server, func(_ *os.Process, url string) {
		cmd := exec.Command("sh", "-euc", strings.ReplaceAll(ask, "https://127.0.0.1:8443", url))
		cmd.Dir = dir
		wantSays(t, output(t, cmd, false, ""), "ok")
	})
}

// The backups that the page makes of a running server are whole, and open: cpns-server's
// own by restore, SQLite's put in the place of the database.
func TestServerPageBackup(t *testing.T) {
	tool(t, "sqlite3")
	all := blocks(t, "server.md", "Backup and restore")
	if len(all) != 3 {
		t.Fatalf("%d blocks of commands, want 3: %q", len(all), all)
	}
	dir := t.TempDir()
	data, copied := filepath.Join(dir, "data"), filepath.Join(dir, "copied")
	give := func(block string) string {
		t.Helper()
		commands := strings.NewReplacer("sudo -u cpns-server ", "", "/var/lib/cpns-server", dir, "/backup", dir).Replace(block)
		return output(t, exec.Command("sh", "-euc", commands), false, "")
	}
	output(t, exec.Command("cpns-server", "init", "--data", data), false, "")
	run := exec.Command("cpns-server", "run", "--data", data, "--listen", "127.0.0.1:0")
	whileServing(t, run, func(*os.Process, string) {
		output(t, exec.Command("cpns-server", "user", "add", "--password-file", "-", "--data", data, "alice"), false, "correct horse\n")
		if info, err := os.Stat(filepath.Join(data, "cpns.db-wal")); err != nil || info.Size() == 0 {
			t.Errorf("nothing is in the log that a plain copy would lack: %v", err)
		}
		wantSays(t, give(all[0]), "is whole")
		give(all[1])
	})
	output(t, exec.Command("cp", "-r", data, copied), false, "")
	output(t, exec.Command("mv", filepath.Join(dir, "cpns-backup.db"), filepath.Join(copied, "cpns.db")), false, "")
	wantSays(t, output(t, exec.Command("cpns-server", "user", "list", "--data", copied), false, ""), "alice")

	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(filepath.Join(data, "cpns.db"+suffix))
	}
	wantSays(t, give(all[2]), "every sealed value opens")
	wantSays(t, output(t, exec.Command("cpns-server", "user", "list", "--data", data), false, ""), "alice")
}

// The service's unit is one that systemd takes, and runs a command that there is.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../../build/systemd/cpns-server.service")
	if err != nil {
		t.Fatal(err)
	}
	const program = "/usr/local/bin/cpns-server"
	_, rest, _ := strings.Cut(string(text), "\nExecStart="+program+" ")
	line, _, _ := strings.Cut(rest, "\n")
	wantSays(t, output(t, exec.Command("cpns-server", strings.Fields(line)...), true, ""), "is not a data folder of cpns-server")

	tool(t, "systemd-analyze")
	unit := write(t, filepath.Join(t.TempDir(), "cpns-server.service"), strings.ReplaceAll(string(text), program, "/bin/true"), 0o644)
	out, err := exec.Command("systemd-analyze", "verify", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "cpns-server.service") {
		t.Errorf("%v: %s", err, out)
	}
}

// The journal gets no second time in each line; a file gets the only one.
func TestJournal(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	output(t, exec.Command("cpns-server", "init", "--data", data), false, "")
	for _, read := range []bool{true, false} {
		log, err := os.Create(data + ".log")
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		info, err := log.Stat()
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		cmd := exec.Command("cpns-server", "run", "--data", data, "--listen", "127.0.0.1:0")
		cmd.Env = os.Environ()
		if read {
			cmd.Env = append(cmd.Env, fmt.Sprintf("JOURNAL_STREAM=%d:%d", stat.Dev, stat.Ino))
		}
		cmd.Stderr = log
		whileServing(t, cmd, func(*os.Process, string) {})
		text, err := os.ReadFile(log.Name())
		if err != nil || !strings.Contains(string(text), "msg=stopped") || strings.Contains(string(text), "time=") == read {
			t.Errorf("read by the journal: %v, %v: %s", read, err, text)
		}
	}
}

// The drill of docs/operating.md restores a backup into a folder of its own, which serves.
func TestOperatingPageDrill(t *testing.T) {
	all := blocks(t, "operating.md", "Drills")
	if len(all) != 1 {
		t.Fatalf("%d blocks of commands, want 1: %q", len(all), all)
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	output(t, exec.Command("cpns-server", "init", "--data", data), false, "")
	output(t, exec.Command("cpns-server", "user", "add", "--password-file", "-", "--data", data, "alice"), false, "correct horse\n")
	output(t, exec.Command("cpns-server", "backup", "--data", data, filepath.Join(dir, "newest")), false, "")

	commands := strings.NewReplacer("/keys/", data+"/", "/backup/", dir+"/").Replace(all[0])
	lines := strings.Split(commands, "\n")
	setUp, run := lines[:len(lines)-1], strings.Fields(lines[len(lines)-1])
	cmd := exec.Command("sh", "-euc", strings.Join(setUp, "\n"))
	cmd.Dir = dir
	said := output(t, cmd, false, "")
	wantSays(t, said, "every sealed value opens")
	wantSays(t, said, "verified")
	server := exec.Command(run[0], run[1:]...)
	server.Dir = dir
	whileServing(t, server, func(*os.Process, string) {})
}

// What docs/operating.md says of the status pages and the audit log is so.
func TestOperatingPageWatch(t *testing.T) {
	tool(t, "curl")
	watch, log := blocks(t, "operating.md", "What to watch"), blocks(t, "operating.md", "The audit log")
	if len(watch) != 2 || len(log) != 3 {
		t.Fatalf("blocks of commands: %q, %q", watch, log)
	}
	data := filepath.Join(t.TempDir(), "data")
	output(t, exec.Command("cpns-server", "init", "--data", data), false, "")
	fill := strings.NewReplacer("run …", "run --listen 127.0.0.1:0 --data "+data, "127.0.0.1:9441", "127.0.0.1:0", "--data DIR", "--data "+data)
	words := strings.Fields(fill.Replace(watch[0]))
	whileServing(t, exec.Command(words[0], words[1:]...), func(*os.Process, string) {
		output(t, exec.Command("cpns-server", "user", "add", "--password-file", "-", "--data", data, "alice"), false, "correct horse\n")
	})
	wantSays(t, output(t, exec.Command("sh", "-euc", fill.Replace(log[0])), false, ""), "verified")
	wantSays(t, output(t, exec.Command("sh", "-euc", fill.Replace(log[1])), true, ""), "was noted: it was cut off, or is an older copy")
	words = strings.Fields(strings.Replace(fill.Replace(log[2]), "logs-ca.pem", filepath.Join(data, "ca.pem"), 1))
	words = append(words, "--syslog", "tls:127.0.0.1:1") // nobody asks for the page's host here
	whileServing(t, exec.Command(words[0], words[1:]...), func(*os.Process, string) {})

	rules := write(t, filepath.Join(t.TempDir(), "prometheus.yml"), watch[1], 0o644)
	tool(t, "promtool")
	text, err := os.ReadFile("../../build/prometheus/cpns-server.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(filepath.Dir(rules), "cpns-server.rules.yml"), string(text), 0o644)
	wantSays(t, output(t, exec.Command("promtool", "check", "config", rules), false, ""), "SUCCESS")
}
