package cpns

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/crypto/argon2"
)

// H is SHA-256 throughout; | is concatenation of bytes.

// HashPassword is Hash(Password) of CR "EUKey Assignment" 7.4.2.1.1.1 step 3:
//
//	Argon2id(password, salt = H("CPNS User" | 0x00 | CPNS User ID)[0:16], t = 5, m = 7168 KiB, p = 1, 32 bytes)
//
// The salt is the user's name, so that gateway and server come to the same value
// without asking each other. It takes 7 MiB and, on a router, seconds.
func HashPassword(user UserID, password []byte) PasswordHash {
	return PasswordHash(argon2.IDKey(password, PasswordSalt(user),
		argonTime, argonMemory, argonThreads, uint32(len(PasswordHash{}))))
}

// PasswordSalt is the salt of HashPassword, for who computes that elsewhere.
func PasswordSalt(user UserID) []byte {
	salt := sha256.Sum256([]byte(labelUser + "\x00" + string(user)))
	return salt[:argonSalt]
}

// UserAuthenticationData is H(AuthData), 7.4.2.1.1.1 step 3, which gateway and
// server compute alike:
//
//	AuthData = Hash(Password) | RAND_PNGW | Time (8 bytes, big-endian)
//
// unixTime is in seconds since 1970 UTC.
func UserAuthenticationData(h *PasswordHash, randPNGW *[RandSize]byte, unixTime uint64) [32]byte {
	var authData [len(*h) + RandSize + 8]byte
	copy(authData[:], h[:])
	copy(authData[len(h):], randPNGW[:])
	binary.BigEndian.PutUint64(authData[len(h)+RandSize:], unixTime)
	return sha256.Sum256(authData[:])
}

// SeedPNE is H(RAND_SVR | RAND_PNGW), 7.4.2.1.1.2 step 4. The earlier change
// request has the two the other way round; the later one is followed.
func SeedPNE(randSVR, randPNGW *[RandSize]byte) [32]byte {
	return sha256.Sum256(slices.Concat(randSVR[:], randPNGW[:]))
}

// DeriveSet fills set with the EUKeys of a seed, 7.4.2.1.1.2 step 4, EUKey_1
// first; n is len(set), 2 to 1024. It allocates nothing.
//
//	EUKey_n = H(SeedPNE)        EUKey_(k-1) = H(EUKey_k)
func DeriveSet(set []EUKey, seed *[32]byte) {
	last := EUKey(sha256.Sum256(seed[:]))
	DeriveSetFromLast(set, &last)
}

// DeriveSetFromLast fills set with the chain that ends in EUKey_n = last: all of
// a set can be computed from its last key. It allocates nothing.
func DeriveSetFromLast(set []EUKey, last *EUKey) {
	set[len(set)-1] = *last
	for i := len(set) - 2; i >= 0; i-- {
		set[i] = sha256.Sum256(set[i+1][:])
	}
}

// EUKeyAt is EUKey_k of a set of n keys whose EUKey_n is last. It allocates
// nothing. It panics unless 1 <= k <= n: there is no successor to compute, and a
// caller who asks for one has lost count of which keys it gave away.
func EUKeyAt(last *EUKey, n, k Index) EUKey {
	if k < 1 || k > n {
		panic(fmt.Sprintf("cpns: EUKey_%d of a set of %d", k, n))
	}
	key := *last
	for ; n > k; n-- {
		key = sha256.Sum256(key[:])
	}
	return key
}

// CheckSet checks a set as it was received, EUKey_1 first: 2 to 1024 keys, each
// the hash of the next. Its errors wrap [ErrMalformed].
func CheckSet(set []EUKey) error {
	if err := checkSetLength(set); err != nil {
		return malformed(err)
	}
	for i := range len(set) - 1 {
		if !set[i].Precedes(&set[i+1]) {
			return malformed(fmt.Errorf("the set is no chain: EUKey_%d is not H(EUKey_%d)", i+1, i+2))
		}
	}
	return nil
}

func checkSetLength(set []EUKey) error {
	if len(set) < MinSetLength || len(set) > MaxSetLength {
		return fmt.Errorf("a set of %d EUKeys, must be %d to %d", len(set), MinSetLength, MaxSetLength)
	}
	return nil
}

// Precedes reports whether H(next) is k: who holds k knows the true successor by
// that, and nobody who holds only k can make one. It takes constant time.
func (k *EUKey) Precedes(next *EUKey) bool {
	hash := sha256.Sum256(next[:])
	return subtle.ConstantTimeCompare(hash[:], k[:]) == 1
}
