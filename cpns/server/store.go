package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Store keeps what the CPNS Server knows. Package storetest has the suite that
// every implementation passes; package sqlite is the one used by default, package
// postgres that of several servers.
//
// Secrets arrive sealed (type Sealed) and are kept as they are: a store never
// sees a key. Times are kept to the millisecond at least and come back in UTC.
type Store interface {
	// View runs f on one consistent state of the store. A write in f fails.
	View(ctx context.Context, f func(Tx) error) error

	// Update runs f as one transaction, as if no other Update ran at the same
	// time. All that f wrote is durable once Update has returned nil; none of
	// it was written when it returns an error, whether f's own or another. An
	// implementation may run f again after a conflict, so f must have no
	// effect but through its Tx and variables that it sets afresh.
	Update(ctx context.Context, f func(Tx) error) error

	// Assign answers one request of a gateway, of which many come at the same time: it
	// finds what q asks for, has decide say what follows, and writes that, as Find,
	// Write and decide would within an Update, but that it promises no more than
	// such requests need: that of two that change the same PNE, add a failure or a claim
	// of the same user at the same gateway, or an assignment under the same
	// RAND_PNGW, the second is decided on as if after the first; and that nobody owns a
	// PNE who was removed. decide may run again, and in another goroutine, but not
	// once Assign has returned; where it fails, nothing is written. What it decides
	// follows from its Findings and the Inquiry alone.
	Assign(ctx context.Context, q *Inquiry, decide func(*Findings) (*Outcome, error)) error

	// Tidy runs f as Update does, for work that only removes what nobody needs any
	// more: where another process of the store tidies at the moment, f does not run,
	// and where others write what it looks at, it does not see that.
	Tidy(ctx context.Context, f func(Tx) error) error

	// Close ends the use of the store, after the transactions still running.
	Close() error
}

// Tx is what can be done within a transaction. It is valid until the function
// that got it returns, and not safe for concurrent use.
//
// A listing is read in pages, each in a transaction of its own: whoever reads it
// slowly holds nothing. A page begins after the key that it is given, "" or 0 for
// the first, and ends after limit rows.
//
// Reading, changing or removing what is not there fails with ErrNotFound,
// adding what is there already with ErrExists; neither ends the transaction.
type Tx interface {
	Settings
	Users
	Credentials
	Answers
	Gateways
	PSK1s
	Enrolments
	Invitations
	PNEs
	Assignments
	Claims
	Failures
	Events
	Seals
	Replicas
	Bulk
}

// What a Tx answers about rows; the standard library's, so that callers need
// not know this package.
var (
	ErrNotFound = fs.ErrNotExist
	ErrExists   = fs.ErrExist
)

// ErrUnavailable says that the store could not be reached, or could not be written
// to: the same again may succeed later. An Update that fails with it may have been
// committed all the same, where the store went away while it answered.
var ErrUnavailable = errors.New("the store is not available")

// A SchemaError says that the store was made by a newer program.
type SchemaError struct{ Database, Program int }

func (e *SchemaError) Error() string {
	return fmt.Sprintf("the database has schema version %d, this program knows %d: use a newer program", e.Database, e.Program)
}

// A Clock is a store that has a clock of its own, by which all servers on it go.
type Clock interface{ Now() time.Time }

// clockOf is the clock of a store, or this machine's.
func clockOf(s Store) func() time.Time {
	if c, ok := s.(Clock); ok {
		return c.Now
	}
	return time.Now
}

// Sealed is a value under the server's master key: version, nonce, ciphertext.
// See vault.
type Sealed []byte

// Settings are single values of the server itself.
type Settings interface {
	Setting(name string) ([]byte, error)
	AddSetting(name string, value []byte) error
	SetSetting(name string, value []byte) error // adds or replaces
	RemoveSetting(name string) error
}

// A User is a CPNS User who may ask for EUKeys.
type User struct {
	ID           cpns.UserID
	PasswordHash Sealed // PasswordHashes, 64 bytes
	Created      time.Time
	Disabled     bool      // by the operator: is answered as one who is not known
	Seen         time.Time // last successful request, to the minute; zero for never
}

// Users are the CPNS Users, by ID.
type Users interface {
	User(cpns.UserID) (User, error)
	AddUser(User) error
	SetPasswordHash(cpns.UserID, Sealed) error
	SetUserDisabled(cpns.UserID, bool) error
	SetUserSeen(cpns.UserID, time.Time) error
	RemoveUser(cpns.UserID) error
	UsersAfter(id cpns.UserID, limit int) ([]User, error) // in the order of their IDs
}

// A Gateway is a PN GW that the server knows.
type Gateway struct {
	ID         cpns.GatewayID
	Key        cpns.SPKIHash // of the key pair that it shows in TLS, zero for none; no two gateways have the same
	IMPI       string        // of its SIM, "" for none; no two gateways have the same
	Invitation string        // that approved it, "" for none
	Fetched    bool          // it has had a PSK1 under Key
	Model      string        // what the board says of itself
	Serial     string
	Created    time.Time
	Seen       time.Time // when it last proved to be there, to the minute; zero for never
}

