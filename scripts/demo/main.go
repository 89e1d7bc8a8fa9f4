//go:build linux

// Demo runs all three parties of the key assignment on this machine: a CPNS
// Server, a gateway, and three headless devices, one on a serial line (two
// pseudo-terminals joined) and two on MQTT (a broker inside this program). It
// provisions the devices with the commands that a user would type, shows what
// they print, and ends all that it started, whatever happens. With --keep it goes
// on until it is interrupted, for whoever wants to try a device or a server of
// their own against it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	bin := flag.String("bin", "build/out/bin", "`folder` of pngw, cpns-server and pne")
	keep := flag.Bool("keep", false, "leave all parties running until Ctrl-C")
	sim := flag.Bool("gba", false, "the gateway has a SIM, and gets PSK1 by 3GPP GBA")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: what is %q? The options are --keep and --gba\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	folder, err := run(ctx, *bin, *keep, *sim)
	switch {
	case errors.Is(err, errKept):
	case ctx.Err() != nil:
		fmt.Printf("\nInterrupted; nothing is left running. Files: %s\n", folder)
		os.Exit(1)
	case err != nil:
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		fmt.Fprintf(os.Stderr, "Nothing is left running. Files and logs: %s\n", folder)
		os.Exit(1)
	}
	fmt.Printf("\nNothing is left running. Logs, configuration and stores are in %s\n", folder)
}

// errKept is the end of a demo that was kept until it was interrupted.
var errKept = errors.New("interrupted, as it should be")

// run returns the folder of the demo's files also where it fails. It is a
// short one, because a unix socket's path may have at most 107 bytes.
func run(ctx context.Context, bin string, keep, sim bool) (folder string, err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return "", err
	}
	folder, err = os.MkdirTemp("", "pngw-demo-")
	if err != nil {
		return "", err
	}
	s := &stage{
		folder: folder,
		crew:   &crew{bin: bin, folder: folder},
		show:   &narrator{out: os.Stdout, bin: bin, folder: folder},
	}
	scenes := s.scenes()
	if sim {
		scenes = s.scenesWithSIM()
	}
	if err = s.play(ctx, scenes); err == nil && keep {
		s.explain()
		<-ctx.Done()
		err = errKept
	}
	return folder, errors.Join(err, s.clear())
}
