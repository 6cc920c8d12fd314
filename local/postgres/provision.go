package postgres

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres/server"
)

// Provision creates, on the server behind adminURL, a role and a database of each name, unless they
// exist, and sets the roles' passwords. own reports whether the server belongs to this stack: then
// only the superuser can connect to the maintenance databases, too. It returns the URL of each
// database for its role.
func (c *Cluster) Provision(ctx context.Context, adminURL string, own bool, names ...string) (map[string]string, error) {
	admin, err := url.Parse(adminURL)
	if err != nil {
		return nil, fmt.Errorf("the URL of PostgreSQL is none") // err would show the password
	}
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var major int
	var super bool
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int / 10000, rolsuper FROM pg_roles WHERE rolname = current_user`).Scan(&major, &super)
	if err != nil {
		return nil, fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	if major < server.MinMajor {
		return nil, fmt.Errorf("PostgreSQL %d is too old: %d or newer is needed", major, server.MinMajor)
	}
	if own {
		if _, err := conn.Exec(ctx, `REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC`); err != nil {
			return nil, fmt.Errorf("close the maintenance databases: %w", err)
		}
	}
	urls := map[string]string{}
	for _, name := range names {
		password, err := c.password(name)
		if err != nil {
			return nil, err
		}
		if err := provision(ctx, conn, name, password, super); err != nil {
			return nil, fmt.Errorf("provide database %s: %w", name, err)
		}
		u := *admin
		u.User, u.Path = url.UserPassword(name, password), "/"+name
		urls[name] = u.String()
	}
	return urls, nil
}

func provision(ctx context.Context, conn *pgx.Conn, name, password string, super bool) error {
	var roleExists bool
	var owner *string
	err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
		(SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1)`, name).Scan(&roleExists, &owner)
	if err != nil {
		return err
	}
	if owner != nil && *owner != name {
		return fmt.Errorf("there is a database of this name that belongs to %s", *owner)
	}
	id := pgx.Identifier{name}.Sanitize()
	literal := "'" + strings.ReplaceAll(password, "'", "''") + "'" // rand.Text contains neither quotes nor backslashes
	var statements []string
	if roleExists {
		statements = append(statements, "ALTER ROLE "+id+" LOGIN PASSWORD "+literal)
	} else {
		statements = append(statements, "CREATE ROLE "+id+" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD "+literal)
	}
	if owner == nil {
		if !super {
			// A role can create a database only for a role of which it is a member.
			statements = append(statements, "GRANT "+id+" TO CURRENT_USER")
		}
		statements = append(statements, "CREATE DATABASE "+id+" OWNER "+id)
	}
	statements = append(statements, "REVOKE ALL ON DATABASE "+id+" FROM PUBLIC")
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return err // it does not quote the statement with the password
		}
	}
	return nil
}