// Gateways are the PN GWs, by ID and by their key.
type Gateways interface {
	Gateway(cpns.GatewayID) (Gateway, error)
	GatewayByKey(cpns.SPKIHash) (Gateway, error)
	// GatewayByKeys is one whose key is from the first to the last of two.
	GatewayByKeys(first, last cpns.SPKIHash) (Gateway, error)
	GatewayByIMPI(string) (Gateway, error)
	// GatewaysBySerial are those whose board says that serial number, at most limit.
	GatewaysBySerial(serial string, limit int) ([]Gateway, error)
	AddGateway(Gateway) error
	// SetGateway replaces all that is known of a gateway but its ID and Created. It
	// fails with ErrExists where another gateway has the key.
	SetGateway(Gateway) error
	SetSeen(cpns.GatewayID, time.Time) error
	RemoveGateway(cpns.GatewayID) error                            // with its PSK1s
	GatewaysAfter(id cpns.GatewayID, limit int) ([]Gateway, error) // in the order of their IDs
}

// A Source is a mechanism of step 0.
type Source string

// Where a PSK1 comes from.
const (
	SourceFile Source = "file"
	SourceTLS  Source = "tls"
	SourceGBA  Source = "gba"
)

// A PSK1 is one that a gateway shares with the server.
type PSK1 struct {
	Identity cpns.PSKIdentity // no two have the same
	Gateway  cpns.GatewayID
	Source   Source
	Key      Sealed // 16 to 64 bytes
	Tag      Tag    // of the key; no two have the same
	Created  time.Time
	Used     time.Time // when a request first opened under it, zero for not yet
	Ends     time.Time // zero for never
}

// PSK1s are the PSK1s, by identity and by gateway.
type PSK1s interface {
	PSK1(cpns.PSKIdentity) (PSK1, error)
	PSK1ByTag(Tag) (PSK1, error)
	PSK1sOf(cpns.GatewayID) ([]PSK1, error) // the newest first
	// AddPSK1 fails with ErrNotFound where there is no such gateway.
	AddPSK1(PSK1) error
	SetPSK1Times(id cpns.PSKIdentity, used, ends time.Time) error
	RemovePSK1(cpns.PSKIdentity) error
	PrunePSK1s(endedBefore time.Time) error
}

// A PNE is a device whose Temporary Key the server has.
type PNE struct {
	Entity  cpns.EntityID
	TK      Sealed      // 16 to 64 bytes
	Owner   cpns.UserID // who was assigned its EUKeys, "" while it is nobody's
	Epoch   cpns.Epoch  // of the newest assignment, 0 before the first; only grows
	Created time.Time

	Gateway  cpns.GatewayID // that the newest assignment went to, "" before the first
	Assigned time.Time      // when it was made, zero before the first
}

// A PNEState says how far a PNE has come.
type PNEState string

// The states of a PNE.
const (
	PNEFree     PNEState = "free"     // nobody owns it
	PNEOwned    PNEState = "owned"    // it has an owner, and that one was assigned no EUKeys
	PNEAssigned PNEState = "assigned" // it has an owner, who was assigned EUKeys
)

// State is that of a PNE.
func (p *PNE) State() PNEState {
	switch {
	case p.Owner == "":
		return PNEFree
	case p.Assigned.IsZero():
		return PNEOwned
	}
	return PNEAssigned
}

// A PNEFilter says which PNEs are wanted: those that have all that is not empty.
type PNEFilter struct {
	Owner   cpns.UserID
	Gateway cpns.GatewayID
	State   PNEState
	Prefix  string // of the Entity ID
}

// PNEs are the devices, by Entity ID.
type PNEs interface {
	PNE(cpns.EntityID) (PNE, error)
	// AddPNE adds a PNE. One that was removed before goes on from its last
	// epoch: the one in its argument is for a PNE that is new.
	AddPNE(PNE) error
	SetTK(cpns.EntityID, Sealed) error
	// RemovePNE removes a PNE: TK, owner and the keys of its assignments. Only
	// its last epoch stays, so that no epoch is ever given out twice, and the
	// random numbers of its assignments.
	RemovePNE(cpns.EntityID) error
	// SetOwner replaces all that is known of a PNE but its TK and Created: who owns
	// it, and what its newest assignment was.
	SetOwner(PNE) error
	// PNEsAmong are those of a list that there are, in no order.
	PNEsAmong([]cpns.EntityID) ([]PNE, error)
	// AddPNEs adds each of a list, in which none is twice, as AddPNE does, and gives those
	// that it has not added, for they are there.
	AddPNEs([]PNE) ([]cpns.EntityID, error)
	// PNEsAfter are those that a filter wants, in the order of their Entity IDs.
	PNEsAfter(f PNEFilter, e cpns.EntityID, limit int) ([]PNE, error)
	CountPNEsOf(cpns.UserID) (int, error)
}

