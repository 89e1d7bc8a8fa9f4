package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// remoteTestEnv tells the program of a script to do by --remote what it is told to do on
// a data folder.
const remoteTestEnv = "CPNS_TEST_REMOTE"

// onceMore are the scripts of testdata that say the same by --remote.
var onceMore = []string{"users", "gateways", "pnes", "owners", "enrol", "disabled", "labels", "gatewayrekey"}

// What commands do on a data folder they do by the admin API of a server on it, with the
// same words and the same exit codes: the same scripts say so.
func TestScriptsRemote(t *testing.T) {
	p := scriptParams()
	for _, name := range onceMore {
		p.Files = append(p.Files, filepath.Join("testdata", name+".txtar"))
	}
	p.Condition = func(string) (bool, error) { return true, nil }
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		env.Setenv(remoteTestEnv, "1")
		env.Defer(func() { endRemotes(env.WorkDir) })
		return setup(env)
	}
	testscript.Run(t, p)
}

// mainOrRemote is the program of a script.
func mainOrRemote() {
	if os.Getenv(remoteTestEnv) != "" {
		if err := throughRemote(); err != nil {
			fmt.Fprintln(os.Stderr, "remote_test:", err)
			os.Exit(99)
		}
	}
	main()
}

// atHome are the commands that work on the data folder alone.
var atHome = []string{"init", "run", "backup", "restore", "check", "migrate", "rekey", "help", "version", "completion"}

// throughRemote replaces --data DIR by the options for a server on DIR, which it starts
// where there is none.
func throughRemote() error {
	args := os.Args[1:]
	if len(args) == 0 || slices.Contains(atHome, args[0]) || slices.Contains(args, "--verify") {
		return nil
	}
	for n, arg := range args {
		dir, isData := strings.CutPrefix(arg, "--data=")
		rest := args[n+1:]
		if arg == "--data" && len(rest) > 0 {
			dir, isData, rest = rest[0], true, rest[1:]
		}
		if !isData {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "cpns.db")); err != nil {
			return nil
		}
		url, err := adminOf(dir)
		if err != nil {
			return err
		}
		os.Args = slices.Concat(os.Args[:n+1], []string{"--remote", url, "--token-file", dir + ".token", "--ca", filepath.Join(dir, "ca.pem")}, rest)
		return nil
	}
	return nil
}

// adminOf is the address of the admin API of a server on a data folder.
func adminOf(dir string) (string, error) {
	url := func() string {
		out, _ := os.ReadFile(dir + ".remote")
		_, after, _ := strings.Cut(string(out), "admin API on ")
		at, _, ended := strings.Cut(after, "\n")
		if !ended {
			return ""
		}
		return at
	}
	if at := url(); at != "" {
		return at, nil
	}
	self, err := exec.LookPath("cpns-server")
	if err != nil {
		return "", err
	}
	home := append(os.Environ(), remoteTestEnv+"=")
	add := exec.Command(self, "token", "add", "--data", dir, "--role", "admin", "--out", dir+".token", "script")
	add.Env = home
	if out, err := add.CombinedOutput(); err != nil {
		return "", fmt.Errorf("token add: %w: %s", err, out)
	}
	out, err := os.Create(dir + ".remote")
	if err != nil {
		return "", err
	}
	run := exec.Command(self, "run", "--data", dir, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	run.Env, run.Stdout = home, out
	run.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := run.Start(); err != nil {
		return "", err
	}
	if err := os.WriteFile(dir+".remotepid", []byte(strconv.Itoa(run.Process.Pid)), 0o600); err != nil {
		return "", err
	}
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
		if at := url(); at != "" {
			return at, nil
		}
	}
	return "", fmt.Errorf("no server on %s within 30 s", dir)
}

// endRemotes ends the servers that a script has started.
func endRemotes(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.remotepid"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if pid, err := strconv.Atoi(string(text)); err == nil && pid > 1 {
			syscall.Kill(pid, syscall.SIGTERM)
		}
	}
}
