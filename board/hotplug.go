package board

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
)

// A Hotplug wakes whoever waits for a device when the kernel says that one has come
// or gone, by its uevents. Nothing of what the kernel says about the device is
// passed on: who is woken looks for himself.
type Hotplug struct {
	log      *slog.Logger
	started  atomic.Bool
	watchers []watcher
	buttons  chan press // nil for nobody who listens
}

// A watcher is woken for the subsystems that it has named.
type watcher struct {
	subsystems []string
	wake       chan struct{} // holds one wake-up
}

// NewHotplug returns a Hotplug that nobody watches yet. A nil log discards.
func NewHotplug(log *slog.Logger) *Hotplug {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Hotplug{log: log}
}

// Watch returns a channel that can be received from after a device of one of the
// kernel's subsystems, such as "tty" or "usb", has come or gone or changed. One wake-up
// is kept for a receiver that is busy, and stands for all those that it missed. The
// channel is closed when Run ends, which may be at once, if the kernel does not
// tell us anything: then the receiver has to look from time to time.
//
// Watch must not be called after Run.
func (h *Hotplug) Watch(subsystems ...string) <-chan struct{} {
	wake := make(chan struct{}, 1)
	h.watchers = append(h.watchers, watcher{subsystems, wake})
	return wake
}

// listen is where OpenWrt's button events go, which its kernels send in place of input
// events. Like Watch it must not be called after Run, and it is for one listener.
func (h *Hotplug) listen() <-chan press {
	h.buttons = make(chan press, 8)
	return h.buttons
}

// Run wakes watchers until ctx ends. It returns nil then, and also where there are
// no uevents to be had, which it logs. It can be run once.
func (h *Hotplug) Run(ctx context.Context) error {
	if h.started.Swap(true) {
		return errors.New("hotplug: already run")
	}
	defer func() {
		for _, w := range h.watchers {
			close(w.wake)
		}
	}()
	if len(h.watchers) == 0 && h.buttons == nil {
		<-ctx.Done()
		return nil
	}
	events, err := openUevents()
	if err != nil {
		h.log.Warn("the kernel does not tell about devices that come and go: looking from time to time", "reason", err)
		return nil
	}
	defer events.close()
	stop := context.AfterFunc(ctx, events.end)
	defer stop()
	for {
		switch e, err := events.next(); {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errMissed):
			h.wakeAll()
		case err != nil:
			h.log.Warn("no more news of devices that come and go: looking from time to time", "reason", err)
			return nil
		default:
			h.wake(e)
		}
	}
}

func (h *Hotplug) wake(e uevent) {
	if e.subsystem == "button" {
		h.press(press{e.button, e.action == "pressed"})
	}
	for _, w := range h.watchers {
		if slices.Contains(w.subsystems, e.subsystem) {
			h.log.Debug("device changed", "action", e.action, "subsystem", e.subsystem, "device", e.device)
			w.signal()
		}
	}
}

func (h *Hotplug) wakeAll() {
	h.press(press{})
	for _, w := range h.watchers {
		w.signal()
	}
}

func (w *watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default: // it has one to take already
	}
}

// press hands a press on. Where the listener is too slow for them all, or the kernel's news
// was lost, nobody knows what is pressed now, and it is told so.
func (h *Hotplug) press(p press) {
	if h.buttons == nil {
		return
	}
	select {
	case h.buttons <- p:
	default:
		select {
		case <-h.buttons:
		default: // just taken
		}
		h.buttons <- press{} // nobody else sends
	}
}

// initialUserNamespace is the name of the user namespace that the machine starts
// with (PROC_USER_INIT_INO).
const initialUserNamespace = "user:[4026531837]"

// openUevents opens the kernel's broadcast of uevents.
func openUevents() (*ueventSocket, error) {
	// In a container with users of its own the socket opens, and stays silent.
	if ns, err := os.Readlink("/proc/self/ns/user"); err == nil && ns != initialUserNamespace {
		return nil, errors.New("in a user namespace of its own the kernel sends none")
	}
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, syscall.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	const kernelGroup = 1 // 2 is udev's, which repeats them to those who need its opinion
	if err := syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: kernelGroup}); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("joining the kernel's uevents: %w", err)
	}
	s := &ueventSocket{file: os.NewFile(uintptr(fd), "uevents")}
	if s.conn, err = s.file.SyscallConn(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}
