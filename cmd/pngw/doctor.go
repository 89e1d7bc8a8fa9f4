package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/agent/hooks"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/durable"
)

var doctorCommand = command.Command{
	Name: "doctor", Options: "[--bundle FILE]", Summary: "look for what is wrong, and say what to mend",
	About:   `Checks all that a gateway needs: the configuration and whether the agent runs with it, files and their permissions, the agent, the clock, the server's name, its certificate, PSK1 (by a request that the server refuses after PSK1 has authenticated it: it costs nothing), links, hooks, and room on flash. Says of each whether it is well, and in words what to mend.`,
	Notes:   `exit codes: 0 nothing is wrong, 1 something is, 2 usage.`,
	Example: "pngw doctor --bundle /tmp/pngw-bundle.txt",
	Setup: func(f *flag.FlagSet) command.Run {
		bundle := f.String("bundle", "", "write to `FILE` what somebody who helps needs: all this, the configuration, status, devices, metrics, audit log and the system's log; no key and no password is in it")
		return func(ctx context.Context, c *command.Console, _ []string) error {
			ctx, stop := command.Interruptible(ctx)
			defer stop()
			if *bundle != "" { // before all is looked at in vain
				if err := durable.Rehearse(*bundle, 1); err != nil {
					return fmt.Errorf("--bundle: %w", err)
				}
			}
			d := &doctor{c: c}
			d.examine(ctx)
			if ctx.Err() != nil {
				return errInterrupted
			}
			if *bundle != "" {
				if err := d.bundle(ctx, *bundle); err != nil {
					return err
				}
				c.Printf("\nbundle: %s\n", display.Plain(*bundle))
			}
			if d.bad > 0 {
				return &command.Exit{Code: command.Failed}
			}
			return nil
		}
	},
}

// doctor examines a gateway.
type doctor struct {
	c      *command.Console
	cfg    *config.Config // nil where it cannot be read
	client *api.Client
	status *api.Status // nil where no agent answers
	said   strings.Builder
	bad    int
}

// Verdicts of one check.
const (
	well  = "ok"
	note  = "note"
	wrong = "BAD"
)

// say prints the result of one check; mend is what to do about it.
func (d *doctor) say(verdict, what, text, mend string) {
	if verdict == wrong {
		d.bad++
	}
	if mend != "" {
		text += ". To mend it: " + mend
	}
	head := fmt.Sprintf("%-5s %-12s ", verdict, display.Plain(what))
	display.Fill(&d.said, head, display.Plain(text), 19)
	display.FillTo(d.c.Stdout, head, display.Plain(text), 19)
}

// lookTime is the time limit of each check over a network.
const lookTime = 10 * time.Second

func (d *doctor) examine(ctx context.Context) {
	cfg, err := loadConfig(d.c)
	if err != nil {
		d.say(wrong, "settings", err.Error(), "correct the file; nothing else can be looked at before")
		return
	}
	d.cfg = cfg
	p, err := newParts(ctx, cfg, lookInStore, slog.New(slog.DiscardHandler))
	d.settings(err)
	d.client = api.NewClient(cfg.Gateway.Socket)
	d.agent(ctx)
	d.page(ctx)
	d.flash()
	d.hooks()
	if p == nil || p.serverURL == "" {
		d.noServer(err)
		return
	}
	if d.name(ctx, p.serverURL) {
		d.certificate(ctx, p.serverURL)
	}
	d.psk(ctx)
}

// noServer is the reason why the server is not checked; err is what is wrong with the
// settings.
func (d *doctor) noServer(err error) {
	switch {
	case d.status != nil && d.status.Enrolment.State == step0.StatePending, d.status != nil && d.status.Enrolment.State == step0.StateRefused:
		d.say(wrong, "server", "the gateway is not enrolled: "+enrolmentText(d.status.Enrolment), "")
	case errors.Is(err, fs.ErrPermission):
		d.say(note, "server", "which it is this user may not see", "run pngw doctor as root, or as the agent's user")
	default:
		d.say(wrong, "server", "none is known", "pngw enrol CODE, or option server")
	}
}

// settings checks the configuration and all files that it names, as init does.
func (d *doctor) settings(err error) {
	if err == nil {
		d.say(well, "settings", d.cfg.File+" and the files that it names are in order, for the user who runs this", "")
		return
	}
	verdict := wrong
	if e := new(command.Exit); errors.As(err, &e) && e.Code == exitMissing {
		verdict = note
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		d.say(verdict, "settings", line, "")
	}
}