// An Assignment is one EUKey set that the server generated: the record of step
// 5, and the one that makes a repeated request get the same set. The set itself
// follows from RandSVR, RandPNGW and Length.
type Assignment struct {
	Entity      cpns.EntityID
	Epoch       cpns.Epoch
	User        cpns.UserID
	Gateway     cpns.GatewayID
	RandPNGW    [cpns.RandSize]byte // no two assignments have the same
	RandSVR     Sealed              // 32 bytes; empty once the PNE was released
	Length      int                 // EUKeys in the set
	RequestTag  Tag                 // of the request that this answered
	RequestTime time.Time           // that the gateway wrote into the request, in seconds
	Created     time.Time
}

// Assignments are the EUKey sets, by Entity ID and epoch and by RAND_PNGW.
type Assignments interface {
	AssignmentByRandom(*[cpns.RandSize]byte) (Assignment, error)
	AddAssignment(Assignment) error
	// EraseKeys empties RandSVR of all assignments of a PNE.
	EraseKeys(cpns.EntityID) error
	// PruneAssignments removes those of a PNE's past epochs that were requested
	// before a time. It may leave some to the next calls, but removes more than
	// one where there are more.
	PruneAssignments(e cpns.EntityID, before time.Time) error
}

// A Claim is the first assignment of a PNE that nobody owned.
type Claim struct {
	Entity  cpns.EntityID
	User    cpns.UserID
	Gateway cpns.GatewayID
	Time    time.Time
}

// Claims are those of the last while.
type Claims interface {
	// ClaimsAt gives at most limit times at which the user claimed a PNE through
	// the gateway, after since and not after until, the newest first.
	ClaimsAt(u cpns.UserID, g cpns.GatewayID, since, until time.Time, limit int) ([]time.Time, error)
	AddClaim(Claim) error
	PruneClaims(before time.Time) error
}

// A Failure is one refused user authentication.
type Failure struct {
	User       cpns.UserID // as claimed, known or not
	Gateway    cpns.GatewayID
	RequestTag Tag
	Time       time.Time
}

// FailedAt is a user and a gateway.
type FailedAt struct {
	User    cpns.UserID
	Gateway cpns.GatewayID
}

// Failures are the refused user authentications of the last while.
type Failures interface {
	// FailuresAt gives at most limit times at which the user failed at the
	// gateway, after since and not after until, the newest first.
	FailuresAt(u cpns.UserID, g cpns.GatewayID, since, until time.Time, limit int) ([]time.Time, error)
	// CountFailures counts those of the user at all gateways, after since and
	// not after until, up to limit.
	CountFailures(u cpns.UserID, since, until time.Time, limit int) (int, error)
	// AddFailure fails with ErrExists where the user failed at the gateway
	// with the same request before.
	AddFailure(Failure) error
	// FailedAt are the users from the first to the last one who failed after since and
	// not after until, each with every gateway at which that was, in the order of both;
	// at most limit.
	FailedAt(first, last cpns.UserID, since, until time.Time, limit int) ([]FailedAt, error)
	// HasFailed says whether AddFailure would fail with ErrExists.
	HasFailed(u cpns.UserID, g cpns.GatewayID, request Tag) (bool, error)
	RemoveFailures(cpns.UserID) error
	PruneFailures(before time.Time) error
}

// Events are the audit log, in the order in which they were added.
type Events interface {
	AddEvent(Event) error // gives it the next Seq
	// EventsAfter are those after the one of the number seq, from since on.
	EventsAfter(seq int64, since time.Time, limit int) ([]Event, error)
	// EventsAt are those of some numbers, as many as there are, in their order.
	EventsAt(seqs []int64) ([]Event, error)
	RemoveEvents(seqs []int64) error
}

// Seals are those of the audit log, by their numbers.
type Seals interface {
	// LastSeal fails with ErrNotFound where there is none.
	LastSeal() (Seal, error)
	SealsAfter(number int64, limit int) ([]Seal, error)
	AddSeal(Seal) error
	RemoveSeal(number int64) error
}

// A Replica is a server that answers from the store.
type Replica struct {
	ID   string
	Name string // for people
	Seen time.Time
	Keys []KeyID // master keys that it knows
}

// Replicas are the servers that answer from the store.
type Replicas interface {
	// SetReplica records that a server was there; it adds or replaces.
	SetReplica(Replica) error
	RemoveReplica(id string) error
	// ReplicasSince are those that were there at a time or later, in the order of their IDs.
	ReplicasSince(time.Time) ([]Replica, error)
	// CountReplicas counts those that were there at a time or later.
	CountReplicas(since time.Time) (int, error)
	PruneReplicas(before time.Time) error
}
