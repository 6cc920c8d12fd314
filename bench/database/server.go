// Package database runs the PostgreSQL servers of benchmarks and counts what is done on them.
//
// A server is durable: fsync, synchronous_commit and full_page_writes are on, as on every path on
// which a promise depends. It decodes its log like the embedded shop's (wal_level=logical). No
// checkpoint happens within a measurement, so its log has next to no full-page images: their share
// depends on the time between checkpoints and not on the code. The server listens on a Unix socket
// and ends with the process that started it.
package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

// extension counts statements.
const extension = "pg_stat_statements"

// Server is a running server. [Start] creates it; Stop ends it.
type Server struct {
	PID int // of its first process, whose descendants are the others

	temporary *server.Temporary
	admin     *pgxpool.Pool // of the maintenance database, whose statements are not counted
	counts    bool
}

// Start starts a server with empty databases.
func Start(ctx context.Context) (*Server, error) {
	bin, err := server.FindBinaries(ctx)
	if err != nil {
		return nil, err
	}
	settings := durable()
	s := &Server{counts: hasExtension(bin)}
	if s.counts {
		settings = append(settings, "shared_preload_libraries="+extension, extension+".max=10000")
	}
	if s.temporary, err = server.StartTemporary(ctx, bin, settings...); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// prepare connects to the server, begins to count statements, and finds its process.
func (s *Server) prepare(ctx context.Context) (err error) {
	if s.admin, err = postgres.Open(ctx, postgres.Config{URL: s.URL("postgres"), MaxConns: 2}); err != nil {
		return err
	}
	if s.counts {
		if _, err := s.admin.Exec(ctx, `CREATE EXTENSION `+extension); err != nil {
			return err
		}
	}
	var file string
	if err := s.admin.QueryRow(ctx, `SELECT pg_read_file('postmaster.pid')`).Scan(&file); err != nil {
		return err
	}
	first, _, _ := strings.Cut(file, "\n")
	if s.PID, err = strconv.Atoi(strings.TrimSpace(first)); err != nil {
		return fmt.Errorf("the server's process id: %w", err)
	}
	return nil
}

// durable returns the settings. They override those of a temporary server, which syncs nothing.
func durable() []string {
	return []string{
		"fsync=on", "synchronous_commit=on", "full_page_writes=on",
		"wal_level=logical", "max_wal_senders=10",
		"max_connections=400", "shared_buffers=256MB",
		"checkpoint_timeout=1h", "max_wal_size=16GB", // no checkpoint within a measurement
		"autovacuum_naptime=1min", // the default
		"log_min_messages=fatal",
	}
}

// hasExtension reports whether the server's packages have the extension's library, which some
// distributions ship separately.
func hasExtension(bin string) bool {
	for _, lib := range []string{"../lib", "../lib/postgresql", "../lib64/pgsql"} {
		if _, err := os.Stat(filepath.Join(bin, lib, extension+".so")); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// Counts reports whether statements are counted.
func (s *Server) Counts() bool { return s.counts }

// URL returns the superuser's URL of a database.
func (s *Server) URL(database string) string { return s.temporary.URL(database) }

// Create creates a database with the components' migrations and returns its URL.
func (s *Server) Create(ctx context.Context, name string, components ...postgres.Component) (url string, err error) {
	if _, err := s.admin.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", err
	}
	return s.URL(name), postgres.Migrate(ctx, s.URL(name), components...)
}

// Copy creates a database with the content of another one, which has no connections.
func (s *Server) Copy(ctx context.Context, name, of string) error {
	_, err := s.admin.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+` TEMPLATE `+pgx.Identifier{of}.Sanitize())
	return err
}

// Drop deletes a database, whoever is connected.
func (s *Server) Drop(ctx context.Context, name string) error {
	_, err := s.admin.Exec(ctx, `DROP DATABASE `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`)
	return err
}

// Shut takes a database away: it ends the connections to it and refuses new ones until [Server.Reopen].
func (s *Server) Shut(ctx context.Context, name string) error {
	if err := s.allow(ctx, name, false); err != nil {
		return err
	}
	_, err := s.admin.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, name)
	return err
}

// Reopen ends what Shut began.
func (s *Server) Reopen(ctx context.Context, name string) error { return s.allow(ctx, name, true) }

func (s *Server) allow(ctx context.Context, name string, connections bool) error {
	_, err := s.admin.Exec(ctx, fmt.Sprintf(`ALTER DATABASE %s ALLOW_CONNECTIONS %t`, pgx.Identifier{name}.Sanitize(), connections))
	return err
}

// Settings returns the settings on which durability and the figures depend, as the server has them.
func (s *Server) Settings(ctx context.Context) (map[string]string, error) {
	rows, err := s.admin.Query(ctx, `SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY ($1)`,
		[]string{"server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers", "wal_sync_method",
			"checkpoint_timeout", "data_checksums"})
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error { all[name] = value; return nil })
	return all, err
}

// Stop ends the server and deletes its data.
func (s *Server) Stop() error {
	if s.admin != nil {
		s.admin.Close()
	}
	return s.temporary.Stop()
}
