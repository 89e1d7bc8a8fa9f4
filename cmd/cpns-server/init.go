package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
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
	"cpns.example.net/pngw/cpns/server/sqlite"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/durable"
)

var initCommand = command.Command{
	Name: "init", Options: "--data DIR [--host NAME]... [--cert FILE --key FILE] [--renew-cert]",
	Summary: "make the data folder",
	About: `Makes the data folder: an empty database, the master key that opens it, and a private CA with a server certificate for localhost, 127.0.0.1, ::1 and every --host, or a certificate of your own.

With --renew-cert: only makes the server certificate anew, for the same names and with the same key.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		var opts initOptions
		fs.StringVar(&opts.data, "data", "", "the folder `DIR` to make")
		fs.Func("host", "a `NAME` or IP address by which gateways reach the server; may be given several times", func(host string) error {
			opts.hosts = append(opts.hosts, host)
			return checkHost(host)
		})
		fs.StringVar(&opts.certFile, "cert", "", "a certificate chain of your own, a PEM `FILE`; it is copied")
		fs.StringVar(&opts.keyFile, "key", "", "the key of --cert, a PEM `FILE`; it is copied")
		renew := fs.Bool("renew-cert", false, "replace the server certificate of an existing data folder")
		return func(ctx context.Context, c *command.Console, args []string) error {
			if opts.data == "" {
				return command.Misused("--data DIR is missing")
			}
			if (opts.certFile == "") != (opts.keyFile == "") {
				return command.Misused("--cert and --key go together")
			}
			if opts.certFile != "" && opts.hosts != nil {
				return command.Misused("--host is for certificates of the private CA: your own has its names in it")
			}
			if *renew {
				return renewCert(c, &opts)
			}
			return initFolder(ctx, c, &opts)
		}
	},
}

type initOptions struct {
	data              string
	hosts             []string
	certFile, keyFile string
}

// initFolder makes the data folder under another name and then gives it its own:
// it is there as a whole or not at all.
func initFolder(ctx context.Context, c *command.Console, opts *initOptions) error {
	dir, err := filepath.Abs(opts.data)
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: nothing was changed; choose another --data", opts.data)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explainPermission(err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return explainPermission(err)
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".init-")
	if err != nil {
		return explainPermission(err)
	}
	defer os.RemoveAll(made) // nothing of it is there any more where all went well
	cert, err := fillFolder(ctx, dataFolder(made), opts)
	if err != nil {
		return err
	}
	if err := durable.SyncDir(made); err != nil {
		return err
	}
	// An empty folder is replaced, which os.Rename would refuse; one that was
	// filled meanwhile is not.
	if err := syscall.Rename(made, dir); errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
		return fmt.Errorf("%s is a mount point: give a folder in it, such as %s", opts.data, filepath.Join(opts.data, "cpns"))
	} else if err != nil {
		return fmt.Errorf("giving %s its name: %w", opts.data, err)
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	report(c, dataFolder(opts.data), cert)
	return nil
}

// fillFolder makes what belongs into a data folder.
func fillFolder(ctx context.Context, d dataFolder, opts *initOptions) (tls.Certificate, error) {
	cert, err := firstCert(d, opts)
	if err != nil {
		return cert, err
	}
	var key server.MasterKey
	rand.Read(key[:])
	if err := durable.WriteNew(d.masterKey(), []byte(hex.EncodeToString(key[:])+"\n"), 0o400); err != nil {
		return cert, err
	}
	store, err := sqlite.Create(ctx, d.database())
	if err != nil {
		return cert, err
	}
	return cert, errors.Join(server.Initialize(ctx, store, &key), store.Close())
}

// firstCert writes the certificate that the options ask for, and the CA.
func firstCert(d dataFolder, opts *initOptions) (tls.Certificate, error) {
	if opts.certFile != "" {
		pair, cert, err := readKeyPair(opts.certFile, opts.keyFile)
		if err != nil {
			return cert, err
		}
		if err := checkValidity(cert.Leaf, time.Now()); err != nil {
			return cert, err
		}
		if root := rootOf(cert); root != nil {
			if err := durable.WriteNew(d.caCert(), root, 0o644); err != nil {
				return cert, err
			}
		}
		return cert, errors.Join(durable.WriteNew(d.serverCert(), pair.cert, 0o644), durable.WriteNew(d.serverKey(), pair.key, 0o400))
	}
	now := time.Now()
	ca, err := newCA(now)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the CA: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	hosts := slices.Concat(ownHosts, opts.hosts)
	pair, err := newServerCert(ca, key, hosts, now)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the server certificate: %w", err)
	}
	err = errors.Join(
		durable.WriteNew(d.caCert(), ca.cert, 0o644),
		durable.WriteNew(d.caKey(), ca.key, 0o400),
		durable.WriteNew(d.serverCert(), pair.cert, 0o644),
		durable.WriteNew(d.serverKey(), pair.key, 0o400))
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(pair.cert, pair.key)
}

// renewCert replaces the server certificate.
func renewCert(c *command.Console, opts *initOptions) error {
	d, err := openFolder(opts.data)
	if err != nil {
		return err
	}
	_, old, err := readKeyPair(d.serverCert(), d.serverKey())
	if err != nil {
		return err
	}
	var pair keyPair
	if opts.certFile != "" {
		var cert tls.Certificate
		if pair, cert, err = readKeyPair(opts.certFile, opts.keyFile); err != nil {
			return err
		}
		if err := checkValidity(cert.Leaf, time.Now()); err != nil {
			return err
		}
	} else if pair, err = reissue(d, old, opts.hosts); err != nil {
		return err
	}
	// The key first: a server that starts between the two finds a pair that
	// does not match and says so, and the second try mends it.
	if err := durable.Replace(d.serverKey(), pair.key, 0o400); err != nil {
		return err
	}
	if err := durable.Replace(d.serverCert(), pair.cert, 0o644); err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return err
	}
	c.Printf("server certificate for %s until %s\nA running server takes it on SIGHUP, or when it is started again.\n",
		strings.Join(hostsOf(cert.Leaf), ", "), day(cert.Leaf.NotAfter))
	return nil
}

// reissue makes a new certificate of the private CA for the key of the old one, and
// for its names as well where hosts are given.
func reissue(d dataFolder, old tls.Certificate, hosts []string) (keyPair, error) {
	caCert, err := os.ReadFile(d.caCert())
	if err != nil {
		return keyPair{}, explainPermission(err)
	}
	caKey, err := os.ReadFile(d.caKey())
	if errors.Is(err, fs.ErrNotExist) {
		return keyPair{}, fmt.Errorf("the certificate is your own: give the new one by --cert and --key")
	}
	if err != nil {
		return keyPair{}, explainPermission(err)
	}
	key, ok := old.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return keyPair{}, fmt.Errorf("%s is not a key that init made", d.serverKey())
	}
	names := hostsOf(old.Leaf)
	for _, host := range hosts {
		if !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	return newServerCert(keyPair{caCert, caKey}, key, names, time.Now())
}

// report says what init made and what comes next.
func report(c *command.Console, d dataFolder, cert tls.Certificate) {
	c.Printf("made %s:\n", d)
	for _, file := range []struct{ path, about string }{
		{d.database(), "users, gateways, PNEs, assignments and the audit log"},
		{d.masterKey(), "opens what lies sealed in cpns.db: keep a copy, apart from its backups"},
		{d.caCert(), "the certificate for gateways to trust"},
		{d.caKey(), "signs server certificates"},
		{d.serverCert(), "for " + strings.Join(hostsOf(cert.Leaf), ", ") + ", until " + day(cert.Leaf.NotAfter)},
		{d.serverKey(), "SPKI pin " + pinOf(cert.Leaf)},
	} {
		if _, err := os.Stat(file.path); err == nil {
			c.Printf("  %-12s%s\n", filepath.Base(file.path), file.about)
		}
	}
	if _, err := os.Stat(d.caCert()); err != nil {
		c.Printf("gateways have to know the CA of your certificate: it is not in the chain\n")
	}
	c.Printf("next: cpns-server user add --data %[1]s USER, gateway add --data %[1]s ID --psk-out FILE, pne import --data %[1]s FILE; then run --data %[1]s\n", d)
}
