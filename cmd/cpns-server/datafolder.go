package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
	"cpns.example.net/pngw/internal/command"
)

// A dataFolder is the folder that init makes and everything else works on.
type dataFolder string

func (d dataFolder) database() string   { return filepath.Join(string(d), "cpns.db") }
func (d dataFolder) masterKey() string  { return filepath.Join(string(d), "master.key") }
func (d dataFolder) caCert() string     { return filepath.Join(string(d), "ca.pem") }
func (d dataFolder) caKey() string      { return filepath.Join(string(d), "ca.key") }
func (d dataFolder) serverCert() string { return filepath.Join(string(d), "server.pem") }
func (d dataFolder) serverKey() string  { return filepath.Join(string(d), "server.key") }

// dataFlag declares --data.
func dataFlag(fs *flag.FlagSet) *string {
	return fs.String("data", "", "the data `DIR` that init made")
}

// openFolder checks a value of --data.
func openFolder(path string) (dataFolder, error) {
	if path == "" {
		return "", command.Misused("--data DIR is missing")
	}
	d := dataFolder(path)
	if _, err := os.Stat(d.database()); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not a data folder of cpns-server: make one with cpns-server init --data %s", path, path)
	} else if err != nil {
		return "", explainPermission(err)
	}
	return d, nil
}

// openStore opens the database and its master key.
func (d dataFolder) openStore(ctx context.Context) (*sqlite.Store, *server.MasterKey, error) {
	key, err := d.readMasterKey()
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlite.Open(ctx, d.database())
	if err != nil {
		return nil, nil, explainPermission(err)
	}
	return store, key, nil
}

// readMasterKey reads the master key: 64 hex digits in a file that is the owner's
// alone.
func (d dataFolder) readMasterKey() (*server.MasterKey, error) {
	path := d.masterKey()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing, and nothing else opens the database: put back the copy that was made after init", path)
	}
	if err != nil {
		return nil, explainPermission(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others than its owner: chmod 0400 %s", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, explainPermission(err)
	}
	key := new(server.MasterKey)
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(key) {
		return nil, fmt.Errorf("%s is not a master key, %d hex digits: put back the copy that was made after init", path, 2*len(key))
	}
	copy(key[:], raw)
	return key, nil
}

func (d dataFolder) explainMasterKey(err error) error {
	if errors.Is(err, server.ErrWrongMasterKey) {
		return fmt.Errorf("%s is not the master key of %s: put the two back from the same backup", d.masterKey(), d.database())
	}
	return err
}

// explainPermission says what to do about a file that may not be used.
func explainPermission(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run cpns-server as the user who owns the data folder", err)
	}
	return err
}
