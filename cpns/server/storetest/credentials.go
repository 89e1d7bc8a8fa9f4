package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

func credential(id, name string) server.Credential {
	return server.Credential{
		ID: id, Name: name, Kind: server.KindToken, Role: server.RoleOperator, Hash: server.Sealed("hash of " + id),
		Created: start, Ends: start.Add(time.Hour), Used: time.Time{}.UTC(),
	}
}

func testCredentials(t *testing.T, r Rig) {
	a, b := credential("id-2", "alice b"), credential("id-1", "bob")
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.Credential("id-1")
		wantErr(t, "one that is not there", err, server.ErrNotFound)
		wantErr(t, "using it", tx.SetCredentialUsed("id-1", start), server.ErrNotFound)
		wantErr(t, "removing it", tx.RemoveCredential("id-1"), server.ErrNotFound)
		if err := errors.Join(tx.AddCredential(a), tx.AddCredential(b)); err != nil {
			return err
		}
		wantErr(t, "the same ID", tx.AddCredential(credential("id-1", "carol")), server.ErrExists)
		wantErr(t, "the same name", tx.AddCredential(credential("id-3", "bob")), server.ErrExists)
		return nil
	})
	view(t, r.Store, func(tx server.Tx) error {
		got, err := tx.Credential("id-2")
		want(t, "by ID", got, err, a)
		got, err = tx.CredentialByName("bob")
		want(t, "by name", got, err, b)
		all := collect(t, tx.CredentialsAfter, func(c server.Credential) string { return c.Name })
		want(t, "all", all, nil, []server.Credential{a, b})
		n, err := tx.CountCredentials()
		want(t, "so many", n, err, 2)
		return nil
	})
	b.Used = start.Add(time.Minute)
	update(t, r.Store, func(tx server.Tx) error {
		return errors.Join(tx.SetCredentialUsed("id-1", b.Used), tx.RemoveCredential("id-2"))
	})
	view(t, r.Store, func(tx server.Tx) error {
		want(t, "what is left", collect(t, tx.CredentialsAfter, func(c server.Credential) string { return c.Name }), nil, []server.Credential{b})
		return nil
	})
}

func testAnswers(t *testing.T, r Rig) {
	answer := func(caller, key string, at time.Time) server.Answer {
		return server.Answer{Caller: caller, Key: key, Request: server.Tag{1, 2}, Answer: server.Sealed(caller + key), Created: at}
	}
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.Answer("c", "k")
		wantErr(t, "one that is not there", err, server.ErrNotFound)
		if err := errors.Join(tx.AddAnswer(answer("c", "k", start)), tx.AddAnswer(answer("c2", "k", start))); err != nil {
			return err
		}
		wantErr(t, "the same key of the same caller", tx.AddAnswer(answer("c", "k", start)), server.ErrExists)
		for n := range 5 {
			if err := tx.AddAnswer(answer("later", fmt.Sprint(n), start.Add(time.Duration(n+1)*time.Minute))); err != nil {
				return err
			}
		}
		return nil
	})
	there := func(caller, key string, wanted bool) {
		t.Helper()
		view(t, r.Store, func(tx server.Tx) error {
			if _, err := tx.Answer(caller, key); (err == nil) != wanted {
				t.Errorf("%s %s: %v, wanted there: %v", caller, key, err, wanted)
			}
			return nil
		})
	}
	view(t, r.Store, func(tx server.Tx) error {
		got, err := tx.Answer("c2", "k")
		want(t, "an answer", got, err, answer("c2", "k", start))
		return nil
	})
	update(t, r.Store, func(tx server.Tx) error { return tx.PruneAnswers(start, 100) })
	there("c", "k", true)
	update(t, r.Store, func(tx server.Tx) error { return tx.PruneAnswers(start.Add(time.Second), 100) })
	there("c", "k", false)
	there("c2", "k", false)
	update(t, r.Store, func(tx server.Tx) error { return tx.PruneAnswers(start, 3) })
	there("later", "1", false)
	there("later", "2", true)
	there("later", "4", true)
}
