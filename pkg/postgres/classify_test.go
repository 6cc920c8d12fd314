package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

func TestKindsOfRealErrors(t *testing.T) {
	t.Parallel()
	pool := newNotes(t)
	if err := insert(t.Context(), pool, "taken"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, sql string
		want      errs.Kind
	}{
		{"unique violation", "INSERT INTO notes VALUES ('taken')", errs.Conflict},
		{"check violation", "INSERT INTO notes VALUES ('')", errs.Invalid},
		{"not null violation", "INSERT INTO notes VALUES (NULL)", errs.Invalid},
		{"number out of range", "SELECT 2147483647 + 1", errs.Invalid},
		{"connection killed by the administrator", "SELECT pg_terminate_backend(pg_backend_pid())", errs.Transient},
		{"statement timeout", "SET LOCAL statement_timeout = 1; SELECT pg_sleep(60)", errs.Transient},
		{"syntax error", "SELEC", errs.Internal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), tc.sql, pgx.QueryExecModeSimpleProtocol)
				return err
			})
			if got := errs.KindOf(err); err == nil || got != tc.want {
				t.Errorf("kind %v of %v, want %v", got, err, tc.want)
			}
		})
	}
}

func TestKindsOfStates(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]errs.Kind{
		"08006": errs.Transient, // connection failure
		"40001": errs.Transient, // serialization failure
		"40P01": errs.Transient, // deadlock
		"53100": errs.Transient, // disk full
		"53300": errs.Transient, // too many connections
		"57P01": errs.Transient, // admin shutdown
		"57P02": errs.Transient, // crash shutdown
		"57P03": errs.Transient, // cannot connect now
		"55P03": errs.Transient, // lock timeout
		"25006": errs.Transient, // read-only: a standby after a failover
		"58030": errs.Transient, // I/O error
		"23503": errs.Conflict,  // foreign key
		"23P01": errs.Conflict,  // exclusion
		"22003": errs.Invalid,   // numeric value out of range
		"28P01": errs.Transient, // wrong password: it may be in rotation
		"08P01": errs.Transient, // PgBouncer's own refusals
		"28000": errs.Transient, // NOLOGIN, or no such role
		"3D000": errs.Transient, // no such database: renamed for a moment
		"3F000": errs.Transient, // no such schema
		"0P000": errs.Transient, // no such role to set
		"42501": errs.Transient, // a grant is missing
		"42P01": errs.Transient, // no such table: half-migrated, or renamed for a moment
		"42703": errs.Transient, // no such column
		"42883": errs.Transient, // no such function
		"42704": errs.Transient, // no such type
		"42P10": errs.Transient, // no such constraint for ON CONFLICT
		"42702": errs.Transient, // ambiguous: a newer release has added a column
		"42804": errs.Transient, // a column has another type
		"428C9": errs.Transient, // a column has become a generated one
		"42P05": errs.Transient, // prepared statement there already: a pooler
		"26000": errs.Transient, // prepared statement gone: a pooler
		"34000": errs.Transient, // cursor gone: a pooler
		"3B001": errs.Transient, // savepoint gone: a pooler
		"25P01": errs.Transient, // transaction gone: a pooler
		"25P03": errs.Transient, // idle in transaction for too long
		"25P04": errs.Transient, // transaction for too long
		"55000": errs.Transient, // not in the state for it: a view in the table's place
		"55006": errs.Transient, // in use
		"2200H": errs.Transient, // a sequence is at its end
		"57P04": errs.Transient, // database dropped
		"58P01": errs.Transient, // file missing
		"XX001": errs.Transient, // corrupted table
		"XX002": errs.Transient, // corrupted index
		"F0000": errs.Transient, // broken configuration file
		"25P02": errs.Internal,  // follows an error that its caller swallowed
		"42601": errs.Internal,  // syntax error
		"54000": errs.Internal,  // in doubt: a key too long, or the wraparound stop
		"54001": errs.Internal,  // in doubt: too complex
		"P0001": errs.Internal,  // in doubt: a trigger
		"XX000": errs.Internal,  // in doubt
		"0A000": errs.Internal,  // in doubt, unless it is a cached plan
		"":      errs.Internal,
	} {
		err := postgres.Classify(fmt.Errorf("do it: %w", &pgconn.PgError{Code: code}))
		if got := errs.KindOf(err); got != want {
			t.Errorf("state %q: kind %v, want %v", code, got, want)
		}
	}
	if err := postgres.Classify(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
	if err := postgres.Classify(pgx.ErrNoRows); errs.KindOf(err) != errs.Internal || !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("a missing row became %v", err)
	}
	given := errs.New(errs.Hopeless, "rule broken: %w", &pgconn.PgError{Code: "40001"})
	if got := errs.KindOf(postgres.Classify(given)); got != errs.Hopeless {
		t.Errorf("a kind that was given became %v", got)
	}
}

// TestInDoubt lists the refusals that need a harmless write to explain them.
func TestInDoubt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"none", nil, false},
		{"too long for an index, or wraparound", &pgconn.PgError{Code: "54000"}, true},
		{"a trigger", &pgconn.PgError{Code: "P0001"}, true},
		{"internal", &pgconn.PgError{Code: "XX000"}, true},
		{"not supported", &pgconn.PgError{Code: "0A000", Message: "cannot"}, true},
		{"cached plan", &pgconn.PgError{Code: "0A000", Message: "cached plan must not change result type"}, false},
		{"check violation", &pgconn.PgError{Code: "23514"}, true},
		{"not null", &pgconn.PgError{Code: "23502"}, true},
		{"out of range", &pgconn.PgError{Code: "22003"}, true},
		{"no such table", &pgconn.PgError{Code: "42P01"}, false},
		{"known to be transient", errs.New(errs.Transient, "probe: %w", &pgconn.PgError{Code: "54000"}), false},
		{"known to be the input", errs.New(errs.Invalid, "name: %w", &pgconn.PgError{Code: "22021"}), true},
		{"not the server's", errors.New("bug"), false},
		{"wrapped", fmt.Errorf("insert: %w", &pgconn.PgError{Code: "54000"}), true},
	} {
		if got := postgres.InDoubt(tc.err); got != tc.want {
			t.Errorf("%s: in doubt %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestRefusalsWhileConnecting: no record can be the cause of a refused connection.
func TestRefusalsWhileConnecting(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	for name, change := range map[string]func(*pgx.ConnConfig){
		"no such role":         func(c *pgx.ConnConfig) { c.User = "nobody" },
		"no such database":     func(c *pgx.ConnConfig) { c.Database = "none" },
		"unknown host":         func(c *pgx.ConnConfig) { c.Host = "no.such.host.invalid" },
		"nothing listens":      func(c *pgx.ConnConfig) { c.Port = 1 },
		"unknown parameter":    func(c *pgx.ConnConfig) { c.RuntimeParams["no_such_parameter"] = "1" },
		"bad setting":          func(c *pgx.ConnConfig) { c.RuntimeParams["lock_timeout"] = "soon" }, // 22023
		"line dies at startup": func(c *pgx.ConnConfig) { c.DialFunc = dead },
	} {
		cfg, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		change(cfg)
		_, err = pgx.ConnectConfig(t.Context(), cfg)
		if err = postgres.Classify(err); errs.KindOf(err) != errs.Transient {
			t.Errorf("%s: kind %v of %v, want Transient", name, errs.KindOf(err), err)
		}
	}
}

func dead(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	far.Close()
	return near, nil
}
