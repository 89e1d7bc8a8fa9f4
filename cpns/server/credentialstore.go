package server

import "time"

// A Credential lets its holder do what its role may by the admin API.
type Credential struct {
	ID      string // never given again
	Name    string // that the audit log shows; no two have the same
	Kind    CredentialKind
	Role    Role
	Hash    Sealed // of a token's secret; it also binds the row to the master key
	Created time.Time
	Ends    time.Time
	Used    time.Time // when it was last used, to the minute; zero for never
}

// A CredentialKind is how the holder shows who it is.
type CredentialKind string

// The kinds of credentials.
const (
	KindToken       CredentialKind = "token"       // a secret in each request
	KindCertificate CredentialKind = "certificate" // a client certificate of a trusted CA, with the credential's name as its common name
)

// Credentials are those of the admin API.
type Credentials interface {
	Credential(id string) (Credential, error)
	CredentialByName(string) (Credential, error)
	// AddCredential fails with ErrExists where one has the ID or the name.
	AddCredential(Credential) error
	SetCredentialUsed(id string, at time.Time) error
	RemoveCredential(id string) error
	CredentialsAfter(name string, limit int) ([]Credential, error) // in the order of their names
	CountCredentials() (int, error)
}

// An Answer is the recorded result of a change that was requested under an idempotency
// key: the same request again gets the same answer and changes nothing.
type Answer struct {
	Caller  string // ID of its credential
	Key     string // that the caller chose; no two of a caller's are the same
	Request Tag    // of what was asked for
	Answer  Sealed
	Created time.Time
}

// Answers are those of the last while.
type Answers interface {
	Answer(caller, key string) (Answer, error)
	AddAnswer(Answer) error
	// PruneAnswers removes those from before a time, and the oldest where there are
	// more than keep.
	PruneAnswers(before time.Time, keep int) error
}
