package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"

	"cpns.example.net/pngw/cpns/server/syslog"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/journal"
)

// seenOptions are the flags of run for those who watch the server.
type seenOptions struct {
	listen string // of the status pages
	log    string // format

	syslog, syslogCA, syslogCert, syslogKey string
}

func seenFlags(fs *flag.FlagSet) *seenOptions {
	o := new(seenOptions)
	fs.StringVar(&o.listen, "status-listen", "", "answer /metrics (for Prometheus), /healthz and /readyz at `ADDRESS`, such as 127.0.0.1:9441, in plain HTTP; if not given, there are no metrics")
	fs.StringVar(&o.log, "log", "text", "write the log as `FORMAT`: text; or json, an object a line, and then all that run says is in it: on standard error, and nothing on standard output")
	fs.StringVar(&o.syslog, "syslog", "", "send the audit log's events to the syslog server at `ADDRESS`: unix:/dev/log, or udp:, tcp: or tls: with HOST:PORT (RFC 5424); of several servers give it to all, each event is sent by one")
	fs.StringVar(&o.syslogCA, "syslog-ca", "", "the syslog server's certificate is signed by a CA in the PEM `FILE`; if not given, by one that this machine trusts")
	fs.StringVar(&o.syslogCert, "syslog-cert", "", "show the syslog server the client certificate in the PEM `FILE`")
	fs.StringVar(&o.syslogKey, "syslog-key", "", "its key is in the PEM `FILE`")
	return o
}

func (o *seenOptions) check() error {
	switch {
	case o.listen != "" && !isAddress(o.listen):
		return command.Misused("--status-listen %s: write ADDRESS:PORT, such as 127.0.0.1:9441", o.listen)
	case o.log != "text" && o.log != "json":
		return command.Misused("--log %s: text or json", o.log)
	}
	if o.syslog == "" {
		if o.syslogCA+o.syslogCert+o.syslogKey != "" {
			return command.Misused("--syslog-ca, --syslog-cert and --syslog-key go with --syslog tls:HOST:PORT")
		}
		return nil
	}
	network, _, err := syslog.ParseAddress(o.syslog)
	switch {
	case err != nil:
		return command.Misused("--syslog %s: %v", o.syslog, err)
	case network != "tls" && o.syslogCA+o.syslogCert+o.syslogKey != "":
		return command.Misused("--syslog-ca, --syslog-cert and --syslog-key go with --syslog tls:HOST:PORT")
	case (o.syslogCert == "") != (o.syslogKey == ""):
		return command.Misused("--syslog-cert and --syslog-key go together")
	}
	return nil
}

// exporter makes what sends events to the syslog server, nil where there is none. Files are
// read with the rights of who gave the command.
func (o *seenOptions) exporter(log *slog.Logger) (*syslog.Exporter, error) {
	if o.syslog == "" {
		return nil, nil
	}
	network, address, err := syslog.ParseAddress(o.syslog)
	if err != nil {
		return nil, err
	}
	c := syslog.Config{Network: network, Address: address, Log: log}
	if network == "tls" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
		if o.syslogCA != "" {
			text, err := os.ReadFile(o.syslogCA)
			if err != nil {
				return nil, err
			}
			c.TLS.RootCAs = x509.NewCertPool()
			if !c.TLS.RootCAs.AppendCertsFromPEM(text) {
				return nil, fmt.Errorf("%s has no certificate in it: --syslog-ca takes PEM", o.syslogCA)
			}
		}
		if o.syslogCert != "" {
			_, pair, err := readKeyPair(o.syslogCert, o.syslogKey)
			if err != nil {
				return nil, err
			}
			c.TLS.Certificates = []tls.Certificate{pair}
		}
	}
	return syslog.New(c)
}

// open begins to listen, nil where nobody asked for it.
func (o *seenOptions) open() (net.Listener, error) {
	if o.listen == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, explainListen(err, "--status-listen", o.listen)
	}
	return ln, nil
}

// say tells people where the server listens: on standard output, or in a log that is for
// programs.
func (o *seenOptions) say(c *command.Console, log *slog.Logger, what, url string) {
	if o.log == "json" {
		log.Info(what, "url", url)
		return
	}
	c.Printf("%s %s\n", what, url)
}

// said puts the error that the server ends with into a log that is for programs.
func (o *seenOptions) said(c *command.Console, err error) error {
	if err == nil || o.log != "json" {
		return err
	}
	o.newLog(c).Error("cannot go on", "error", err)
	return &command.Exit{Code: command.CodeOf(err)}
}

// newLog is the log on standard error, without times where systemd's journal adds them.
func (o *seenOptions) newLog(c *command.Console) *slog.Logger {
	options := new(slog.HandlerOptions)
	if journal.Reads(c.Stderr) {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	if o.log == "json" {
		return slog.New(slog.NewJSONHandler(c.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(c.Stderr, options))
}
