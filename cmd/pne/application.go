package main

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"cpns.example.net/pngw/cpns"
)

// application runs the device's own program, --exec, with its application key: anew for each
// key, and until the key ends.
type application struct {
	command string
	label   string
	out     io.Writer // of what it prints
	log     *slog.Logger

	retries []time.Duration

	keys   chan *applicationKey // the latest; nil is that there is none any more
	failed chan struct{}        // it has ended, and not well
}

// applicationKey is what the program gets.
type applicationKey struct {
	identity string
	key      cpns.ApplicationKey
}

func newApplication(command, label string, out io.Writer, log *slog.Logger) *application {
	return &application{command: command, label: label, out: out, log: log, retries: retries, keys: make(chan *applicationKey, 1), failed: make(chan struct{}, 1)}
}

// give hands a key over, nil for none; one that was not taken up yet gives way.
func (p *application) give(k *applicationKey) {
	select {
	case old := <-p.keys:
		if old != nil {
			clear(old.key[:])
		}
	default:
	}
	p.keys <- k // has room: this is the only one who gives
}

// dying is how long the program may take to end by SIGTERM.
const dying = 5 * time.Second

// The gateway's side learns of a key a little later than the device: a program that fails
// is tried again with the same key, after these pauses, before the device authenticates
// again.
var retries = []time.Duration{time.Second, 3 * time.Second, 10 * time.Second}

// run runs the program until ctx ends.
func (p *application) run(ctx context.Context) {
	var key *applicationKey
	var running *exec.Cmd
	var ended chan error
	retry := time.NewTimer(0)
	<-retry.C
	defer retry.Stop()
	tries := 0
	forget := func() {
		if key != nil {
			clear(key.key[:])
		}
	}
	defer func() { stop(running, ended); forget() }()
	for {
		select {
		case k := <-p.keys:
			stop(running, ended)
			forget()
			running, ended, key, tries = nil, nil, k, 0
			retry.Stop()
			if k != nil {
				running, ended = p.start(k)
			}
		case <-retry.C:
			running, ended = p.start(key)
		case err := <-ended:
			running, ended = nil, nil
			switch {
			case err == nil:
				p.log.Debug("the program has ended well")
			case tries < len(p.retries):
				p.log.Info("the program has ended, and is tried again with the same key", "reason", err)
				retry.Reset(p.retries[tries])
				tries++
			default:
				p.log.Info("the program has ended: the device authenticates again", "reason", err)
				select {
				case p.failed <- struct{}{}:
				default:
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// start starts the program; ended has its end.
func (p *application) start(k *applicationKey) (*exec.Cmd, chan error) {
	ended := make(chan error, 1)
	key, w, err := os.Pipe()
	if err != nil {
		ended <- err
		return nil, ended
	}
	defer key.Close()
	line := append(hex.AppendEncode(make([]byte, 0, 2*len(k.key)+1), k.key[:]), '\n')
	_, err = w.Write(line) // a pipe has room for it
	clear(line)
	w.Close()
	if err != nil {
		ended <- err
		return nil, ended
	}
	cmd := exec.Command("/bin/sh", "-c", p.command)
	cmd.Env = append(os.Environ(), "PSK_IDENTITY="+k.identity, "PSK_LABEL="+p.label)
	cmd.Stdout, cmd.Stderr = p.out, p.out
	cmd.ExtraFiles = []*os.File{key} // descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = dying
	if err := cmd.Start(); err != nil {
		ended <- err
		return nil, ended
	}
	go func() { ended <- cmd.Wait() }()
	return cmd, ended
}

// stop ends the program, with all of its process group.
func stop(cmd *exec.Cmd, ended chan error) {
	if cmd == nil {
		return
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	timer := time.NewTimer(dying)
	defer timer.Stop()
	select {
	case <-ended:
		// What it started while it ended.
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return
	case <-timer.C:
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-ended
}

// Pauses before a device authenticates again because its program has failed, doubling.
const (
	refusedFirst = 5 * time.Second
	refusedLast  = 10 * time.Minute
	refusedWell  = time.Minute // a program that ran so long begins with the first again
)

// refusals are how often it failed, and so how long to wait after a failure.
type refusals struct {
	pause time.Duration
	since time.Time // when the program was started
}

func (p *refusals) failed(now time.Time) time.Duration {
	if now.Sub(p.since) >= refusedWell {
		p.pause = 0
	}
	p.pause = min(max(2*p.pause, refusedFirst), refusedLast)
	return p.pause
}