func (d *doctor) agent(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	st, err := d.client.Status(ctx)
	if err != nil {
		d.say(wrong, "agent", explain(d.c, err).Error(), "")
		return
	}
	d.status = &st
	d.say(well, "agent", fmt.Sprintf("%s, running for %s", st.Version, time.Duration(st.Uptime)*time.Second), "")
	d.reloaded(st.Read)
	if st.ClockSet {
		d.say(well, "clock", "set, "+st.Time, "")
	} else {
		d.say(wrong, "clock", "it says "+st.Time+", which is in the past", "let the router reach a time server, see uci show system.ntp")
	}
	for _, f := range st.Faults {
		d.say(wrong, "store", "a record does not open: "+f, "pngw forget it, and provision the device again")
	}
	for _, u := range st.Unwritten {
		d.say(wrong, "store", "a record cannot be written: "+u, "make room on flash, or mount it for writing")
	}
	if n := st.PNEs[agent.StateAlarm]; n > 0 {
		d.say(wrong, "devices", fmt.Sprintf("%d under alarm: rolled back or cloned", n), "see pngw list, and pngw show of each")
	} else {
		d.say(well, "devices", counts(st.PNEs), "")
	}
	if st.Gateway != "" {
		d.noted(ctx)
	}
	switch {
	case len(st.Links) > 0:
	case st.Gateway == "":
		d.say(note, "links", "they open once this gateway is enrolled", "pngw enrol CODE")
	default:
		d.say(wrong, "links", "none is configured and enabled", "add a section link, see docs/openwrt.md")
	}
	for _, l := range st.Links {
		verdict, mend := well, ""
		if l.State != "up" {
			verdict = wrong
		}
		text := l.State + ", " + l.Detail
		if verdict == wrong {
			text += "; if it is not used any more: option enabled '0'"
		}
		if l.Dropped > 0 && l.Dropped*20 > l.Received && verdict == well {
			verdict, mend = note, "check its speed, its cable and its end resistors"
			text += fmt.Sprintf("; %d of %d messages came damaged", l.Dropped, l.Dropped+l.Received)
		}
		d.say(verdict, "link "+l.Name, text, mend)
	}
	d.signs(st.Signs)
	if h := st.Hooks; h.Failed+h.TimedOut+h.Dropped > 0 {
		d.say(note, "hooks", fmt.Sprintf("%d failed, %d were killed, %d events dropped since the start", h.Failed, h.TimedOut, h.Dropped), "see the log: logread -e pngw")
	}
}

// uncommitted is where uci keeps changes that were not committed.
const uncommitted = "/tmp/.uci/pngw"

// reloaded says whether the agent runs with the configuration that was looked at.
func (d *doctor) reloaded(its api.Read) {
	switch ours := readOf(d.cfg); {
	case its.Digest == ours.Digest:
	case its.File != ours.File:
		d.say(note, "settings", "the agent that answers runs with "+its.File+", another file", "")
	default:
		d.say(wrong, "settings", d.cfg.File+" has been changed, and the agent still runs with what was in it before", reloadCommand(d.c))
	}
	if f, err := os.Stat(uncommitted); err == nil && f.Size() > 0 && d.cfg.File == config.DefaultFile {
		d.say(note, "settings", "some were set by uci and are not in the file yet: uci changes pngw shows them", "uci commit pngw, and "+reloadCommand(d.c))
	}
}

// notedMost is how many devices doctor names; pngw list has them all.
const notedMost = 5

// noted reports devices that need attention.
func (d *doctor) noted(ctx context.Context) {
	all, err := d.client.List(ctx)
	if err != nil {
		d.say(wrong, "devices", explain(d.c, err).Error(), "")
		return
	}
	n := 0
	for _, p := range all {
		if p.Note == "" {
			continue
		}
		if n++; n <= notedMost {
			d.say(note, "device", string(p.Entity)+": "+p.Note, "")
		}
	}
	if n > notedMost {
		d.say(note, "devices", fmt.Sprintf("and %d more with a note: pngw list", n-notedMost), "")
	}
}

func (d *doctor) signs(s *api.Signs) {
	if s == nil {
		return
	}
	verdict := map[bool]string{true: wrong, false: well}
	for _, l := range s.Lights {
		d.say(verdict[l.Fault != ""], "light", join(l.Name, l.Fault), "")
	}
	if b := s.Button; b != nil {
		d.say(verdict[b.Fault], "button", b.Name+": "+buttonText(b), "")
	}
}

// page requests the technicians' page as a phone that trusts its CA does.
func (d *doctor) page(ctx context.Context) {
	at := d.cfg.Gateway.Web
	if !at.IsValid() || d.status == nil {
		return
	}
	p := d.status.Page
	switch {
	case p == nil:
		d.say(wrong, "page", "the agent serves none", reloadCommand(d.c)+"; the agent's log says why not")
		return
	case p.Detail != "":
		d.say(wrong, "page", p.URL+" is not served: "+p.Detail, "give option web an address that the router has, and a port that is free")
		return
	}
	roots := x509.NewCertPool()
	if ca, err := x509.ParseCertificate(p.CA); err == nil {
		roots.AddCert(ca)
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots}}).DialContext(ctx, "tcp", at.String())
	if err != nil {
		d.say(wrong, "page", p.URL+": "+err.Error(), "where the certificate is not good yet, or any more, it is the router's clock")
		return
	}
	end := conn.(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter
	conn.Close()
	text := fmt.Sprintf("%s answers, its certificate is good until %s", p.URL, end.UTC().Format("2006-01-02"))
	if p.PIN {
		d.say(well, "page", text, "")
	} else {
		d.say(note, "page", text+"; nobody can log in", "pngw web set-pin")
	}
}

