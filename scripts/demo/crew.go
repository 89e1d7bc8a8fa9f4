//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// crew is the programs that run behind the demo, each in a process group of
// its own: Ctrl-C at the terminal reaches the demo alone, which then ends them.
type crew struct {
	bin     string // folder of the programs
	folder  string // where they work and where their logs are
	members []*member
}

type member struct {
	name  string
	cmd   *exec.Cmd
	ended chan error
}

// start runs a program in the background. What it prints goes to NAME.log, and its
// number into NAME.pid.
func (c *crew) start(name, program string, args ...string) error {
	log, err := os.Create(filepath.Join(c.folder, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	if !filepath.IsAbs(program) {
		program = filepath.Join(c.bin, program)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = c.folder
	cmd.Stdout, cmd.Stderr = log, log
	// The last resort, should the demo itself be killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	m := &member{name: name, cmd: cmd, ended: make(chan error, 1)}
	go func() { m.ended <- cmd.Wait() }()
	c.members = append(c.members, m)
	return os.WriteFile(filepath.Join(c.folder, name+".pid"), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600)
}

// stop ends all, the last started first, and says whose end was not clean.
func (c *crew) stop() error {
	var unclean []string
	for i := len(c.members) - 1; i >= 0; i-- {
		if err := c.members[i].stop(); err != nil {
			unclean = append(unclean, fmt.Sprintf("%s: %v, see %s.log", c.members[i].name, err, c.members[i].name))
		}
	}
	c.members = nil
	if unclean != nil {
		return fmt.Errorf("ending the programs: %s", strings.Join(unclean, "; "))
	}
	return nil
}

func (m *member) stop() error {
	select {
	case err := <-m.ended:
		return fmt.Errorf("had ended by itself: %v", err)
	default:
	}
	group := -m.cmd.Process.Pid
	syscall.Kill(group, syscall.SIGTERM)
	select {
	case err := <-m.ended:
		return err
	case <-time.After(10 * time.Second):
		syscall.Kill(group, syscall.SIGKILL)
		<-m.ended
		return fmt.Errorf("did not end within 10 s of SIGTERM")
	}
}

// running fails if the program started as name has ended.
func (c *crew) running(name string) error {
	for _, m := range c.members {
		if m.name != name {
			continue
		}
		select {
		case err := <-m.ended:
			m.ended <- err
			log, _ := os.ReadFile(filepath.Join(c.folder, name+".log"))
			return fmt.Errorf("%s ended: %v\n%s", name, err, log)
		default:
			return nil
		}
	}
	return fmt.Errorf("%s was never started", name)
}

// until asks ready again and again while the program runs, for half a minute.
func (c *crew) until(ctx context.Context, name string, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for !ready() {
		if err := c.running(name); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; see %s.log in %s", name, ctx.Err(), name, c.folder)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
