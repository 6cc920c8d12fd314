package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
)

// Grant is what the other roles may do with one table of a [Component]. It stands beside
// the DDL, since who adds a table knows what the service does with it.
type Grant struct {
	Table string
	App   string // privileges of the role the service runs as, as in SQL: "SELECT, UPDATE (state)"; "" for none
	CDC   string // those of the role that reads the log; "" for none
}

// Roles are those of one database; "" leaves a role out.
type Roles struct {
	Owner string // owns database and tables; the connecting role is a member of it and acts as it
	App   string // the service runs as it
	CDC   string // change data capture connects as it
}

// Job migrates the components as the owner and gives the roles what their Grants say and
// nothing else: what an earlier version granted and this one does not is taken back. What
// everybody (PUBLIC) may do with database, schema and functions is taken back too. It may
// run again, and twice at once; it waits for a server that is away, or refuses the password,
// until ctx ends. A server that refuses the role, the database or a privilege ends it: it is run
// by an operator, who has to hear of it. A pooler
// between is waited for likewise, with its words in the log: PgBouncer does not let a connection
// set its role.
func Job(ctx context.Context, cfg Config, roles Roles, comps ...Component) error {
	hook := asRole(roles.Owner, prepare(cfg, &route{}))
	if err := migrateUntilReached(ctx, cfg.URL, hook, comps, refusedForGood); err != nil {
		return err
	}
	conf, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return errs.New(errs.Invalid, "read the database URL: %w", err)
	}
	if hook != nil {
		if err := hook(ctx, conf); err != nil {
			return err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return Classify(fmt.Errorf("connect to the database: %w", err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return grant(ctx, conn, roles, WithPartitions(comps))
}

// refusedForGood reports whether the server was reached and will not let the job do its work
// before an operator has changed something.
func refusedForGood(err error) bool {
	state := State(err)
	switch state {
	case "", "28P01": // not reached, or a password that may be in rotation
		return false
	}
	switch state[:2] {
	case "22", "28", "3D", "3F", "0P", "42":
		return true
	}
	return false
}

// asRole makes a connection act as another role from its beginning.
func asRole(role string, next beforeConnect) beforeConnect {
	if role == "" {
		return next
	}
	return func(ctx context.Context, c *pgx.ConnConfig) error {
		c.RuntimeParams["role"] = role
		if next == nil {
			return nil
		}
		return next(ctx, c)
	}
}

// grant is one transaction: a service that sees one of the grants has them all, and one
// that runs never misses any.
func grant(ctx context.Context, conn *pgx.Conn, roles Roles, comps []Component) error {
	var database string
	if err := conn.QueryRow(ctx, `SELECT current_database()`).Scan(&database); err != nil {
		return Classify(fmt.Errorf("grant: %w", err))
	}
	db := pgx.Identifier{database}.Sanitize()
	statements := []string{
		// Two at once would fail: tuple concurrently updated.
		`SELECT pg_advisory_xact_lock(hashtextextended('grants', 0))`,
		`REVOKE ALL ON DATABASE ` + db + ` FROM PUBLIC`,
		`REVOKE ALL ON SCHEMA public FROM PUBLIC`,
		`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC`,
		`REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC`,
	}
	for _, r := range []struct {
		name, database string
		privileges     func(Grant) string
		app            bool
	}{
		// The temporary table is that of publishing again.
		{roles.App, "CONNECT, TEMPORARY", func(g Grant) string { return g.App }, true},
		{roles.CDC, "CONNECT", func(g Grant) string { return g.CDC }, false},
	} {
		if r.name == "" {
			continue
		}
		to := pgx.Identifier{r.name}.Sanitize()
		statements = append(statements,
			`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM `+to,
			`REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM `+to,
			`GRANT `+r.database+` ON DATABASE `+db+` TO `+to,
			`GRANT USAGE ON SCHEMA public TO `+to)
		for _, c := range comps {
			if r.app { // it waits for the migrations
				statements = append(statements, `GRANT SELECT ON `+pgx.Identifier{c.Name + "_migrations"}.Sanitize()+` TO `+to)
			}
			for _, g := range c.Grants {
				if p := r.privileges(g); p != "" {
					statements = append(statements, `GRANT `+p+` ON `+pgx.Identifier{g.Table}.Sanitize()+` TO `+to)
				}
			}
			for _, p := range c.Partitioned {
				statements = append(statements, grantDays(p.Table, r.name))
				if r.app {
					statements = append(statements, `GRANT EXECUTE ON FUNCTION create_day_partition, drop_day_partition TO `+to)
				}
			}
		}
	}
	_, err := conn.Exec(ctx, "BEGIN;\n"+strings.Join(statements, ";\n")+";\nCOMMIT")
	if err != nil {
		return Classify(fmt.Errorf("grant: %w", err)) // the connection closes, and with it the transaction
	}
	return nil
}

// grantDays gives a reader of the table the days that are there; create_day_partition does
// it for those that come.
func grantDays(table, role string) string {
	return fmt.Sprintf(`DO $do$ DECLARE child regclass; BEGIN
		IF has_table_privilege(%[2]s, %[1]s::regclass, 'SELECT') THEN
			FOR child IN SELECT inhrelid FROM pg_inherits WHERE inhparent = %[1]s::regclass LOOP
				EXECUTE format('GRANT SELECT ON %%s TO %%I', child, %[2]s);
			END LOOP;
		END IF;
	END $do$`, literal(table), literal(role))
}

func literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }
