package server

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Which master key counts says the store, in two settings that are read again and again:
// the check is sealed under the key that everything is sealed under from now on, and
// while the master key is being changed another setting says from which one, whose values
// are opened too. So the servers of a store need to know both keys and nothing else, in
// whatever order they came by them.
const (
	keyCheckSetting = "master-key-check" // keyCheckText, sealed
	keyCheckText    = "CPNS Server"

	rekeySetting = "rekey" // a rekeying, while there is one

	// The key of the request tags before the last change, sealed: what was tagged shortly
	// before is recognised for good, although the master key of then may be gone.
	oldRequestsSetting = "request-key-before"
)

// A rekeying is a change of the master key that is under way.
type rekeying struct {
	From  KeyID     `json:"from"`
	To    KeyID     `json:"to"`
	Began time.Time `json:"began"`
	progress
}

func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

func (id *KeyID) UnmarshalText(text []byte) error {
	if len(text) != 2*len(id) {
		return errors.New("not the ID of a master key")
	}
	_, err := hex.Decode(id[:], text)
	return err
}

// A keyState is what the store has said of the master keys.
type keyState struct {
	current   *sealKey // seals
	former    *sealKey // opens as well while the master key is being changed; nil otherwise
	oldTagKey []byte   // of request tags before the last change, nil where there was none
}

// forOpening are the keys that may have sealed a value.
func (s *keyState) forOpening(sealed Sealed) []*sealKey {
	var keys []*sealKey
	id, said := sealed.idOf()
	for _, k := range []*sealKey{s.current, s.former} {
		if k != nil && (!said && sealed[0] == sealVersion1 || said && k.id == id) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (s *keyState) requestKeys() [][]byte {
	keys := [][]byte{s.current.requestKey}
	if s.former != nil {
		keys = append(keys, s.former.requestKey)
	}
	if s.oldTagKey != nil {
		keys = append(keys, s.oldTagKey)
	}
	return keys
}

// A KeyMissingError says that the master key is being changed, and that one of the two is
// not here. It is as if the store were away: the key may come.
type KeyMissingError struct{ Key KeyID }

func (e *KeyMissingError) Error() string {
	return fmt.Sprintf("the master key is being changed, and the key %s is not here: copy it from the server where that was begun", e.Key)
}

func (e *KeyMissingError) Is(target error) bool { return target == ErrUnavailable }

// bind reads what the store says of the master keys, and holds the vault to it. It fails
// with ErrWrongMasterKey where the store is bound to another one, and with a
// *KeyMissingError where only one of the two is known while it is being changed.
func (v *vault) bind(tx Tx) error {
	v.mu.Lock()
	v.binds++
	turn := v.binds // the store is looked at from here on
	v.mu.Unlock()
	state, err := v.read(tx)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if turn > v.newest { // nobody has looked since
		v.newest = turn
		v.state.Store(state)
	}
	return nil
}

// read says how the store wants it.
func (v *vault) read(tx Tx) (*keyState, error) {
	if to, err := tx.Setting(settingMoved); err == nil {
		return nil, &MovedError{string(to)}
	}
	check, err := tx.Setting(keyCheckSetting)
	if errors.Is(err, ErrNotFound) {
		if _, err := tx.Setting(settingMoving); err == nil {
			return nil, ErrHalfMoved
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the master key check: %w", err)
	}
	change, err := rekeyingOf(tx)
	if err != nil {
		return nil, err
	}
	s, err := v.stateFor(check, change)
	if err != nil {
		return nil, err
	}
	old, err := tx.Setting(oldRequestsSetting)
	if errors.Is(err, ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	for _, k := range s.forOpening(old) {
		if s.oldTagKey, err = k.open(columnKeyCheck, oldRequestsSetting, old); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("the setting %s does not open", oldRequestsSetting)
}

// rekeyingOf is the change of the master key that is under way, nil for none.
func rekeyingOf(tx Tx) (*rekeying, error) {
	text, err := tx.Setting(rekeySetting)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRekeying(text)
}

func parseRekeying(text []byte) (*rekeying, error) {
	change := new(rekeying)
	if err := json.Unmarshal(text, change); err != nil {
		return nil, fmt.Errorf("reading how far the change of the master key is: %w", err)
	}
	return change, nil
}

// stateFor finds the key that a check is sealed under, and the one that is changed from.
func (v *vault) stateFor(check Sealed, change *rekeying) (*keyState, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := new(keyState)
	for _, k := range v.known {
		if id, said := check.idOf(); said && id != k.id || len(check) == 0 {
			continue
		}
		if _, err := k.open(columnKeyCheck, keyCheckSetting, check); err == nil {
			all.current = k
		}
	}
	if change == nil {
		if all.current == nil {
			return nil, &WrongMasterKeyError{needs(check, nil)}
		}
		return all, nil
	}
	all.former = v.known[change.From]
	switch {
	case all.current == nil && all.former == nil:
		return nil, &WrongMasterKeyError{needs(check, change)}
	case all.current == nil:
		return nil, &KeyMissingError{change.To}
	case all.former == nil:
		return nil, &KeyMissingError{change.From}
	}
	return all, nil
}

// needs are the master keys that a store needs by what its settings say.
func needs(check Sealed, change *rekeying) (all []KeyID) {
	if id, said := check.idOf(); said {
		all = append(all, id)
	}
	if change != nil {
		all = append(all, change.From)
	}
	return all
}

// addKeyCheck binds an empty store to the master key.
func (v *vault) addKeyCheck(tx Tx) error {
	sealed, err := v.seal(columnKeyCheck, keyCheckSetting, []byte(keyCheckText))
	if err != nil {
		return err
	}
	return tx.AddSetting(keyCheckSetting, sealed)
}

// ErrRekeyed says that the master key was changed while something was being done: the
// same again will do.
var ErrRekeyed = fmt.Errorf("the master key has been changed meanwhile: give the command again (%w)", ErrUnavailable)

// confirm fails with ErrRekeyed unless sealed is under the key that counts. It is for
// what was sealed before the transaction, perhaps long before. A server does without:
// it seals within its transactions, and what it knows of the keys is never older than
// stateKept.
func (v *vault) confirm(tx Tx, sealed Sealed) error {
	under, err := v.currentIn(tx)
	if err != nil {
		return err
	}
	if id, _ := sealed.idOf(); id != under {
		return ErrRekeyed
	}
	return nil
}

// currentIn is the ID of the master key that counts in a transaction.
func (v *vault) currentIn(tx Tx) (KeyID, error) {
	s, err := v.read(tx)
	if err != nil {
		return KeyID{}, err
	}
	return s.current.id, nil
}

// keyIDs are the IDs of the master keys that the vault knows.
func (v *vault) keyIDs() []KeyID {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.SortedFunc(maps.Keys(v.known), func(a, b KeyID) int { return bytes.Compare(a[:], b[:]) })
}

// KeyIDsText is how IDs lie in a column of a store.
func KeyIDsText(ids []KeyID) string {
	words := make([]string, len(ids))
	for n, id := range ids {
		words[n] = id.String()
	}
	return strings.Join(words, " ")
}

// ParseKeyIDs reads what KeyIDsText has written. What is no ID is left out.
func ParseKeyIDs(text string) (ids []KeyID) {
	for word := range strings.FieldsSeq(text) {
		var id KeyID
		if id.UnmarshalText([]byte(word)) == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
