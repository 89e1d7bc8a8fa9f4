package cpns

import (
	"errors"
	"fmt"
	"testing"
)

// chain is a set of n keys that begins in a seed of its own.
func chain(n int) []EUKey {
	set := make([]EUKey, n)
	DeriveSet(set, &[32]byte{1, 2, 3})
	return set
}

func TestChain(t *testing.T) {
	for _, n := range []int{2, 3, 64, 1023, 1024} {
		set := chain(n)
		if err := CheckSet(set); err != nil {
			t.Errorf("n = %d: %v", n, err)
		}
		last := set[n-1]
		again := make([]EUKey, n)
		DeriveSetFromLast(again, &last)
		for i := range set {
			if again[i] != set[i] {
				t.Fatalf("n = %d: DeriveSetFromLast: EUKey_%d differs", n, i+1)
			}
			if got := EUKeyAt(&last, Index(n), Index(i+1)); got != set[i] {
				t.Fatalf("EUKeyAt(last, %d, %d) is not EUKey_%d", n, i+1, i+1)
			}
			if i > 0 && (!set[i-1].Precedes(&set[i]) || set[i].Precedes(&set[i-1])) {
				t.Fatalf("n = %d: EUKey_%d must precede EUKey_%d, and not the other way round", n, i, i+1)
			}
		}
	}
}

func TestEUKeyAtPanics(t *testing.T) {
	for _, test := range []struct{ n, k Index }{{8, 0}, {8, 9}, {0, 0}} {
		t.Run(fmt.Sprintf("EUKey_%d of %d", test.k, test.n), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			EUKeyAt(&EUKey{}, test.n, test.k)
		})
	}
}

func TestCheckSetRefuses(t *testing.T) {
	broken := func(at int) []EUKey {
		set := chain(64)
		set[at][31] ^= 1
		return set
	}
	tests := []struct {
		name string
		set  []EUKey
	}{
		{"none", nil},
		{"one", chain(1)},
		{"1025", chain(1025)},
		{"EUKey_1 wrong", broken(0)},
		{"EUKey_32 wrong", broken(31)},
		{"EUKey_64 wrong", broken(63)},
	}
	for _, test := range tests {
		if err := CheckSet(test.set); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got error %v, want ErrMalformed", test.name, err)
		}
	}
}

// A router checks and advances chains all day.
func TestChainDoesNotAllocate(t *testing.T) {
	set := chain(MaxSetLength)
	seed, last := [32]byte{1}, set[MaxSetLength-1]
	tests := []struct {
		name string
		f    func()
	}{
		{"DeriveSet", func() { DeriveSet(set, &seed) }},
		{"DeriveSetFromLast", func() { DeriveSetFromLast(set, &last) }},
		{"EUKeyAt", func() { EUKeyAt(&last, MaxSetLength, 1) }},
		{"Precedes", func() { set[0].Precedes(&set[1]) }},
		{"CheckSet", func() {
			if err := CheckSet(set); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, test := range tests {
		if n := testing.AllocsPerRun(10, test.f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", test.name, n)
		}
	}
}
