package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"cpns.example.net/pngw/internal/sleep"
)

// How the master key is changed while servers run:
//
//  1. Every server that runs is made to know the new key, and says so in the list of
//     replicas.
//  2. In one transaction the store is bound to the new key, and it is written down which
//     one was before. From then on everything is sealed under the new one, by each server
//     within stateKept; rekeyGrace later what a server began before has ended too.
//  3. Batch by batch what is still under the old key is sealed anew, each value only if it
//     is what it was when it was read. How far that is is written down with the batch.
//  4. Every sealed value is opened, under the new key alone.
//  5. The store forgets the old key.
//
// Broken off anywhere, the same again goes on.
const (
	stateKept  = 5 * time.Second
	rekeyGrace = stateKept + answerTime + 5*time.Second
	rekeyLook  = time.Second // how often it is looked whether a server knows the new key
	rekeyTries = 3           // to find nothing more under the old key
)

// How values are sealed anew: in batches, as large as the last one says that they may be.
// Where one takes longer than that all the same, for others want the processor or the disk
// by now, it ends with the part that it is at.
const (
	rekeyFirst = 50
	rekeyMost  = 500
	rekeyPart  = 10                    // rows
	rekeyTime  = 10 * time.Millisecond // that a batch should take
	rekeyLong  = 20 * time.Millisecond // after which it begins no other part
)

// RekeyProgress tells how far a change of the master key is.
type RekeyProgress struct {
	Waiting  []Replica // servers that do not know the new key yet
	Grace    time.Duration
	Table    string // whose values are sealed anew
	Rows, Of int64  // looked at, and all of them
	Opened   int    // values, in the end
}

// A RekeyResult is what came of a change of the master key.
type RekeyResult struct {
	From, To KeyID
	Values   int  // that lie sealed, and open
	Already  bool // there was nothing to do
}

// MasterKeys are the IDs of the master key that counts and, while it is being changed, of
// the one before.
func (o *Operator) MasterKeys(ctx context.Context) (current KeyID, former *KeyID, err error) {
	if err := o.store.View(ctx, o.vault.bind); err != nil {
		return current, nil, err
	}
	s := o.vault.state.Load()
	if s.former != nil {
		former = &s.former.id
	}
	return s.current.id, former, nil
}

// Rekey makes another key the master key, while servers run, and goes on where it was
// broken off. It waits until all servers know the key, or ctx ends.
func (o *Operator) Rekey(ctx context.Context, to *MasterKey, tell func(RekeyProgress)) (r RekeyResult, err error) {
	v := o.vault
	if err := v.learn(to); err != nil {
		return r, err
	}
	r.To = to.ID()
	change, current, err := o.rekeying(ctx)
	if err != nil {
		return r, err
	}
	switch {
	case change == nil && current == r.To:
		r.From, r.Already = current, true
		return r, nil
	case change != nil && change.To != r.To:
		return r, refused("the master key is being changed to %s: that has to be finished first", change.To)
	case change == nil:
		if change, err = o.beginRekey(ctx, current, r.To, tell); err != nil {
			return r, err
		}
	}
	r.From = change.From
	if err := o.awaitGrace(ctx, change, tell); err != nil {
		return r, err
	}
	for try := 1; ; try++ {
		if err := o.sealAnew(ctx, change, tell); err != nil {
			return r, err
		}
		left := 0
		if r.Values, left, err = o.verifyRekey(ctx, r.To, tell); err != nil {
			return r, err
		}
		if left == 0 {
			break
		}
		if try == rekeyTries {
			return r, fmt.Errorf("there are %d values under the old key again and again: is there a server of an older program?", left)
		}
		change.progress = progress{}
	}
	err = o.store.Update(ctx, func(tx Tx) error {
		if err := tx.RemoveSetting(rekeySetting); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventRekeyed, Detail: fmt.Sprintf("from %s to %s", r.From, r.To)}))
	})
	if err != nil {
		return r, err
	}
	return r, o.store.View(ctx, v.bind)
}

// rekeying is the change that is under way, nil for none, and the key that counts.
func (o *Operator) rekeying(ctx context.Context) (change *rekeying, current KeyID, err error) {
	err = o.store.View(ctx, func(tx Tx) (err error) {
		if change, err = rekeyingOf(tx); err != nil {
			return err
		}
		s, err := o.vault.read(tx)
		if err == nil {
			current = s.current.id
		}
		return err
	})
	return change, current, err
}

