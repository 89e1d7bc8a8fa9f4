package postgres

import (
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// Credentials.

const credentialColumns = "SELECT id, name, kind, role, hash, created, ends, used FROM credentials "

func scanCredential(scan func(...any) error) (c server.Credential, err error) {
	var created, ends, used int64
	err = scan(&c.ID, &c.Name, &c.Kind, &c.Role, (*[]byte)(&c.Hash), &created, &ends, &used)
	c.Created, c.Ends, c.Used = timeOf(created), timeOf(ends), timeOf(used)
	return c, err
}

func (t *tx) Credential(id string) (server.Credential, error) {
	return get(t, scanCredential, credentialColumns+"WHERE id = $1", text(id))
}

func (t *tx) CredentialByName(name string) (server.Credential, error) {
	return get(t, scanCredential, credentialColumns+"WHERE name = $1", text(name))
}

func (t *tx) AddCredential(c server.Credential) error {
	return t.insert("INSERT INTO credentials (id, name, kind, role, hash, created, ends, used) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
		c.ID, text(c.Name), string(c.Kind), string(c.Role), bytea(c.Hash), millis(c.Created), millis(c.Ends), millis(c.Used))
}

func (t *tx) SetCredentialUsed(id string, at time.Time) error {
	return t.change("UPDATE credentials SET used = $1 WHERE id = $2", millis(at), text(id))
}

func (t *tx) RemoveCredential(id string) error {
	return t.change("DELETE FROM credentials WHERE id = $1", text(id))
}

func (t *tx) CredentialsAfter(name string, limit int) ([]server.Credential, error) {
	return list(t, scanCredential, credentialColumns+"WHERE name > $1 ORDER BY name LIMIT $2", text(name), limit)
}

func (t *tx) CountCredentials() (int, error) {
	return get(t, scanOne[int], "SELECT count(*) FROM credentials")
}

// Answers.

func scanAnswer(scan func(...any) error) (a server.Answer, err error) {
	var tag []byte
	var at int64
	err = scan(&a.Caller, &a.Key, &tag, (*[]byte)(&a.Answer), &at)
	a.Request, a.Created = server.Tag(bytes32(tag)), timeOf(at)
	return a, err
}

func (t *tx) Answer(caller, key string) (server.Answer, error) {
	return get(t, scanAnswer, "SELECT caller, key, request_tag, answer, at FROM answers WHERE caller = $1 AND key = $2", text(caller), text(key))
}

func (t *tx) AddAnswer(a server.Answer) error {
	return t.insert("INSERT INTO answers (caller, key, request_tag, answer, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
		a.Caller, text(a.Key), a.Request[:], bytea(a.Answer), millis(a.Created))
}

func (t *tx) PruneAnswers(before time.Time, keep int) error {
	if _, err := t.exec("DELETE FROM answers WHERE at < $1", millis(before)); err != nil {
		return err
	}
	_, err := t.exec("DELETE FROM answers WHERE at <= (SELECT at FROM answers ORDER BY at DESC LIMIT 1 OFFSET $1)", keep)
	return err
}
