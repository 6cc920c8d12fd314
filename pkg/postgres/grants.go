package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
)

// Grant lists the privileges of the other roles on one table of a [Component]. It is declared
// beside the DDL, because the author of a table knows what the service does with it.
type Grant struct {
	Table string
	App   string // privileges of the role the service runs as, as in SQL: "SELECT, UPDATE (state)"; "" for none
	CDC   string // those of the role that reads the log; "" for none
}

// Roles are the roles of one database; "" omits a role.
type Roles struct {
	Owner string // owns database and tables; the connecting role is a member of it and acts as it
	App   string // the service runs as it
	CDC   string // change data capture connects as it
}

// Job migrates the components as the owner, and grants the roles exactly the privileges of their
// Grants. It revokes what an earlier version granted and this one does not. It also revokes the
// privileges of PUBLIC on database, schema and functions. It may run again, and twice at once.
//
// Job waits until ctx ends for a server that is unavailable or refuses the password. It ends when
// the server refuses the role, the database or a privilege, because the operator who runs it must
// know. It also waits, and logs the pooler's text, when a pooler is in between: PgBouncer does not
// let a connection set its role.
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

// refusedForGood reports whether the server was reached and refuses the job's work until an
// operator changes something.
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

// asRole makes a connection act as another role from its start.
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

// grant is one transaction: a service that sees one of the grants sees all of them, and a running
// service never misses any.
func grant(ctx context.Context, conn *pgx.Conn, roles Roles, comps []Component) error {
	var database string
	if err := conn.QueryRow(ctx, `SELECT current_database()`).Scan(&database); err != nil {
		return Classify(fmt.Errorf("grant: %w", err))
	}
	db := pgx.Identifier{database}.Sanitize()
	statements := []string{
		// Two concurrent runs would fail with "tuple concurrently updated".
		`SELECT pg_advisory_xact_lock(hashtextextended('grants', 0))`,
		`REVOKE ALL ON DATABASE ` + db + ` FROM PUBLIC`,
		`REVOKE ALL ON SCHEMA public FROM PUBLIC`,
		`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC`,
		`REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC`,
	}
	schemas := schemasOf(comps)
	for _, s := range schemas {
		statements = append(statements, `REVOKE ALL ON SCHEMA `+s+` FROM PUBLIC`, `REVOKE ALL ON ALL TABLES IN SCHEMA `+s+` FROM PUBLIC`)
	}
	for _, r := range []struct {
		name, database string
		privileges     func(Grant) string
		app            bool
	}{
		// Republishing needs the temporary table.
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
		for _, s := range schemas {
			statements = append(statements, `REVOKE ALL ON ALL TABLES IN SCHEMA `+s+` FROM `+to)
			if r.app {
				statements = append(statements, `GRANT USAGE ON SCHEMA `+s+` TO `+to)
			}
		}
		for _, c := range comps {
			if r.app { // the service waits for the migrations
				statements = append(statements, `GRANT SELECT ON `+pgx.Identifier{c.Name + "_migrations"}.Sanitize()+` TO `+to)
			}
			for _, g := range c.Grants {
				if p := r.privileges(g); p != "" {
					statements = append(statements, `GRANT `+p+` ON `+c.table(g.Table)+` TO `+to)
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

// table returns the quoted name of one of the component's tables.
func (c Component) table(name string) string {
	if c.Schema == "" {
		return pgx.Identifier{name}.Sanitize()
	}
	return pgx.Identifier{c.Schema, name}.Sanitize()
}

// schemasOf returns the quoted names of the components' schemas, without public.
func schemasOf(comps []Component) []string {
	var all []string
	for _, c := range comps {
		if s := (pgx.Identifier{c.Schema}).Sanitize(); c.Schema != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// grantDays grants the existing day partitions to a role that may read the table;
// create_day_partition grants the future ones.
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
