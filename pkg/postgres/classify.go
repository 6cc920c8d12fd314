package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"eventshop.example/pkg/errs"
)

// Classify gives a database error its kind and keeps its text and its chain. It is the one
// place that decides whether a refusal is about the record (or request) in hand or about the
// environment around it; Transient means the environment.
//
// An error that has a kind already is returned as it is, and so is one that Classify knows
// nothing about (errs.Internal). pgx.ErrNoRows is not mapped: whether a missing row is
// NotFound or a bug, only the query's author knows. The kind is derived (errs.Derived): at
// an edge that knows its input to be good, it is not the caller's fault.
//
//   - Transient: no connection, a broken one, a refusal while connecting whatever its
//     SQLSTATE, and the states that [environment] lists
//   - Conflict: unique and exclusion violations, foreign keys
//   - Invalid: check and not-null violations, class 22 (value out of range, NUL in text)
//   - Internal: everything else
//
// What is not Transient may still be the environment's doing: see [InDoubt].
func Classify(err error) error {
	if err == nil || errs.KindOf(err) != errs.Internal {
		return err
	}
	if kind := kindOf(err); kind != errs.Internal {
		return errs.Derive(kind, err)
	}
	return err
}

// State returns the SQLSTATE in err's chain, "" without one. Callers that act on one state
// ("the key is taken") ask for it here; what the state means for a record is Classify's.
func State(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

func kindOf(err error) errs.Kind {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		// No statement was sent, so no record can be why: no such host, role or database, a
		// login that is not allowed, a wrong password, TLS refused, too many connections.
		return errs.Transient
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return kindOfState(pg)
	}
	if errors.Is(err, context.Canceled) {
		return errs.Internal // the caller ended it; nothing is wrong with the database
	}
	var network net.Error
	switch {
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), // of goose's connections
		errors.As(err, &network), pgconn.Timeout(err), pgconn.SafeToRetry(err),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return errs.Transient
	case strings.Contains(err.Error(), "conn closed"):
		// pgx has no exported value for a connection it found closed.
		return errs.Transient
	}
	return errs.Internal
}

func kindOfState(pg *pgconn.PgError) errs.Kind {
	switch {
	case environment(pg):
		return errs.Transient
	case pg.Code == "23505", pg.Code == "23P01", pg.Code == "23503":
		return errs.Conflict
	case pg.Code == "23514", pg.Code == "23502", strings.HasPrefix(pg.Code, "22"):
		return errs.Invalid
	}
	return errs.Internal
}

// environment reports whether a SQLSTATE is surely about the server and not about a record:
// it goes away by itself, or when an operator mends the server, and the same record can
// succeed then.
//
//   - 08, 57: the connection, or the server's operator, ended it (shutdown, starting up,
//     statement timeout, database dropped); 08P01 is also how PgBouncer refuses
//   - 40: rolled back because of other transactions (serialization failure, deadlock)
//   - 53, 58, F0, XX001, XX002: disk full, out of memory, too many connections, I/O, a
//     broken configuration, corrupted data
//   - 55: an object in use, a lock not had in time, a table that is no table for the moment
//   - 28, 3D, 3F, 0P: the role may not log in, its password is wrong (it may be in rotation),
//     the database, the schema or the role is not there
//   - 42 but 42601: the statement is refused before it sees a value: a table, column,
//     function or constraint is missing or has another type (a migration half done, or a
//     newer release's), or a grant is missing. Values are parameters, so that no record can
//     be the cause. 42601 is a syntax error, hence a bug
//   - 25006, 25P01, 25P03, 25P04: a server that has become a standby or was made
//     read-only; a transaction that ran too long, or that a pooler gave to another server.
//     Not 25P02, which follows an error that its caller swallowed
//   - 26, 34, 3B: a prepared statement, a cursor or a savepoint is not there; a pooler
//     changed the server. 42P05 is its mirror: a prepared statement is there already
//   - 0A000 for a plan outlived by a migration; pgx drops it, and the next try prepares anew
//   - 2200H: a sequence is at its end
//   - 72000: the snapshot is too old
func environment(pg *pgconn.PgError) bool {
	switch pg.Code {
	case "42601":
		return false
	case "25006", "25P01", "25P03", "25P04", "2200H", "72000", "XX001", "XX002":
		return true
	case "0A000":
		return strings.Contains(pg.Message, "cached plan")
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", "57", "40", "53", "58", "F0", "55", "28", "3D", "3F", "0P", "42", "26", "34", "3B":
		return true
	}
	return false
}
