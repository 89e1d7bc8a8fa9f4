//go:build linux

// Gbalab is a 3GPP operator and a modem with a SIM of it, for labs: a BSF that answers
// on Ub and Zn, and a line on which a modem takes AT commands. What gateways with SIMs
// do is tried with it where there is neither; it protects nothing, and its keys lie in a
// file.
//
//	gbalab --subscribers FILE [--listen ADDRESS] [--modem PATH] [--card FILE] …
//
// It says where it listens, and runs until SIGTERM or SIGINT.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"cpns.example.net/pngw/scripts/gbalab/lab"
)

const forLabs = "gbalab: for labs and tests only: the subscribers' keys lie in a file, and whoever asks for a NAF's keys gets them"

type options struct {
	subscribers, listen, modem, card, keylog string
	lifetime                                 time.Duration
	quirks                                   lab.Quirks
}

func main() {
	var o options
	flag.StringVar(&o.subscribers, "subscribers", "", "the SIMs, a JSON `FILE`: [{\"imsi\", \"impi\", \"k\", \"opc\", \"amf\", \"sqn\"}], keys in hex")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "`ADDRESS` of the BSF: Ub at /, Zn at "+lab.RetrievalPath)
	flag.StringVar(&o.modem, "modem", "", "make a link `PATH` to the line of a modem with a SIM")
	flag.StringVar(&o.card, "card", "", "which SIM is in the modem: a `FILE` with its IMSI, or \"IMSI SIM PIN\" for one that is locked, empty for none; read anew at each command; without it the first of the subscribers")
	flag.StringVar(&o.keylog, "keylog", "", "append every key that a NAF is told to `FILE`, in hex")
	flag.DurationVar(&o.lifetime, "lifetime", time.Hour, "how `LONG` a key is good")
	flag.BoolVar(&o.quirks.NoCCHO, "csim", false, "the modem knows AT+CSIM, and not AT+CCHO")
	flag.BoolVar(&o.quirks.AlwaysEcho, "echo", false, "the modem echoes whatever it is told")
	flag.BoolVar(&o.quirks.Unsolicited, "unsolicited", false, "the modem says things that nobody asked for, in between")
	flag.Parse()
	if flag.NArg() > 0 || o.subscribers == "" {
		fmt.Fprintln(os.Stderr, "gbalab: want --subscribers FILE and no other argument; --help shows all options")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "gbalab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	fmt.Println(forLabs)
	sims, err := lab.LoadSubscribers(o.subscribers)
	if err != nil {
		return err
	}
	if len(sims) == 0 {
		return fmt.Errorf("%s: there is no subscriber in it", o.subscribers)
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(l.Addr().String())
	bsf := lab.NewBSF(host, o.lifetime, sims)
	bsf.Say = func(text string) { fmt.Println("gbalab:", text) }
	if o.keylog != "" {
		log, err := os.OpenFile(o.keylog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		defer log.Close()
		bsf.KeyLog = log
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", bsf.Ub)
	mux.HandleFunc(lab.RetrievalPath, bsf.Nbsp)
	web := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 2)
	go func() { ended <- web.Serve(l) }()
	fmt.Printf("gbalab: BSF at http://%s\n", l.Addr())
	parts := 1
	if o.modem != "" {
		line, err := newLine(o, sims)
		if err != nil {
			return errors.Join(err, web.Close())
		}
		parts++
		go func() { ended <- line.serve(ctx) }()
		fmt.Printf("gbalab: modem at %s\n", o.modem)
	}
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-ended:
		parts--
	}
	cancel(nil)
	failed = errors.Join(failed, web.Close())
	for range parts {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
