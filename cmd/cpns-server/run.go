package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/buildinfo"
	"cpns.example.net/pngw/internal/command"
)

// runCommand serves; now is the clock by which requests and certificates are judged.
func runCommand(now func() time.Time) command.Command {
	return command.Command{
		Name: "run", Options: "--data DIR [--listen ADDRESS] [--keys N] [--first-claim WHO] [--daily-claims N] [--psk1-lifetime TIME] [--ticket-key-file FILE] [--bsf-url URL --ua HEX --naf-host HOST [--bsf-ca FILE] [--bsf-cert FILE --bsf-key FILE] [--bsf-token-file FILE]] [--proxy-protocol NETWORK]... [--forwarded-for NETWORK]... [--admin-listen ADDRESS [--admin-client-ca FILE] [--admin-page]] [--status-listen ADDRESS] [--log FORMAT] [--syslog ADDRESS [--syslog-ca FILE] [--syslog-cert FILE --syslog-key FILE]]", Apart: onTheFolder,
		Summary: "answer gateways",
		About:   "Answers gateways until SIGTERM or SIGINT; requests under way are finished first. SIGHUP takes a renewed certificate. The other commands work meanwhile, and what they change holds at once.",
		Setup: func(fs *flag.FlagSet) command.Run {
			data := dataFlag(fs)
			listen := fs.String("listen", "127.0.0.1:8443", "the `ADDRESS` to listen on; port 0 takes a free one")
			keys := fs.Int("keys", cpns.DefaultSetLength, "`N` EUKeys in a new set, 2 to 1024")
			config := configFlags(fs)
			operator := bsfFlags(fs)
			admin := adminFlags(fs)
			seen := seenFlags(fs)
			return func(ctx context.Context, c *command.Console, args []string) error {
				if *keys < cpns.MinSetLength || *keys > cpns.MaxSetLength {
					return command.Misused("--keys %d: a set has %d to %d", *keys, cpns.MinSetLength, cpns.MaxSetLength)
				}
				if !isAddress(*listen) {
					return command.Misused("--listen %s: write ADDRESS:PORT, such as 127.0.0.1:8443", *listen)
				}
				if config.DailyClaims < 1 {
					return command.Misused("--daily-claims %d: at least 1", config.DailyClaims)
				}
				if err := cmp.Or(admin.check(), seen.check()); err != nil {
					return err
				}
				config.SetLength, config.Now = *keys, now
				var err error
				if config.BSF, err = operator.client(); err != nil {
					return seen.said(c, err)
				}
				return seen.said(c, serve(ctx, c, *data, *listen, config, admin, seen))
			}
		},
	}
}

// serve puts the server together and runs it until ctx ends.
func serve(ctx context.Context, c *command.Console, data place, listen string, config *server.Config, admin *adminOptions, seen *seenOptions) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	log := seen.newLog(c)
	d, owns, err := openFolder(data)
	if err != nil {
		return err
	}
	// Root may listen on a port below 1024; nothing else needs its rights.
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return explainListen(err, "--listen", listen)
	}
	defer ln.Close()
	adminLn, operatorCAs, err := admin.open()
	if err != nil {
		return err
	}
	if adminLn != nil {
		defer adminLn.Close()
	}
	exporter, err := seen.exporter(log)
	if err != nil {
		return err
	}
	statusLn, err := seen.open()
	if err != nil {
		return err
	}
	if statusLn != nil {
		defer statusLn.Close()
	}
	if err := owns.become(data.folder); err != nil {
		return err
	}
	defer func() { err = advise(err, data.folder) }()
	if err := checkClock(config.Now()); err != nil {
		log.Error("THE CLOCK IS WRONG, and requests are refused while it differs from a gateway's by more than 5 minutes: " + err.Error())
	}
	cert, err := loadCertificate(d, config.Now, log)
	if err != nil {
		return err
	}
	if config.TicketSecret != nil {
		if _, err := config.TicketSecret(); err != nil {
			return fmt.Errorf("reading the secret of session tickets (--ticket-key-file): %w", err)
		}
	}
	key, err := d.readKeyInPlace()
	if err != nil {
		return err
	}
	store, err := data.openStore(ctx, log, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	config.Store, config.MasterKey, config.Log, config.Anchors = store, key, log, cert.anchors
	config.NextKey = d.readNextKey
	if config.Name, err = os.Hostname(); err != nil {
		return err
	}
	if exporter != nil {
		config.Sealed = exporter.Sealed
	}
	s, err := server.New(ctx, *config)
	if err != nil {
		return data.explainMasterKey(err)
	}
	if adminLn != nil {
		if err := trustOwnCA(d, operatorCAs); err != nil {
			return err
		}
	}

	var wg sync.WaitGroup
	var unusable error // the database
	prepared := make(chan struct{})
	wg.Go(func() {
		defer stop()
		unusable = prepare(ctx, s, store, listen)
		close(prepared)
		if unusable == nil {
			<-ctx.Done()
		}
	})
	// Whoever reads that the server listens may make a code at once, which names its port.
	// A database that is away keeps nobody from reading it.
	select {
	case <-prepared:
	case <-time.After(time.Second):
	}
	seen.say(c, log, "listening on", "https://"+ln.Addr().String())
	cert.warnOfNames(gatewaysCome, listen)
	if adminLn != nil {
		seen.say(c, log, "admin API on", "https://"+adminLn.Addr().String())
		if admin.page {
			seen.say(c, log, "operators' page at", "https://"+adminLn.Addr().String()+"/")
		}
		cert.warnOfNames(operatorsCome, admin.listen)
	}
	if statusLn != nil {
		seen.say(c, log, "status on", "http://"+statusLn.Addr().String())
	}

	wg.Go(func() { cert.watch(ctx, hangup) })
	var adminErr error
	if adminLn != nil {
		wg.Go(func() {
			defer stop()
			adminErr = serveAdmin(ctx, admin, adminLn, s, cert, operatorCAs, log)
		})
	}
	var statusErr error
	watched := server.Watched{Version: buildinfo.New("cpns-server", version, buildTime).Version, CertificateEnds: cert.ends}
	exporting, stopExporting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopExporting()
	if exporter != nil {
		watched.Syslog = exporter.Counts
		wg.Go(func() { exporter.Run(exporting) })
	}
	if statusLn != nil {
		wg.Go(func() {
			defer stop()
			statusErr = s.ServeStatus(ctx, statusLn, watched)
		})
	}
	wg.Go(func() {
		// What takes all locks that requests take shows that none of them is held for good.
		notifySystemd(ctx, log, func() { s.WriteMetrics(io.Discard, watched) })
	})
	err = s.Serve(ctx, ln, cert.get)
	stop()
	stopExporting()
	wg.Wait()
	err = errors.Join(err, adminErr, statusErr)
	if unusable != nil && !errors.Is(unusable, context.Canceled) {
		err = errors.Join(data.explainMasterKey(unusable), err)
	}
	log.Info("stopped")
	return err
}

// prepare waits for the database, and writes down which port codes of gateway invite name.
func prepare(ctx context.Context, s *server.Server, store server.Store, listen string) error {
	if err := s.Await(ctx); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" { // another one each time
		return nil
	}
	return server.RememberPort(ctx, store, port)
}

// isAddress tells whether s is HOST:PORT with a number for a port; an empty HOST is every
// address of this machine.
func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func explainListen(err error, option, address string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use: is a cpns-server running already? Choose another address by %s", address, option)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s may not be used by this user: ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose another by %s", address, option)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this machine: choose another by %s", address, option)
	}
	return fmt.Errorf("listening: %w", err)
}
