package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/internal/durable"
	"cpns.example.net/pngw/internal/secretfile"
)

// stateFile keeps a device's State in one file, as JSON. The key lies there in
// the clear: a real device has a place of its own for it.
type stateFile struct {
	path      string
	entity    cpns.EntityID
	epochOnly bool // as of a device that has a place for four bytes, and none for a key
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
	text, err := readState(f.path)
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

// Save replaces the file. An error of the last step leaves the new State in
// place, perhaps not for good; the device will say which one it holds.
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
	return durable.Replace(f.path, append(text, '\n'), 0o600)
}

// rehearse says whether Save would work: a device that finds out when a key has come has
// used up that key.
func (f *stateFile) rehearse() error {
	err := durable.Rehearse(f.path, sizeofState)
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if err != nil {
		return fmt.Errorf("--state %s cannot be written: %w: want a file in a folder that is there, with room, and that this user may write to", f.path, err)
	}
	return nil
}

// sizeofState is more than what Save writes, in bytes.
const sizeofState = 1024

// maxState bounds what is read of a state file, in bytes.
const maxState = 4096

// readState reads a state file, which nobody else may read.
func readState(path string) ([]byte, error) {
	f, err := secretfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err == nil && len(text) > maxState {
		err = fmt.Errorf("%s is not a state file: too long", path)
	}
	return text, err
}
