package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

// notifySystemd tells systemd that the service is ready, that it lives, three times as
// often as it wants to know and each time after alive has returned, and that it is
// stopping (sd_notify(3)). Where systemd does not ask for it, it does nothing.
func notifySystemd(ctx context.Context, log *slog.Logger, alive func()) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" || path[0] != '/' && path[0] != '@' {
		return
	}
	say := func(state string) {
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
		if err == nil {
			c.SetWriteDeadline(time.Now().Add(time.Second))
			_, err = c.Write([]byte(state))
			c.Close()
		}
		if err != nil {
			log.Error("telling systemd", "state", state, "error", err)
		}
	}
	say("READY=1")
	defer say("STOPPING=1")
	microseconds, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); err != nil || microseconds < 1000 || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(time.Duration(microseconds) * time.Microsecond / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			alive()
			say("WATCHDOG=1")
		}
	}
}
