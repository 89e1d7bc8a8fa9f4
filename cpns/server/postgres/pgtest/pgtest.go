// Package pgtest runs a PostgreSQL server of its own for tests: a real one, with a
// data folder and a unix socket of its own, that ends with the test.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Server is a running PostgreSQL server.
type Server struct {
	t      testing.TB
	bin    string
	Folder string // that holds the data folder, the log and the socket
	Port   int    // of the socket's name, and of TCP where that is listened on
	owner  *syscall.Credential
	start  func(*exec.Cmd) error
	cmd    *exec.Cmd
	ended  chan struct{}
}

// Settings of postgresql.conf, by name.
type Settings map[string]string

var databases atomic.Int64

// bin is the folder of PostgreSQL's programs.
func bin(t testing.TB) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's
	slices.Sort(found)
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("PostgreSQL is not installed: apt-get install postgresql")
		}
		t.Skip("PostgreSQL is not installed: apt-get install postgresql")
	}
	return filepath.Dir(path)
}

// unprivileged is another user where this one is root, for whom PostgreSQL does not
// run; nil for this one.
func unprivileged(t testing.TB) *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Fatal("there is no user but root to run PostgreSQL as")
	return nil
}

// Start makes a server and waits until it answers.
func Start(t testing.TB, settings Settings) *Server {
	t.Helper()
	s := New(t)
	s.initialize()
	s.Configure(settings)
	s.Run()
	return s
}

// initialize makes the data folder: a copy of the first one that initdb made, which takes
// longer.
func (s *Server) initialize() {
	s.t.Helper()
	initialized.Lock()
	defer initialized.Unlock()
	if initialized.folder == "" {
		s.run("initdb", "-D", s.Data(), "-U", "cpns", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
		folder, err := os.MkdirTemp("/tmp", "pgtest-initdb-")
		if err != nil {
			s.t.Fatal(err)
		}
		initialized.folder = folder
		s.copy(s.Data(), filepath.Join(folder, "data"))
		return
	}
	s.copy(filepath.Join(initialized.folder, "data"), s.Data())
}

// copy copies a folder with all owners and modes.
func (s *Server) copy(from, to string) {
	s.t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		s.t.Fatalf("cp: %v\n%s", err, out)
	}
}

var initialized struct {
	sync.Mutex
	folder string
}

var kept *Server

// Shared is a server with the settings Fast that all tests of a package share, who
// stop it by StopShared in their TestMain, and by nothing else. A package that uses Start
// calls StopShared too.
func Shared(t testing.TB) *Server {
	t.Helper()
	if kept == nil {
		s := makeFolder(t)
		s.initialize()
		s.Configure(Fast)
		s.start = startForGood
		s.Run()
		kept = s
	}
	return &Server{t: t, bin: kept.bin, Folder: kept.Folder, Port: kept.Port, owner: kept.owner}
}

// startForGood starts a program from a thread that stays: the kernel ends the program with
// the thread that has started it (Pdeathsig), and a test may end its own.
func startForGood(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}

// StopShared ends the server of Shared, if there was one.
func StopShared() {
	if initialized.folder != "" {
		os.RemoveAll(initialized.folder)
	}
	if kept != nil {
		kept.Kill()
		os.RemoveAll(kept.Folder)
	}
}

// New makes the folder of a server, and no data in it yet.
func New(t testing.TB) *Server {
	t.Helper()
	s := makeFolder(t)
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(s.Folder)
	})
	return s
}

