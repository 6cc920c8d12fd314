// Package postgres is the embedded stack's database server: one server, with a
// database and a role for each service. The binaries are those of the machine
// (version 15 or newer) or are downloaded once.
//
// fsync stays on: what a service has promised survives a power cut.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/local/process"
	"eventshop.example/pkg/postgres/server"
)

const superuser = "postgres"

// Server is one database cluster on disk.
type Server struct {
	Bin  string // folder of the binaries
	Dir  string // data, and beside it the superuser's password
	Port int
}

func (s Server) data() string     { return filepath.Join(s.Dir, "data") }
func (s Server) password() string { return filepath.Join(s.Dir, "password") }

// Init makes the cluster when there is none.
func (s Server) Init(ctx context.Context) error {
	if server.Initialized(s.data()) {
		return nil
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return err
	}
	password := rand.Text()
	if err := os.WriteFile(s.password(), []byte(password), 0o600); err != nil {
		return err
	}
	// A half-made cluster has no PG_VERSION only when initdb was cut off at its
	// very beginning; it refuses a folder with anything in it.
	if err := os.RemoveAll(s.data()); err != nil {
		return err
	}
	return server.InitDB(ctx, s.Bin, s.data(), superuser, password)
}

// Spec completes the server process's specification: the program, and the user it
// has to run as.
func (s Server) Spec(spec process.Spec) (process.Spec, error) {
	cmd, err := server.Command(s.Bin, s.data(), s.Port,
		"shared_buffers=64MB",
		"max_connections=120", // five services of at most 8, twice, and tools
		"wal_level=logical",   // so that change data capture can be switched on
		"log_min_messages=warning",
		"lc_messages=C",
	)
	if err != nil {
		return spec, err
	}
	spec.Path, spec.Args, spec.Env, spec.Dir = cmd.Path, cmd.Args[1:], cmd.Env, cmd.Dir
	if c := cmd.SysProcAttr.Credential; c != nil {
		spec.User = &process.User{UID: c.Uid, GID: c.Gid}
	}
	spec.StopSignal = syscall.SIGINT // fast: sessions are ended, data is written
	return spec, nil
}

// AdminURL is where the superuser connects.
func (s Server) AdminURL() (string, error) {
	b, err := os.ReadFile(s.password())
	if err != nil {
		return "", fmt.Errorf("superuser's password: %w", err)
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, string(b)),
		Host: fmt.Sprintf("127.0.0.1:%d", s.Port), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String(), nil
}

// Ready returns nil when a server answers queries at the URL.
func Ready(ctx context.Context, adminURL string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	return c.Ping(ctx)
}

// Provision makes a role and a database for each service, named as it is, with
// the password given, and returns their URLs. A role can enter its own database
// and no other. It is safe to repeat.
func Provision(ctx context.Context, adminURL string, passwords map[string]string) (map[string]string, error) {
	c, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return nil, fmt.Errorf("connect as superuser: %w", err)
	}
	defer c.Close(ctx)
	urls := map[string]string{}
	for service, password := range passwords {
		name := pgx.Identifier{service}.Sanitize()
		literal := "'" + strings.ReplaceAll(password, "'", "''") + "'" // a utility statement takes no parameters
		var role, database bool
		err := c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1),
			EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, service).Scan(&role, &database)
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", service, err)
		}
		var steps []string
		if role {
			steps = append(steps, "ALTER ROLE "+name+" LOGIN PASSWORD "+literal)
		} else {
			steps = append(steps, "CREATE ROLE "+name+" LOGIN PASSWORD "+literal)
		}
		if !database {
			steps = append(steps, "CREATE DATABASE "+name+" OWNER "+name)
		}
		steps = append(steps, "REVOKE CONNECT ON DATABASE "+name+" FROM PUBLIC")
		for _, sql := range steps {
			if _, err := c.Exec(ctx, sql); err != nil {
				return nil, fmt.Errorf("provision %s: %w", service, err)
			}
		}
		u, err := url.Parse(adminURL)
		if err != nil {
			return nil, err
		}
		u.User, u.Path = url.UserPassword(service, password), "/"+service
		urls[service] = u.String()
	}
	return urls, nil
}

// Dir chooses the folder for a cluster: in the state folder, or, where the user
// the server runs as cannot get there (a stack run by root in root's home), in
// fallback. It says why.
func Dir(state, fallback string) (dir, why string) {
	dir = filepath.Join(state, "postgres")
	if err := os.MkdirAll(state, 0o755); err != nil {
		return dir, ""
	}
	if err := server.Reachable(filepath.Join(dir, "data")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fallback, err.Error()
	}
	return dir, ""
}