// errServersWait says that a server does not know the new key.
var errServersWait = errors.New("servers do not know the new master key")

// beginRekey binds the store to the new key, once all servers know it.
func (o *Operator) beginRekey(ctx context.Context, from, to KeyID, tell func(RekeyProgress)) (*rekeying, error) {
	v := o.vault
	v.mu.Lock()
	old, next := v.known[from], v.known[to]
	v.mu.Unlock()
	check, err := next.seal(v.rand, columnKeyCheck, keyCheckSetting, []byte(keyCheckText))
	if err != nil {
		return nil, err
	}
	tags, err := next.seal(v.rand, columnKeyCheck, oldRequestsSetting, old.requestKey)
	if err != nil {
		return nil, err
	}
	for {
		var waiting []Replica
		change := &rekeying{From: from, To: to}
		err := o.store.Update(ctx, func(tx Tx) error {
			change.Began = o.now().UTC()
			s, err := v.read(tx)
			if err != nil {
				return err
			}
			if s.former != nil || s.current.id != from {
				return ErrRekeyed
			}
			if waiting, err = unaware(tx, change.Began, to); err != nil {
				return err
			}
			if len(waiting) > 0 {
				return errServersWait
			}
			text, err := json.Marshal(change)
			if err != nil {
				return err
			}
			return errors.Join(
				tx.AddSetting(rekeySetting, text), tx.SetSetting(keyCheckSetting, check), tx.SetSetting(oldRequestsSetting, tags),
				tx.AddEvent(o.event(Event{Kind: EventRekeyBegun, Detail: fmt.Sprintf("from %s to %s", from, to)})))
		})
		if err == nil {
			return change, o.store.View(ctx, v.bind)
		}
		if !errors.Is(err, errServersWait) {
			return nil, err
		}
		tell(RekeyProgress{Waiting: waiting})
		if err := sleep.For(ctx, rekeyLook); err != nil {
			return nil, err
		}
	}
}

// unaware are the servers that run and do not know a master key.
func unaware(tx Tx, now time.Time, key KeyID) (all []Replica, err error) {
	running, err := tx.ReplicasSince(now.Add(-replicaKept))
	if err != nil {
		return nil, err
	}
	for _, r := range running {
		if !slices.Contains(r.Keys, key) {
			all = append(all, r)
		}
	}
	return all, nil
}

// awaitGrace waits until every server that runs seals under the new key. How long that
// has been so since is not asked of the clock: it may have jumped.
func (o *Operator) awaitGrace(ctx context.Context, change *rekeying, tell func(RekeyProgress)) error {
	if change.Table != "" {
		return nil // values were sealed anew before
	}
	running, err := o.Replicas(ctx)
	if err != nil || running == 0 {
		return err
	}
	tell(RekeyProgress{Grace: rekeyGrace})
	return sleep.For(ctx, rekeyGrace)
}

// sealAnew goes over all tables from where the change has come to.
func (o *Operator) sealAnew(ctx context.Context, change *rekeying, tell func(RekeyProgress)) error {
	for _, t := range Tables {
		if !t.hasSecrets() || change.Table != "" && change.Table != t.Name {
			continue
		}
		after, err := t.parseKey(change.Key)
		if err != nil {
			return err
		}
		change.progress = progress{}
		if err := o.sealTable(ctx, t, after, change, tell); err != nil {
			return fmt.Errorf("sealing %s anew: %w", t.Name, err)
		}
	}
	return nil
}

