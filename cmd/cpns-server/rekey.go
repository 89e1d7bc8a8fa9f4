package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/durable"
)

// rekeyWait is how long is waited for the servers to have the new key.
const rekeyWait = 10 * time.Minute

var rekeyCommand = command.Command{
	Name: "rekey", Options: "--data DIR [--wait TIME]", Apart: onTheFolder,
	Summary: "change the master key",
	About: `Makes a new master key, seals everything in the database anew under it, also while servers run, opens every sealed value, and then puts the new key in the old one's place: that stays beside it under another name, for backups from before.

A server that runs on this folder takes the new key up by itself, within 10 seconds, and the command waits for that: where there is no other, nothing is to be copied. Several servers on one PostgreSQL, each with a folder of its own, need the new key first: copy master.key.new into the other folders meanwhile, and when the command has ended, give it once in each of them too. Broken off, the same command goes on.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		wait := rekeyWait
		fs.Func("wait", fmt.Sprintf("wait this `TIME` for servers that do not have the new key (%v)", rekeyWait), func(value string) (err error) {
			wait, err = parseDays(value)
			return err
		})
		return func(ctx context.Context, c *command.Console, _ []string) error {
			return inFolder(*data, func(d dataFolder) error { return rekey(ctx, c, *data, d, wait) })
		}
	},
}

func rekey(ctx context.Context, c *command.Console, data place, d dataFolder, wait time.Duration) (err error) {
	key, more, err := d.readMasterKeys()
	if err == nil {
		_, err = d.readNextKey()
	}
	if err != nil {
		return err
	}
	store, err := data.openStore(ctx, nil, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	op, err := server.NewOperator(ctx, store, key, operatorName(), more...)
	if err != nil {
		return data.explainMasterKey(err)
	}
	var next *server.MasterKey
	if len(more) > 0 {
		next = more[0]
	}
	current, former, err := op.MasterKeys(ctx)
	switch {
	case err != nil:
		return err
	case former != nil && *former == next.ID(): // it came here under the old key's name
		key, next = next, key
	case next == nil:
		if next, err = d.makeNextKey(c); err != nil {
			return err
		}
	case next.ID() == key.ID(), current == next.ID() && former == nil:
		// What is left of a change that has ended: here, or at another server.
		return d.takeNextKey(c, key, next)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	told := newRekeyTeller(c, d, data.store != "", wait, cancel)
	defer told.timer.Stop()
	result, err := op.Rekey(ctx, next, told.tell)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if err != nil {
		return fmt.Errorf("changing the master key: %w: give the command again, it goes on where it was", err)
	}
	if !result.Already {
		c.Printf("%d sealed values are under master key %s, and all of them open\n", result.Values, result.To)
	}
	if err := d.takeNextKey(c, key, next); err != nil || data.store == "" {
		return err
	}
	c.Printf("other servers on this database: give the same command once in the data folder of each\n")
	return nil
}

// makeNextKey makes a new master key beside the one that counts.
func (d dataFolder) makeNextKey(c *command.Console) (*server.MasterKey, error) {
	key := new(server.MasterKey)
	rand.Read(key[:])
	if err := writeMasterKey(d.nextKey(), key, durable.WriteNew); err != nil {
		return nil, err
	}
	c.Printf("made %s, master key %s\n", d.nextKey(), key.ID())
	return key, nil
}

// takeNextKey puts the new key into the place of the old one, which stays under another
// name. At any moment the folder has both, or the new one in its place.
func (d dataFolder) takeNextKey(c *command.Console, old, next *server.MasterKey) error {
	if old.ID() != next.ID() {
		if err := writeMasterKey(d.oldKey(old.ID()), old, durable.WriteNew); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := writeMasterKey(d.masterKey(), next, durable.Replace); err != nil {
			return err
		}
	}
	if err := os.Remove(d.nextKey()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.SyncDir(string(d)); err != nil {
		return err
	}
	c.Printf("%s is master key %s: make a copy of it, apart from the backups, and a new backup\n", d.masterKey(), next.ID())
	if old.ID() != next.ID() {
		c.Printf("%s opens backups from before: delete it when none of them counts any more\n", d.oldKey(old.ID()))
	}
	return nil
}

// A rekeyTeller says how far a change of the master key is.
type rekeyTeller struct {
	c      *command.Console
	d      dataFolder
	others bool        // there may be servers with other data folders
	timer  *time.Timer // ends the wait for servers
	said   string
	last   time.Time
}

func newRekeyTeller(c *command.Console, d dataFolder, others bool, wait time.Duration, cancel context.CancelCauseFunc) *rekeyTeller {
	t := &rekeyTeller{c: c, d: d, others: others}
	what := "the server's log says why it cannot read %s: mend that"
	if others {
		what = "copy %s into their data folders"
	}
	t.timer = time.AfterFunc(wait, func() {
		cancel(fmt.Errorf("not all servers have the new master key after %v: "+what+", and give the command again: nothing was changed", wait, d.nextKey()))
	})
	return t
}

func (t *rekeyTeller) tell(p server.RekeyProgress) {
	if p.Waiting != nil {
		var names []string
		for _, r := range p.Waiting {
			names = append(names, r.Name)
		}
		who := strings.Join(names, ", ")
		if t.others {
			t.say(fmt.Sprintf("waiting for the servers on %s: one that runs on this data folder takes the new key up within 10 seconds; copy %s into the folders of the others", who, t.d.nextKey()))
		} else {
			t.say(fmt.Sprintf("waiting for the server on %s, which takes the new key up within 10 seconds", who))
		}
		return
	}
	t.timer.Stop()
	switch {
	case p.Grace > 0:
		t.say(fmt.Sprintf("waiting %v, until the servers that run seal under the new key", p.Grace))
	case p.Table != "" && (p.Rows == p.Of && p.Of > 0 || time.Since(t.last) > 2*time.Second):
		t.last = time.Now()
		t.say(fmt.Sprintf("%s: %d of %d", p.Table, p.Rows, p.Of))
	}
}

func (t *rekeyTeller) say(text string) {
	if text != t.said {
		t.c.Printf("%s\n", text)
	}
	t.said = text
}

// sayMasterKeys says which master key counts.
func sayMasterKeys(ctx context.Context, c *command.Console, op *server.Operator) error {
	current, former, err := op.MasterKeys(ctx)
	if err != nil {
		return err
	}
	c.Printf("master key %s\n", current)
	if former != nil {
		c.Printf("it is being changed, from %s: give cpns-server rekey, until that has ended\n", former)
	}
	return nil
}
