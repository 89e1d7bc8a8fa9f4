package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cpns.example.net/pngw/cpns/server"
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

// openFolder checks a place and says who owns its folder.
func openFolder(p place) (dataFolder, owner, error) {
	path := p.folder
	if err := p.localOnly(); err != nil {
		return "", owner{}, err
	}
	if path == "" {
		return "", owner{}, command.Misused("--data DIR is missing")
	}
	if err := p.check(); err != nil {
		return "", owner{}, err
	}
	d := dataFolder(path)
	owns, err := ownerOf(path)
	if err == nil {
		if err := owns.may(path); err != nil {
			return "", owner{}, err
		}
		mark := d.database()
		if p.store != "" {
			mark = d.masterKey()
		}
		_, err = os.Stat(mark)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if inner, _ := filepath.Glob(filepath.Join(path, "*", filepath.Base(d.database()))); len(inner) == 1 {
			return "", owner{}, fmt.Errorf("%s is not a data folder of cpns-server: do you mean %s?", path, filepath.Dir(inner[0]))
		}
		return "", owner{}, fmt.Errorf("%s is not a data folder of cpns-server: make one with cpns-server init --data %s", path, path)
	}
	return d, owns, advise(err, path)
}

// inFolder runs f on the data folder of a place, with the rights of its owner.
func inFolder(p place, f func(d dataFolder) error) error {
	d, owns, err := openFolder(p)
	if err != nil {
		return err
	}
	return advise(owns.do(p.folder, func() error { return f(d) }), p.folder)
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
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others than its owner: chmod 0400 %s", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key := new(server.MasterKey)
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(key) {
		return nil, fmt.Errorf("%s is not a master key, %d hex digits: put back the copy that was made after init", path, 2*len(key))
	}
	copy(key[:], raw)
	return key, nil
}