func (o *Operator) sealTable(ctx context.Context, t *Table, after Row, change *rekeying, tell func(RekeyProgress)) error {
	var all, done int64
	err := o.store.View(ctx, func(tx Tx) (err error) {
		all, err = tx.CountRows(t)
		return err
	})
	if err != nil {
		return err
	}
	for size := rekeyFirst; ; {
		var rows []Row
		err := o.store.View(ctx, func(tx Tx) (err error) {
			rows, err = tx.RowsAfter(t, after, size)
			return err
		})
		if err != nil {
			return err
		}
		full := len(rows) == size
		parts, err := o.swapsOf(t, rows, change.To)
		if err != nil {
			return err
		}
		sealed := 0 // rows
		begin := time.Now()
		err = o.store.Update(ctx, func(tx Tx) error {
			sealed = 0
			for began := time.Now(); sealed < len(rows) && (sealed == 0 || time.Since(began) < rekeyLong); sealed = min(sealed+rekeyPart, len(rows)) {
				for _, s := range parts[sealed/rekeyPart] {
					if err := tx.SwapBytes(t, s.column, s.keys, s.old, s.new); err != nil {
						return err
					}
				}
			}
			now, end := *change, after
			if sealed > 0 {
				end = rows[sealed-1][:t.Key]
			}
			var err error
			if now.progress, err = t.sealedAfter(end, full || sealed < len(rows)); err != nil {
				return err
			}
			text, err := json.Marshal(now)
			if err != nil {
				return err
			}
			return tx.SetSetting(rekeySetting, text)
		})
		if err != nil {
			return err
		}
		if sealed > 0 {
			after = rows[sealed-1][:t.Key]
		}
		done += int64(sealed)
		tell(RekeyProgress{Table: t.Name, Rows: done, Of: max(all, done)})
		if !full && sealed == len(rows) {
			return nil
		}
		took := max(time.Since(begin), time.Millisecond)
		size = int(min(max(int64(sealed)*int64(rekeyTime)/int64(took), rekeyPart), int64(size)*2, rekeyMost))
	}
}

// A swap is what becomes of the values of a column in some rows.
type swap struct {
	column   string
	keys     []Row
	old, new [][]byte
}

func (s *swap) add(key Row, old, new []byte) {
	s.keys, s.old, s.new = append(s.keys, key), append(s.old, old), append(s.new, new)
}

// swapsOf seals anew what in rows is not under the key to, and makes the tags anew that
// follow from it; part by part.
func (o *Operator) swapsOf(t *Table, rows []Row, to KeyID) (parts [][]swap, err error) {
	for part := range slices.Chunk(rows, rekeyPart) {
		swaps, err := o.swapsOfPart(t, part, to)
		if err != nil {
			return nil, err
		}
		parts = append(parts, swaps)
	}
	return parts, nil
}

func (o *Operator) swapsOfPart(t *Table, rows []Row, to KeyID) ([]swap, error) {
	values, tags := swap{column: cmp.Or(t.sealed, columnKeyCheck.name)}, swap{column: "tag"}
	for _, r := range rows {
		c, row, sealed := t.secretOf(r)
		if len(sealed) == 0 {
			continue
		}
		if id, said := sealed.idOf(); said && id == to {
			continue
		}
		plain, err := o.vault.open(c, row, sealed)
		if err != nil {
			return nil, err
		}
		anew, err := o.vault.seal(c, row, plain)
		if err != nil {
			return nil, err
		}
		values.add(r[:t.Key], sealed, anew)
		if c == columnPSK1 {
			tag := o.vault.psk1Tag(plain)
			tags.add(r[:t.Key], t.column(r, "tag").([]byte), tag[:])
		}
		clear(plain)
	}
	var swaps []swap
	for _, s := range []swap{values, tags} {
		if len(s.keys) > 0 {
			swaps = append(swaps, s)
		}
	}
	return swaps, nil
}

// sealedAfter is what is recorded after a batch: the key to go on from, or the next table
// with secrets.
func (t *Table) sealedAfter(key Row, more bool) (progress, error) {
	if more {
		text, err := json.Marshal(key)
		return progress{t.Name, text}, err
	}
	at := slices.Index(Tables, t)
	for _, next := range Tables[at+1:] {
		if next.hasSecrets() {
			return progress{Table: next.Name}, nil
		}
	}
	return progress{Table: allCopied}, nil
}

// verifyRekey opens every sealed value and counts those that are under another key than
// to.
func (o *Operator) verifyRekey(ctx context.Context, to KeyID, tell func(RekeyProgress)) (opened, left int, err error) {
	opened, err = eachSealed(ctx, o.store, o.vault, func(sealed Sealed, err error) error {
		if id, said := sealed.idOf(); !said || !bytes.Equal(id[:], to[:]) {
			left++
		}
		return err
	})
	tell(RekeyProgress{Opened: opened})
	return opened, left, err
}
