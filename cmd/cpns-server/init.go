package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/durable"
)

// initCommand makes and renews what is in a data folder; now is the clock that
// certificates are made by.
func initCommand(now func() time.Time) command.Command {
	return command.Command{
		Name: "init", Options: "--data DIR [--store URL] [--host NAME]... [--cert FILE --key FILE] [--renew-cert]", Apart: onTheFolder,
		Summary: "make the data folder",
		About: `Makes the data folder: an empty database, the master key that opens it, and a private CA with a server certificate for localhost, 127.0.0.1, ::1 and every --host, or a certificate of your own. Root makes it for the user who owns the folder above, or an empty one in its place. With --store the database is an empty one of PostgreSQL, and only the rest is in the folder.

With --renew-cert: only replaces the server certificate, by one of the folder's CA for the same names and more and with the same key, or by your own.`,
		Setup: func(fs *flag.FlagSet) command.Run {
			var opts initOptions
			fs.StringVar(&opts.folder, "data", "", "the folder `DIR` to make")
			storeFlags(fs, &opts.place)
			fs.Func("host", "a `NAME` or IP address by which gateways reach the server; may be given several times", func(host string) error {
				opts.hosts = append(opts.hosts, host)
				return checkHost(host)
			})
			fs.StringVar(&opts.certFile, "cert", "", "a certificate chain of your own, a PEM `FILE`; it is copied")
			fs.StringVar(&opts.keyFile, "key", "", "the key of --cert, a PEM `FILE`; it is copied")
			renew := fs.Bool("renew-cert", false, "replace the server certificate of an existing data folder")
			fs.BoolVar(&opts.privateCA, "private-ca", false, "with --renew-cert: back from a certificate of your own to one of the folder's CA")
			return func(ctx context.Context, c *command.Console, _ []string) error {
				opts.now = now()
				if err := opts.verify(*renew); err != nil {
					return err
				}
				if *renew {
					return renewCert(c, &opts)
				}
				return initFolder(ctx, c, &opts)
			}
		},
	}
}

type initOptions struct {
	place
	hosts             []string
	certFile, keyFile string
	own               *ownCert // what the two files have, nil where they are not given
	privateCA         bool
	now               time.Time
}

// verify checks the options and reads the operator's files, with the rights of the one
// who gives the command.
func (o *initOptions) verify(renew bool) (err error) {
	switch {
	case o.folder == "":
		return command.Misused("--data DIR is missing")
	case (o.certFile == "") != (o.keyFile == ""):
		return command.Misused("--cert and --key go together")
	case o.certFile != "" && o.hosts != nil:
		return command.Misused("--host is for certificates of the private CA: your own has its names in it")
	case o.privateCA && (!renew || o.certFile != ""):
		return command.Misused("--private-ca goes with --renew-cert, and not with a certificate of your own")
	}
	if err := checkClock(o.now); err != nil {
		return err
	}
	if err := o.place.check(); err != nil {
		return err
	}
	if o.certFile != "" {
		o.own, err = readOwnCert(o.certFile, o.keyFile, o.now)
	}
	return err
}

func initFolder(ctx context.Context, c *command.Console, opts *initOptions) error {
	dir, err := filepath.Abs(opts.folder)
	if err != nil {
		return err
	}
	above := filepath.Dir(dir)
	maker, keeper, err := whoMakes(dir)
	if err != nil {
		return err
	}
	var cert tls.Certificate
	err = maker.do(above, func() error {
		cert, err = makeFolder(ctx, dir, keeper, opts)
		return err
	})
	if err != nil {
		return advise(err, above)
	}
	report(c, opts, keeper, cert)
	return nil
}

// whoMakes says whose rights it takes to make the data folder, and to whom it then
// belongs. Root makes it for the one who owns what is there already: an empty folder
// at the place, or the folder above.
func whoMakes(dir string) (maker, keeper owner, err error) {
	self := owner{os.Geteuid(), os.Getegid()}
	if self.uid != 0 {
		return self, self, nil
	}
	if maker, err = ownerAbove(filepath.Dir(dir)); err != nil {
		return maker, keeper, err
	}
	if keeper, err = ownerAbove(dir); err != nil {
		return maker, keeper, err
	}
	if maker.uid != 0 && maker.uid != keeper.uid {
		return maker, keeper, fmt.Errorf("%s belongs to %s, and the folder above to %s: give a folder that one of them owns alone", dir, keeper, maker)
	}
	return maker, keeper, nil
}

// makeFolder makes the data folder under another name and then gives it its own: it is
// there as a whole or not at all.
func makeFolder(ctx context.Context, dir string, keeper owner, opts *initOptions) (cert tls.Certificate, err error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return cert, fmt.Errorf("%s is not empty: nothing was changed; choose another --data", opts.folder)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cert, err
	}
	above := filepath.Dir(dir)
	if err := os.MkdirAll(above, 0o755); err != nil {
		return cert, err
	}
	made, err := os.MkdirTemp(above, filepath.Base(dir)+".init-")
	if err != nil {
		return cert, err
	}
	kept := false
	defer func() { // where all went well it has another name
		if kept {
			return
		}
		keeper.do(made, func() error { return os.RemoveAll(made) })
		os.Remove(made)
	}()
	if keeper.uid != os.Geteuid() {
		if err := os.Lchown(made, keeper.uid, keeper.gid); err != nil {
			return cert, err
		}
	}
	err = keeper.do(made, func() error {
		cert, err = fillFolder(ctx, dataFolder(made), opts)
		return errors.Join(err, durable.SyncDir(made))
	})
	if err != nil {
		return cert, err
	}
	// A database of its own is bound to the key in the folder by now.
	kept = opts.store != ""
	// An empty folder is replaced, which os.Rename would refuse; one that was
	// filled meanwhile is not.
	if err := syscall.Rename(made, dir); errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
		return cert, fmt.Errorf("%s is a mount point: give a folder in it, such as %s", opts.folder, filepath.Join(opts.folder, "cpns"))
	} else if err != nil {
		return cert, fmt.Errorf("giving %s the name %s: %w", made, opts.folder, err)
	}
	return cert, durable.SyncDir(above)
}

