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

// Classify adds the kind to a database error and keeps its text and its chain. It is the only place
// that decides whether a refusal is about the current record (or request) or about the environment;
// Transient means the environment.
//
// Classify returns an error that has a kind already unchanged, and also an error that it does not
// recognise (errs.Internal). It does not map pgx.ErrNoRows: only the query's author knows whether a
// missing row is NotFound or a bug. The kind is derived (errs.Derived): an edge that knows its
// input to be good does not blame the caller.
//
//   - Transient: no connection, a broken one, a refusal while connecting whatever its SQLSTATE, and
//     the states that [environment] lists
//   - Conflict: unique and exclusion violations, foreign keys
//   - Invalid: check and not-null violations, class 22 (value out of range, NUL in text)
//   - Internal: everything else
//
// The environment may also cause an error that is not Transient: see [InDoubt].
func Classify(err error) error {
	if err == nil || errs.KindOf(err) != errs.Internal {
		return err
	}
	if kind := kindOf(err); kind != errs.Internal {
		return errs.Derive(kind, err)
	}
	return err
}

// State returns the SQLSTATE in err's chain, or "" without one. Callers that act on one state, such
// as a unique violation, use it. What the state means for a record is decided by [Classify].
func State(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// Overtaken reports whether the server rolled a transaction back because of another one (a deadlock,
// a serialization failure). The same transaction can succeed at once.
func Overtaken(err error) bool {
	switch State(err) {
	case "40001", "40P01":
		return true
	}
	return false
}

func kindOf(err error) errs.Kind {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		// No statement was sent, so no record can be the cause. Causes are: no such host, role or
		// database, a login that is not allowed, a wrong password, TLS refused, too many
		// connections.
		return errs.Transient
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return kindOfState(pg)
	}
	if errors.Is(err, context.Canceled) {
		return errs.Internal // the caller cancelled; the database has no fault
	}
	var network net.Error
	switch {
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), // of goose's connections
		errors.As(err, &network), pgconn.Timeout(err), pgconn.SafeToRetry(err),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return errs.Transient
	case strings.Contains(err.Error(), "conn closed"):
		// pgx exports no error value for a closed connection.
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

// environment reports whether a SQLSTATE is certainly about the server and not about a record. Such
// a state ends by itself, or when an operator repairs the server, and the same record can succeed
// then.
//
//   - 08, 57: the connection, or the server's operator, ended it (shutdown, starting up, statement
//     timeout, database dropped); PgBouncer also refuses with 08P01
//   - 40: rolled back because of other transactions (serialization failure, deadlock)
//   - 53, 58, F0, XX001, XX002: disk full, out of memory, too many connections, I/O, a broken
//     configuration, corrupted data
//   - 55: an object in use, a lock not obtained in time, a table that is temporarily not usable as
//     one
//   - 28, 3D, 3F, 0P: the role may not log in, its password is wrong (it may be in rotation), or
//     the database, the schema or the role does not exist
//   - 42 except 42601: the server refuses the statement before it sees a value: a table, column,
//     function or constraint is missing or has another type (an unfinished migration, or a newer
//     release's), or a grant is missing. Values are parameters, so no record can be the cause.
//     42601 is a syntax error, hence a bug
//   - 25006, 25P01, 25P03, 25P04: a server that has become a standby or was made read-only; a
//     transaction that ran too long, or that a pooler sent to another server. Not 25P02, which
//     follows an error that its caller ignored
//   - 26, 34, 3B: a prepared statement, a cursor or a savepoint does not exist, because a pooler
//     changed the server session. 42P05 is the reverse: a prepared statement exists already
//   - 0A000 for a plan that a migration made obsolete; pgx drops it, and the next try prepares a
//     new one
//   - 2200H: a sequence has reached its end
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
