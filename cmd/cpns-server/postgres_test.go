package main

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
)

// databaseKey is where a script's environment has its PostgreSQL.
type databaseKey struct{}

// The scripts in testdata/postgres work on a real PostgreSQL: $STORE is an empty
// database, $MISSING one that is not there. Beside the commands of TestScripts:
//
//	database stop|start     the server
//	psql STATEMENT          as the database's administrator
//	sealed                  waits until all of the audit log is sealed
func TestPostgresScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/postgres",
		Setup: func(env *testscript.Env) error {
			db := pgtest.Start(t, pgtest.Fast) // of each script: one stops it
			env.Values[databaseKey{}] = db
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("STORE", db.NewDatabase())
			env.Setenv("MISSING", db.URL("missing"))
			env.Setenv("TODAY", day(time.Now()))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serving": serving, "administered": administered, "until": until, "assign": assign,
			"database": func(ts *testscript.TestScript, neg bool, args []string) {
				db := ts.Value(databaseKey{}).(*pgtest.Server)
				if len(args) == 1 && args[0] == "stop" {
					db.Stop()
				} else {
					db.Run()
				}
			},
			"psql": func(ts *testscript.TestScript, neg bool, args []string) {
				query(ts, args[0])
			},
			"sealed": func(ts *testscript.TestScript, neg bool, args []string) {
				await(ts, "sealed", func() bool {
					return query(ts, "SELECT 1 FROM seals HAVING max(total) = (SELECT count(*) FROM events)") == 1
				})
			},
		},
	})
}

// query runs a statement as the administrator of the script's database, and says how
// many rows it gave or changed.
func query(ts *testscript.TestScript, sql string) int64 {
	conn, err := pgx.Connect(context.Background(), ts.Getenv("STORE"))
	ts.Check(err)
	defer conn.Close(context.Background())
	results, err := conn.PgConn().Exec(context.Background(), sql).ReadAll()
	ts.Check(err)
	return results[len(results)-1].CommandTag.RowsAffected()
}
