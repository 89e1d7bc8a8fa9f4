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
func (d dataFolder) nextKey() string    { return filepath.Join(string(d), "master.key.new") }
func (d dataFolder) caCert() string     { return filepath.Join(string(d), "ca.pem") }
func (d dataFolder) caKey() string      { return filepath.Join(string(d), "ca.key") }
func (d dataFolder) serverCert() string { return filepath.Join(string(d), "server.pem") }
func (d dataFolder) serverKey() string  { return filepath.Join(string(d), "server.key") }

// oldKey is where a master key is kept that was changed for another.
func (d dataFolder) oldKey(id server.KeyID) string { return d.masterKey() + ".old-" + id.String() }

// openFolder checks a place and says who owns its folder.
func openFolder(p place) (dataFolder, owner, error) {
	path := p.folder
	if p.flags != nil && given(p.flags, "remote") {
		return "", owner{}, command.Misused(onTheFolder)
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

// readMasterKeys reads the master key and, while it is being changed, the other one:
// which of the two counts says the database. One that cannot be read, such as one that is
// being copied here, is as if it were not there: the database says whether it is needed.
func (d dataFolder) readMasterKeys() (key *server.MasterKey, more []*server.MasterKey, err error) {
	if key, err = d.readKeyInPlace(); err != nil {
		return nil, nil, err
	}
	if next, err := d.readNextKey(); err == nil && next != nil {
		more = append(more, next)
	}
	return key, more, nil
}

// readKeyInPlace reads the master key.
func (d dataFolder) readKeyInPlace() (*server.MasterKey, error) {
	key, err := readMasterKey(d.masterKey())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing, and nothing else opens the database: put back the copy that was made after init", d.masterKey())
	}
	return key, err
}

// readNextKey reads the master key that is going to be the next one, nil where there is
// none.
func (d dataFolder) readNextKey() (*server.MasterKey, error) {
	key, err := readMasterKey(d.nextKey())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return key, err
}

// readMasterKey reads a master key: 64 hex digits in a file that is the owner's alone.
func readMasterKey(path string) (*server.MasterKey, error) {
	info, err := os.Stat(path)
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
	defer clear(text)
	key := new(server.MasterKey)
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(key) {
		return nil, fmt.Errorf("%s is not a master key, %d hex digits: put back the copy that was made of it", path, 2*len(key))
	}
	copy(key[:], raw)
	clear(raw)
	return key, nil
}

// writeMasterKey writes a master key to a file.
func writeMasterKey(path string, key *server.MasterKey, write func(string, []byte, fs.FileMode) error) error {
	return write(path, []byte(hex.EncodeToString(key[:])+"\n"), 0o400)
}
