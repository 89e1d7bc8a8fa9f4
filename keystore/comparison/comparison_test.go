// Package comparison measures a Put of package keystore beside what else a gateway could keep its records in:
// bbolt, SQLite, and a bare write, fsync, rename, fsync without sealing. It stands apart so that the tests of
// keystore do not link the databases.
//
//	go test -run XXX -bench . ./keystore/comparison                    on the file system of the temporary folder
//	go test -run XXX -bench . ./keystore/comparison -dir /mnt/loop     on another, to count its device's bytes alone
package comparison

import (
	"bytes"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver"
	"go.etcd.io/bbolt"

	"cpns.example.net/pngw/keystore"
)

var only = flag.String("only", "", "contenders to measure beside the bare write, separated by commas; all unless given")

var benchDir = flag.String("dir", "", "folder to write to, the temporary one unless given")

const (
	valueSize = 93 // bytes, as a PNE's record has
	records   = 100
)

// A contender stores a value durably under a name.
type contender struct {
	name string
	open func(b *testing.B, dir string) func(name string, value []byte) error
}

// The first is what the others are measured by.
var contenders = []contender{
	{"bare", openBare},
	{"keystore", openKeystore},
	{"bbolt", openBolt},
	{"sqlite", func(b *testing.B, dir string) func(string, []byte) error { return openSQLite(b, dir, "delete") }},
	{"sqlite-wal", func(b *testing.B, dir string) func(string, []byte) error { return openSQLite(b, dir, "wal") }},
}

// chosen are the contenders that are asked for.
func chosen() []contender {
	if *only == "" {
		return contenders
	}
	chosen := contenders[:1:1]
	for _, c := range contenders[1:] {
		if slices.Contains(strings.Split(*only, ","), c.name) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// BenchmarkPut lets all contenders take turns, so that they share whatever else the machine does, and reports
// each one's time and bytes as multiples of the bare write's. write_bytes is the kernel's count of the pages
// that the process dirtied; device bytes include the journal, and everybody else's if the device is shared.
func BenchmarkPut(b *testing.B) {
	type sum struct {
		put              func(string, []byte) error
		time             time.Duration
		written, devices int64
	}
	contenders := chosen()
	sums := make([]sum, len(contenders))
	for i, c := range contenders {
		dir := *benchDir
		if dir == "" {
			dir = b.TempDir()
		}
		dir = filepath.Join(dir, c.name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		sums[i].put = c.open(b, dir)
		for r := range records {
			if err := sums[i].put(fmt.Sprint("pne-", r), make([]byte, valueSize)); err != nil {
				b.Fatal(err)
			}
		}
	}
	rounds := 0
	for b.Loop() {
		name, value := fmt.Sprint("pne-", rounds*37%records), bytes.Repeat([]byte{byte(rounds)}, valueSize)
		rounds++
		for i := range sums {
			s := &sums[i]
			written, device := processWritten(b), deviceWritten(b)
			start := time.Now()
			if err := s.put(name, value); err != nil {
				b.Fatal(err)
			}
			s.time += time.Since(start)
			s.written += processWritten(b) - written
			s.devices += deviceWritten(b) - device
		}
	}
	bare := sums[0]
	for i, s := range sums {
		n := int64(rounds)
		b.Logf("%-10s %8.0f µs a Put, %4.1fx   %6d write_bytes, %4.1fx   %6d device bytes", contenders[i].name,
			float64(s.time.Microseconds())/float64(n), float64(s.time)/float64(bare.time),
			s.written/n, float64(s.written)/float64(bare.written), s.devices/n)
		b.ReportMetric(float64(s.time)/float64(bare.time), contenders[i].name+"-time-x")
		b.ReportMetric(float64(s.written)/float64(bare.written), contenders[i].name+"-bytes-x")
	}
}

func openBare(_ *testing.B, dir string) func(string, []byte) error {
	return func(name string, value []byte) error {
		temp := filepath.Join(dir, name+".tmp")
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if _, err := f.Write(value); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		if err := os.Rename(temp, filepath.Join(dir, name)); err != nil {
			return err
		}
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer d.Close()
		return d.Sync()
	}
}

func openKeystore(b *testing.B, dir string) func(string, []byte) error {
	secret := keystore.Secret{1}
	if err := keystore.Create(dir, &secret); err != nil {
		b.Fatal(err)
	}
	s, err := keystore.Open(dir, &secret)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s.Put
}

func openBolt(b *testing.B, dir string) func(string, []byte) error {
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return func(name string, value []byte) error {
		return db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("records"))
			if err != nil {
				return err
			}
			return bucket.Put([]byte(name), value)
		})
	}
}

func openSQLite(b *testing.B, dir, journal string) func(string, []byte) error {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "db")+"?_pragma=journal_mode("+journal+")&_pragma=synchronous(full)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { db.Close() })
	if _, err := db.Exec("CREATE TABLE records (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"); err != nil {
		b.Fatal(err)
	}
	put, err := db.Prepare("INSERT OR REPLACE INTO records VALUES (?, ?)")
	if err != nil {
		b.Fatal(err)
	}
	return func(name string, value []byte) error {
		_, err := put.Exec(name, value)
		return err
	}
}

// writers is how many put at once in BenchmarkPutAtOnce.
const writers = 16

// BenchmarkPutAtOnce lets sixteen put at once, each contender in its turn, and reports
// the time of a Put as a multiple of the bare write's.
func BenchmarkPutAtOnce(b *testing.B) {
	contenders := chosen()
	puts := make([]func(string, []byte) error, len(contenders))
	spent := make([]time.Duration, len(contenders))
	for i, c := range contenders {
		dir := *benchDir
		if dir == "" {
			dir = b.TempDir()
		}
		dir = filepath.Join(dir, c.name+"-at-once")
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		puts[i] = c.open(b, dir)
	}
	rounds := 0
	for b.Loop() {
		rounds++
		for i, put := range puts {
			start := time.Now()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for n := range 4 {
						if err := put(fmt.Sprint("pne-", w, "-", n), make([]byte, valueSize)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			spent[i] += time.Since(start)
		}
	}
	for i, d := range spent {
		b.Logf("%-10s %8.0f µs a Put, %5.2fx", contenders[i].name, float64(d.Microseconds())/float64(rounds*writers*4), float64(d)/float64(spent[0]))
		b.ReportMetric(float64(d)/float64(spent[0]), contenders[i].name+"-time-x")
	}
}

// processWritten returns how many bytes this process has caused to be written to storage.
func processWritten(b *testing.B) (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	if _, err := fmt.Sscan(after, &n); err != nil {
		b.Fatal(err)
	}
	return n
}

// deviceWritten returns how many bytes were written to the device of the folder, 0 where it has none.
func deviceWritten(b *testing.B) int64 {
	dir := *benchDir
	if dir == "" {
		dir = os.TempDir()
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		b.Fatal(err)
	}
	device := uint64(st.Dev)
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", device>>8&0xfff, device&0xff))
	if err != nil {
		return 0
	}
	var sectors int64
	fields := strings.Fields(string(text))
	if _, err := fmt.Sscan(fields[6], &sectors); err != nil {
		b.Fatal(err)
	}
	return sectors * 512
}
