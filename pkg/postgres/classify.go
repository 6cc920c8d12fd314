package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"eventshop.example/pkg/errs"
)

// Classify gives a database error its kind and keeps its text and its chain.
// An error that has a kind already is returned as it is, and so is one it
// knows nothing about (errs.Internal). pgx.ErrNoRows is not mapped: whether a
// missing row is NotFound or a bug, only the query's author knows.
//
//   - Transient: no connection or a broken one; SQLSTATE class 08, 40
//     (serialization failure, deadlock), 53 (disk full, out of memory, too many
//     connections), 57P01–57P05 (shutdown, starting up), 55P03 (lock timeout),
//     57014 (statement timeout), 25006 (server has become a standby), 25P03, 25P04,
//     58 (I/O), 28P01 (wrong password: one that is being rotated is right again when
//     server and file agree), and a plan outlived by a migration
//   - Conflict: unique and exclusion violations, foreign keys
//   - Invalid: check and not-null violations, class 22 (value out of range,
//     NUL in text)
func Classify(err error) error {
	if err == nil || errs.KindOf(err) != errs.Internal {
		return err
	}
	if kind := kindOf(err); kind != errs.Internal {
		return errs.New(kind, "%w", err)
	}
	return err
}

func kindOf(err error) errs.Kind {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return kindOfState(pg)
	}
	if errors.Is(err, context.Canceled) {
		return errs.Internal // the caller ended it; nothing is wrong with the database
	}
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &connect), errors.As(err, &network), pgconn.Timeout(err), pgconn.SafeToRetry(err),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return errs.Transient
	case strings.Contains(err.Error(), "conn closed"):
		// pgx has no exported value for a connection it found closed.
		return errs.Transient
	}
	return errs.Internal
}

func kindOfState(pg *pgconn.PgError) errs.Kind {
	switch pg.Code {
	case "23505", "23P01", "23503":
		return errs.Conflict
	case "23514", "23502":
		return errs.Invalid
	case "57P01", "57P02", "57P03", "57P05", "57014", "55P03", "25006", "25P03", "25P04", "28P01":
		return errs.Transient
	case "0A000":
		if strings.Contains(pg.Message, "cached plan") {
			return errs.Transient // pgx has dropped the plan; the next try prepares it anew
		}
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", "40", "53", "58":
		return errs.Transient
	case "22":
		return errs.Invalid
	}
	return errs.Internal
}