func makeFolder(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, bin: bin(t), owner: unprivileged(t), Port: 5432, start: (*exec.Cmd).Start}
	// Not t.TempDir, which others may not enter; its name is too long for a socket, too.
	var err error
	if s.Folder, err = os.MkdirTemp("/tmp", "pgtest-"); err != nil {
		t.Fatal(err)
	}
	if s.owner != nil {
		if err := os.Chown(s.Folder, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Data is the data folder.
func (s *Server) Data() string { return filepath.Join(s.Folder, "data") }

// Configure appends to postgresql.conf.
func (s *Server) Configure(settings Settings) {
	s.t.Helper()
	lines := fmt.Sprintf("\nlisten_addresses = ''\nunix_socket_directories = '%s'\nport = %d\n", s.Folder, s.Port)
	for name, value := range settings {
		lines += fmt.Sprintf("%s = '%s'\n", name, value)
	}
	s.Append("postgresql.conf", lines)
}

// Own gives a file to the user that the server runs as.
func (s *Server) Own(path string) {
	s.t.Helper()
	if s.owner == nil {
		return
	}
	if err := os.Chown(path, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
		s.t.Fatal(err)
	}
}

// Append appends to a file of the data folder.
func (s *Server) Append(name, text string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.Data(), name), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// command is one of PostgreSQL's programs.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.Folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "PGHOST=" + s.Folder, "PGUSER=cpns", "PGPORT=" + strconv.Itoa(s.Port)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	if out, err := s.command(name, args...).CombinedOutput(); errors.Is(err, syscall.EPERM) && os.Getenv("CI") != "true" {
		s.t.Skipf("%s cannot be run as another user here: %v", name, err)
	} else if err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// CopyOf fills the data folder from a running server, whose standby it becomes once
// it runs.
func (s *Server) CopyOf(primary *Server, name string) {
	s.t.Helper()
	s.run("pg_basebackup", "-D", s.Data(), "-R", "-X", "stream", "-c", "fast", "-N",
		"-d", fmt.Sprintf("host=%s port=%d user=cpns application_name=%s", primary.Folder, primary.Port, name))
}

// Run starts the server and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.Folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = s.command("postgres", "-D", s.Data())
	s.cmd.Stderr = log
	if err := s.start(s.cmd); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		cmd.Wait()
		close(ended)
	}(s.cmd, s.ended)
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			conn.Close(ctx)
			cancel()
			return
		}
		cancel()
		select {
		case <-s.ended:
			text, _ := os.ReadFile(filepath.Join(s.Folder, "log"))
			s.t.Fatalf("PostgreSQL ended:\n%s", text)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("PostgreSQL does not answer: %v", err)
		}
	}
}

// Kill ends the server and all its processes, as the loss of its machine would.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop ends the server in good order.
func (s *Server) Stop() { s.signal(syscall.SIGINT) }

func (s *Server) signal(signal syscall.Signal) {
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	children := childrenOf(pid)
	s.cmd.Process.Signal(signal)
	if signal == syscall.SIGKILL { // they are in process groups of their own
		for _, child := range children {
			syscall.Kill(child, signal)
		}
	}
	<-s.ended
	for _, child := range children {
		for syscall.Kill(child, 0) == nil {
			time.Sleep(time.Millisecond)
		}
	}
	s.cmd = nil
}

// childrenOf are the processes that another one has started.
func childrenOf(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var all []int
	for field := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			all = append(all, child)
		}
	}
	return all
}

// Promote makes a standby the primary.
func (s *Server) Promote() {
	s.t.Helper()
	s.run("pg_ctl", "promote", "-D", s.Data(), "-w")
}

// URL is that of a database, over the socket.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://cpns@/%s?host=%s&port=%d", database, s.Folder, s.Port)
}

// NewDatabase makes an empty schema, which is quicker than a database and serves as
// one, and gives the URL that leads into it.
func (s *Server) NewDatabase() string {
	s.t.Helper()
	name := fmt.Sprintf("db%d", databases.Add(1))
	s.Exec("CREATE SCHEMA " + name)
	return s.URL("postgres") + "&search_path=" + name
}

// Exec runs a statement as the database's owner.
func (s *Server) Exec(sql string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err == nil {
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, sql)
	}
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// Schema is that of a URL of NewDatabase.
func Schema(url string) string {
	_, name, _ := strings.Cut(url, "&search_path=")
	return name
}

// Fast are settings for tests that are not about losing anything.
var Fast = Settings{"fsync": "off", "synchronous_commit": "off", "max_connections": "200", "deadlock_timeout": "50ms"}