// fillFolder makes what belongs into a data folder.
func fillFolder(ctx context.Context, d dataFolder, opts *initOptions) (tls.Certificate, error) {
	cert, err := firstCert(d, opts)
	if err != nil {
		return cert, err
	}
	var key server.MasterKey
	rand.Read(key[:])
	if err := writeMasterKey(d.masterKey(), &key, durable.WriteNew); err != nil {
		return cert, err
	}
	store, err := opts.createStore(ctx, d)
	if err != nil {
		return cert, err
	}
	err = server.Initialize(ctx, store, &key)
	if host := firstHost(opts, cert); err == nil && host != "" {
		err = server.RememberHost(ctx, store, host)
	}
	return cert, errors.Join(err, store.Close())
}

// firstHost is the name by which gateways reach the server, as far as init was told:
// the first --host, or the first of a certificate of the operator's own.
func firstHost(opts *initOptions, cert tls.Certificate) string {
	hosts := opts.hosts
	if opts.own != nil {
		hosts = hostsOf(cert.Leaf)
	}
	for _, host := range hosts {
		if !strings.Contains(host, "*") {
			return host
		}
	}
	return ""
}

// firstCert writes the certificate that the options ask for, and the CA.
func firstCert(d dataFolder, opts *initOptions) (tls.Certificate, error) {
	if own := opts.own; own != nil {
		return own.chain, writeCert(d, own.pair, own.root, durable.WriteNew)
	}
	ca, err := newCA(opts.now)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the CA: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := newServerCert(ca, key, slices.Concat(ownHosts, opts.hosts), opts.now)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the server certificate: %w", err)
	}
	if err := durable.WriteNew(d.caKey(), slices.Concat(ca.key, ca.cert), 0o400); err != nil {
		return tls.Certificate{}, err
	}
	if err := writeCert(d, pair, ca.cert, durable.WriteNew); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(pair.cert, pair.key)
}

// report says what init made and what comes next.
func report(c *command.Console, opts *initOptions, keeper owner, cert tls.Certificate) {
	d := dataFolder(opts.folder)
	belongs := ""
	if os.Getuid() == 0 {
		belongs = fmt.Sprintf(", which belongs to %s", keeper)
	}
	c.Printf("made %s%s:\n", d, belongs)
	for _, file := range []struct{ path, about string }{
		{d.database(), "users, gateways, PNEs, assignments and the audit log"},
		{d.masterKey(), "opens what lies sealed in the database: keep a copy, apart from its backups"},
		{d.caCert(), "the certificate for gateways to trust"},
		{d.caKey(), "signs server certificates"},
		{d.serverCert(), "for " + strings.Join(hostsOf(cert.Leaf), ", ") + ", until " + day(cert.Leaf.NotAfter)},
		{d.serverKey(), "SPKI pin " + pinOf(cert.Leaf)},
	} {
		if _, err := os.Stat(file.path); err == nil {
			display.Fill(c.Stdout, fmt.Sprintf("  %-12s", filepath.Base(file.path)), file.about, 14)
		}
	}
	if opts.store != "" {
		display.Fill(c.Stdout, "", fmt.Sprintf("Users, gateways, PNEs, assignments and the audit log are in %s: name it by --store, or in the environment as %s. Other servers on it need copies of %s, %s, %s, %s and %s.", opts.database(), storeEnv,
			filepath.Base(d.masterKey()), filepath.Base(d.caCert()), filepath.Base(d.caKey()), filepath.Base(d.serverCert()), filepath.Base(d.serverKey())), 0)
	}
	sayRoot(c, opts.own)
	sayNext(c, opts, cert)
}

// sayNext says the commands that come next, as they are typed.
func sayNext(c *command.Console, opts *initOptions, cert tls.Certificate) {
	on := "--data " + command.Quote(opts.folder)
	if given(opts.flags, "store") {
		on += " --store " + command.Quote(opts.store)
	}
	if given(opts.flags, "store-password-file") {
		on += " --store-password-file " + command.Quote(opts.passwordFile)
	}
	at := ""
	if firstHost(opts, cert) == "" {
		at = " --server localhost:" + server.DefaultPort
	}
	c.Printf(`next:
  cpns-server user add %[1]s USER
  cpns-server gateway invite %[1]s%[2]s
  cpns-server pne import %[1]s FILE
  cpns-server run %[1]s
`, on, at)
	if at != "" {
		display.Fill(c.Stdout, "", fmt.Sprintf("localhost is for gateways on this machine. For others: cpns-server init %s --renew-cert --host NAME, invite with --server NAME:%s, run with --listen :%[2]s.", on, server.DefaultPort), 0)
	}
}
