package sqlite

import (
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// Credentials.

const credentialColumns = "SELECT id, name, kind, role, hash, created, ends, used FROM credentials "

func scanCredential(r *row) server.Credential {
	return server.Credential{
		ID:      r.text(),
		Name:    r.text(),
		Kind:    server.CredentialKind(r.text()),
		Role:    server.Role(r.text()),
		Hash:    r.blob(),
		Created: r.time(),
		Ends:    r.time(),
		Used:    r.time(),
	}
}

func (t *tx) Credential(id string) (server.Credential, error) {
	return get(t, scanCredential, credentialColumns+"WHERE id = ?", id)
}

func (t *tx) CredentialByName(name string) (server.Credential, error) {
	return get(t, scanCredential, credentialColumns+"WHERE name = ?", name)
}

func (t *tx) AddCredential(c server.Credential) error {
	return t.insert("INSERT INTO credentials (id, name, kind, role, hash, created, ends, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		c.ID, c.Name, string(c.Kind), string(c.Role), []byte(c.Hash), c.Created, c.Ends, c.Used)
}

func (t *tx) SetCredentialUsed(id string, at time.Time) error {
	return t.change("UPDATE credentials SET used = ? WHERE id = ?", at, id)
}

func (t *tx) RemoveCredential(id string) error {
	return t.change("DELETE FROM credentials WHERE id = ?", id)
}

func (t *tx) CredentialsAfter(name string, limit int) ([]server.Credential, error) {
	return list(t, scanCredential, credentialColumns+"WHERE name > ? ORDER BY name LIMIT ?", name, int64(limit))
}

func (t *tx) CountCredentials() (int, error) {
	n, err := get(t, (*row).int, "SELECT count(*) FROM credentials")
	return int(n), err
}

// Answers.

func scanAnswer(r *row) server.Answer {
	return server.Answer{Caller: r.text(), Key: r.text(), Request: r.bytes32(), Answer: r.blob(), Created: r.time()}
}

func (t *tx) Answer(caller, key string) (server.Answer, error) {
	return get(t, scanAnswer, "SELECT caller, key, request_tag, answer, at FROM answers WHERE caller = ? AND key = ?", caller, key)
}

func (t *tx) AddAnswer(a server.Answer) error {
	return t.insert("INSERT INTO answers (caller, key, request_tag, answer, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		a.Caller, a.Key, a.Request[:], []byte(a.Answer), a.Created)
}

func (t *tx) PruneAnswers(before time.Time, keep int) error {
	if _, err := t.exec("DELETE FROM answers WHERE at < ?", before); err != nil {
		return err
	}
	_, err := t.exec("DELETE FROM answers WHERE at <= (SELECT at FROM answers ORDER BY at DESC LIMIT 1 OFFSET ?)", int64(keep))
	return err
}
