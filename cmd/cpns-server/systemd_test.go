package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// systemd hears from a real socket that the service is ready, lives, and stops.
func TestNotifySystemd(t *testing.T) {
	for _, abstract := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "notify")
		if abstract {
			path = "@cpns-server-test-" + strconv.Itoa(os.Getpid())
		}
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		t.Setenv("NOTIFY_SOCKET", path)
		t.Setenv("WATCHDOG_USEC", "3000")
		t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		looks := make(chan bool, 1000)
		go func() {
			defer close(done)
			notifySystemd(ctx, slog.New(slog.DiscardHandler), func() {
				select {
				case looks <- true:
				default:
				}
			})
		}()
		hear := func() string {
			b := make([]byte, 100)
			c.SetReadDeadline(time.Now().Add(2 * time.Minute))
			n, err := c.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			return string(b[:n])
		}
		for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
			if got := hear(); got != want {
				t.Fatalf("heard %q, want %q", got, want)
			}
		}
		select {
		case <-looks:
		default:
			t.Error("nobody asked whether it lives")
		}
		stop()
		last := ""
		for last != "STOPPING=1" {
			if last = hear(); last != "WATCHDOG=1" && last != "STOPPING=1" {
				t.Fatalf("heard %q", last)
			}
		}
		<-done
	}
}

// Whoever is not a service of systemd's, or is another process than the one that it
// watches, says no more than is asked for, and ends with its context.
func TestNotifyNobody(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	t.Setenv("WATCHDOG_USEC", "1000")
	for _, socket := range []string{"", "relative", filepath.Join(t.TempDir(), "gone")} {
		t.Setenv("NOTIFY_SOCKET", socket)
		t.Setenv("WATCHDOG_PID", "1")
		notifySystemd(ctx, slog.New(slog.DiscardHandler), func() { t.Error("it was asked whether it lives") })
	}
}
