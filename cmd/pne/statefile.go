package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// stateFile keeps a device's State in one file, as JSON. The key lies there in
// the clear: a real device has a place of its own for it.
type stateFile struct {
	path      string
	entity    cpns.EntityID
	epochOnly bool // as of a device that has a place for four bytes, and none for a key
	log       *slog.Logger
}

// stateVersion is the version of the file's format.
const stateVersion = 1

type stateJSON struct {
	Version int           `json:"version"`
	Entity  cpns.EntityID `json:"entity_id"`
	Epoch   cpns.Epoch    `json:"epoch"`

	// Missing where only the epoch is kept.
	Gateway cpns.GatewayID `json:"gateway_id,omitempty"`
	Index   cpns.Index     `json:"index,omitempty"`
	EUKey   string         `json:"eukey,omitempty"` // hex
}

// Load returns the State in the file, the zero State where there is no file. A
// file that cannot be read, or is another device's, is an error and is kept.
func (f *stateFile) Load() (pne.State, error) {
	text, err := readSmall(f.path, f.log)
	if errors.Is(err, fs.ErrNotExist) {
		return pne.State{}, nil
	} else if err != nil {
		return pne.State{}, err
	}
	defer clear(text)
	var s stateJSON
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return pne.State{}, fmt.Errorf("%s is not a state file", f.path)
	}
	if _, err := d.Token(); err != io.EOF {
		return pne.State{}, fmt.Errorf("%s is not a state file: more after its end", f.path)
	}
	if s.Version != stateVersion {
		return pne.State{}, fmt.Errorf("%s is of version %d, not %d", f.path, s.Version, stateVersion)
	}
	if s.Entity != f.entity {
		return pne.State{}, fmt.Errorf("%s is the state of %q", f.path, s.Entity)
	}
	if s.Epoch == 0 {
		return pne.State{}, fmt.Errorf("%s holds no epoch", f.path)
	}
	if f.epochOnly || s == (stateJSON{Version: s.Version, Entity: s.Entity, Epoch: s.Epoch}) {
		return pne.State{Epoch: s.Epoch}, nil
	}
	state := pne.State{Gateway: s.Gateway, Epoch: s.Epoch, Index: s.Index}
	if len(s.EUKey) != hex.EncodedLen(len(state.EUKey)) {
		return pne.State{}, fmt.Errorf("%s: the EUKey is not of %d bytes", f.path, len(state.EUKey))
	}
	if _, err := hex.Decode(state.EUKey[:], []byte(s.EUKey)); err != nil {
		return pne.State{}, fmt.Errorf("%s: the EUKey is not in hex", f.path)
	}
	return state, nil
}

// Save replaces the file: a temporary file beside it, written and synced,
// renamed over it, the folder synced. An error of the last sync leaves the new
// State in place, perhaps not for good; the device will say which one it holds.
func (f *stateFile) Save(s *pne.State) error {
	record := stateJSON{Version: stateVersion, Entity: f.entity, Epoch: s.Epoch}
	if !f.epochOnly {
		record.Gateway, record.Index, record.EUKey = s.Gateway, s.Index, hex.EncodeToString(s.EUKey[:])
	}
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	defer clear(text)
	temp := f.path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSynced(temp, append(text, '\n')); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, f.path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// writeSynced makes a file that is not there yet, for the owner only.
func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