// Room on flash that is enough for a few hundred devices, and that is too little for one.
const (
	roomEnough = 512 << 10
	roomLeast  = 64 << 10
)

func (d *doctor) flash() {
	var fs unix.Statfs_t
	dir := d.cfg.Gateway.Store
	if err := unix.Statfs(dir, &fs); err != nil {
		d.say(wrong, "flash", fmt.Sprintf("%s: %v", dir, err), "pngw init makes the store")
		return
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	text := fmt.Sprintf("%d kB are free where the store is", free>>10)
	const readOnly = 1 // ST_RDONLY
	switch {
	case fs.Flags&readOnly != 0:
		d.say(wrong, "flash", dir+" is on a file system that is mounted for reading only", "mount -o remount,rw, and see dmesg for why")
	case free < roomLeast:
		d.say(wrong, "flash", text, "remove what is not needed; a full flash stores no key")
	case free < roomEnough:
		d.say(note, "flash", text, "remove what is not needed before it is full")
	default:
		d.say(well, "flash", text, "")
	}
}

func (d *doctor) hooks() {
	fit, refused := hooks.Look(d.cfg.Gateway.HookDir)
	for path, reason := range refused {
		d.say(wrong, "hooks", path+" is not run: "+reason, "")
	}
	if len(fit) > 0 {
		d.say(well, "hooks", fmt.Sprintf("%d are run for each event, %s first", len(fit), filepath.Base(fit[0])), "")
	}
}

// name resolves the server's name.
func (d *doctor) name(ctx context.Context, server string) bool {
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" {
		return false // settings has said it
	}
	if d.cfg.Gateway.Proxy != "" {
		d.say(note, "name", "a proxy resolves it, and its certificate is seen through that alone", "")
		return false
	}
	if net.ParseIP(u.Hostname()) != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		d.say(wrong, "name", err.Error(), "see whether the router reaches its name server: nslookup "+u.Hostname())
		return false
	}
	d.say(well, "name", u.Hostname()+" is "+strings.Join(addrs, ", "), "")
	return true
}

// soon is how long before its expiry a certificate is reported.
const soon = 14 * 24 * time.Hour

// certificate checks the dates of the server's certificate. Whether it is trusted is
// checked by the agent, when it proves PSK1.
func (d *doctor) certificate(ctx context.Context, server string) {
	u, _ := url.Parse(server) // name has parsed it
	port := u.Port()
	if port == "" {
		port = "443"
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true}} // it is looked at, and nothing is sent
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		d.say(wrong, "server", err.Error(), "see whether the server runs, and whether a firewall is between")
		return
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	now := time.Now()
	end := state.PeerCertificates[0].NotAfter
	text := fmt.Sprintf("answers by %s, its certificate is good until %s", tls.VersionName(state.Version), end.UTC().Format("2006-01-02"))
	switch {
	case now.After(end):
		d.say(wrong, "server", text+", which is over", "the server's operator renews it; or this router's clock is wrong")
	case now.Before(state.PeerCertificates[0].NotBefore):
		d.say(wrong, "server", "its certificate is not good yet", "this router's clock is wrong, or the server's was")
	case end.Sub(now) < soon:
		d.say(note, "server", text, "the server's operator renews it soon")
	default:
		d.say(well, "server", text, "")
	}
}

// Differences of the clocks, in seconds: the most that the server accepts, and what is
// worth a warning.
const (
	clockTaken = 300
	clockOdd   = 60
)

// psk makes the agent prove PSK1 to the server.
func (d *doctor) psk(ctx context.Context) {
	if d.status == nil {
		d.say(note, "PSK1", "the agent would prove it, and none answers", "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*lookTime)
	defer cancel()
	p, err := d.client.Probe(ctx)
	switch {
	case err != nil:
		d.say(wrong, "PSK1", explain(d.c, err).Error(), "")
		return
	case p.Fault != "":
		d.say(wrong, "PSK1", p.Fault, p.Advice)
		return
	}
	d.say(well, "PSK1", fmt.Sprintf("proved, in %d ms; %s", p.Took.Milliseconds(), pskText(d.status.PSK1)), "")
	if p.Ahead > clockOdd || p.Ahead < -clockOdd {
		verdict := note
		if p.Ahead > clockTaken || p.Ahead < -clockTaken {
			verdict = wrong
		}
		d.say(verdict, "clock", fmt.Sprintf("it is %d s ahead of the server's, which says %s", p.Ahead, p.Server), "let router and server ask a time server")
	}
}
