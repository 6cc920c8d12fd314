package plant

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Withhold revokes a privilege on a table ("INSERT") from the role of the URL, which must own the
// table: an owner can grant itself what it revoked.
func Withhold(ctx context.Context, dsn, privilege, table string) (back func(ctx context.Context) error, err error) {
	do := func(ctx context.Context, statement string) error {
		return run(ctx, dsn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf(statement, privilege, ident(table)))
			return err
		})
	}
	if err := do(ctx, "REVOKE %s ON %s FROM CURRENT_USER"); err != nil {
		return nil, fmt.Errorf("withhold %s on %s: %w", privilege, table, err)
	}
	return func(ctx context.Context) error {
		if err := do(ctx, "GRANT %s ON %s TO CURRENT_USER"); err != nil {
			return fmt.Errorf("give back %s on %s: %w", privilege, table, err)
		}
		return nil
	}, nil
}

// hidden is the suffix of a renamed table.
const hidden = "_hidden"

// Hide renames a table, so that it does not exist under its name until show.
func Hide(ctx context.Context, dsn, table string) (show func(ctx context.Context) error, err error) {
	rename := func(ctx context.Context, from, to string) error {
		return run(ctx, dsn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s RENAME TO %s", ident(from), ident(to)))
			return err
		})
	}
	if err := rename(ctx, table, table+hidden); err != nil {
		return nil, fmt.Errorf("hide table %s: %w", table, err)
	}
	return func(ctx context.Context) error {
		if err := rename(ctx, table+hidden, table); err != nil {
			return fmt.Errorf("show table %s: %w", table, err)
		}
		return nil
	}, nil
}

// Lock takes the strongest lock on a table until release, so that no other session can read or
// write it. Other statements wait meanwhile.
func Lock(ctx context.Context, dsn, table string) (release func(ctx context.Context) error, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("lock table %s: %w", table, err)
	}
	for _, s := range []string{"BEGIN", "SET LOCAL lock_timeout = '" + lockTimeout + "'", "LOCK TABLE " + ident(table)} {
		if _, err := conn.Exec(ctx, s); err != nil {
			conn.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("lock table %s: %w", table, err)
		}
	}
	return conn.Close, nil // which rolls back
}

// Bar forbids a role to log in and ends its sessions. The URL is a superuser's.
func Bar(ctx context.Context, admin, role string) (admit func(ctx context.Context) error, err error) {
	return sessions(ctx, admin, role, "NOLOGIN", "LOGIN")
}

// ReadOnly makes new sessions of a role read-only by default and ends its present ones. After
// writable, the sessions begun meanwhile stay read-only, as sessions do that were opened to a
// standby before it became the primary. The URL is a superuser's.
func ReadOnly(ctx context.Context, admin, role string) (writable func(ctx context.Context) error, err error) {
	return sessions(ctx, admin, role, "SET default_transaction_read_only = on", "RESET default_transaction_read_only")
}

// sessions alters a role and applies the change at once, by ending its sessions.
func sessions(ctx context.Context, admin, role, alter, back string) (undo func(ctx context.Context) error, err error) {
	do := func(ctx context.Context, how string) error {
		return run(ctx, admin, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "ALTER ROLE "+ident(role)+" "+how)
			return err
		})
	}
	if err := do(ctx, alter); err != nil {
		return nil, fmt.Errorf("alter role %s: %w", role, err)
	}
	undo = func(ctx context.Context) error {
		if err := do(ctx, back); err != nil {
			return fmt.Errorf("alter role %s back: %w", role, err)
		}
		return nil
	}
	// Only now: a session that began before the change was committed has the old settings.
	err = run(ctx, admin, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND pid <> pg_backend_pid()`, role)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("end the sessions of role %s: %w", role, errors.Join(err, undo(context.WithoutCancel(ctx))))
	}
	return undo, nil
}
