package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connections    = 16 // of one server, unless the URL says otherwise
	connectTimeout = 5 * time.Second
)

// Config says where the database is.
type Config struct {
	// URL is postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full&…, with the
	// parameters of libpq, several hosts included, and pool_max_conns. It has no
	// password: that is in PasswordFile, or in the file that libpq looks into
	// (PGPASSFILE, ~/.pgpass).
	URL string

	// Password reads the password, for each new connection; nil for none.
	Password func() (string, error)

	Log *slog.Logger
}

// Redacted is the URL without its parameters, for people to read.
func (c Config) Redacted() string {
	text, _, _ := strings.Cut(c.URL, "?")
	user, host, found := cutUser(text)
	if !found {
		return text
	}
	user, _, _ = strings.Cut(user, ":")
	return "postgres://" + user + "@" + host
}

// cutUser takes the user and what may be a password out of a URL without parameters.
// Several hosts with ports are no URL to package url.
func cutUser(text string) (user, rest string, found bool) {
	_, text, _ = strings.Cut(text, "://")
	at := strings.LastIndex(text, "@")
	if at < 0 {
		return "", text, false
	}
	return text[:at], text[at+1:], true
}

var errPassword = errors.New("there is a password in the database's URL, where every process of this machine can read it: put it into a file, and name that by --store-password-file or in PGPASSFILE")

// IsURL reports whether a text is the URL of such a database.
func IsURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// Check says what is wrong with the configuration, if anything is.
func (c Config) Check() error {
	_, err := c.parse()
	return err
}

// parse checks the configuration. Its errors show no password.
func (c Config) parse() (*pgxpool.Config, error) {
	if !IsURL(c.URL) {
		return nil, errors.New("a database is postgres://USER@HOST/DATABASE")
	}
	text, query, _ := strings.Cut(c.URL, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the database's URL: what follows ? cannot be read")
	}
	if user, _, _ := cutUser(text); strings.Contains(user, ":") || params.Has("password") {
		return nil, errPassword
	}
	pc, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("the database's URL: %w", err)
	}
	if params.Get("pool_max_conns") == "" {
		pc.MaxConns = connections
	}
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = connectTimeout
	}
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "cpns-server"
	}
	if hasSeveralHosts(pc.ConnConfig) && !params.Has("target_session_attrs") {
		pc.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if c.Password != nil {
		pc.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) (err error) {
			cc.Password, err = c.Password()
			return err
		}
	}
	pc.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		// A scan of a whole table would conflict with every write to it, so that
		// small tables need their indexes too. And there is one good plan for each
		// statement, whatever its values: making it takes longer than what it does.
		// Where there is no such setting, nothing is lost.
		for _, setting := range []string{"enable_seqscan = off", "enable_bitmapscan = off", "plan_cache_mode = force_generic_plan"} {
			if _, err := conn.Exec(ctx, "SET "+setting); err != nil && conn.IsClosed() {
				return err
			}
		}
		return nil
	}
	return pc, nil
}

// hasSeveralHosts reports whether there are more servers than one to connect to: for each
// there may be two ways, with TLS and without.
func hasSeveralHosts(c *pgx.ConnConfig) bool {
	for _, f := range c.Fallbacks {
		if f.Host != c.Host || f.Port != c.Port {
			return true
		}
	}
	return false
}
